"""Small differences between ComfyUI versions."""

import inspect


def supported(function, **keywords):
    """The keywords that this ComfyUI's `function` knows; the others are dropped.

    One unknown keyword in a schema would keep the whole pack from loading.
    """
    known = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return keywords
    return {name: value for name, value in keywords.items() if name in known}
