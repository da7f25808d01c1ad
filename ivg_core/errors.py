"""The one exception that carries a sentence for the user."""


class IVGError(ValueError):
    """A mistake that the user can mend: the message says what is wrong, where, and what to do next."""

    def __str__(self) -> str:
        # A path may hold half a character, which can be neither printed nor sent: ComfyUI's worker would die of it.
        return super().__str__().encode("utf-8", "backslashreplace").decode("utf-8")
