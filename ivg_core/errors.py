"""The one exception that carries a sentence for the user."""


class IVGError(ValueError):
    """A mistake that the user can mend: the message says what is wrong, where, and what to do next."""
