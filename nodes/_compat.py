"""Small differences between ComfyUI versions."""

import inspect

from comfy_api import latest


def supported(function, **keywords):
    """The keywords that this ComfyUI's `function` knows; the others are dropped.

    One unknown keyword in a schema would keep the whole pack from loading.
    """
    known = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return keywords
    return {name: value for name, value in keywords.items() if name in known}


def found_by(*phrases: str) -> dict:
    """The keyword of a schema that lets the interface find the node by other words than its name, where it knows it."""
    return supported(latest.io.Schema, search_aliases=list(phrases))


async def register_replacements(renamed: list[dict]) -> None:
    """Tell ComfyUI which nodes took the place of others, if it is one that can be told.

    Args:
        renamed: keywords of `io.NodeReplace`, one a node.
    """
    if not renamed or not hasattr(latest.io, "NodeReplace"):
        return
    api = latest.ComfyAPI()
    for keywords in renamed:
        await api.node_replacement.register(latest.io.NodeReplace(**keywords))
