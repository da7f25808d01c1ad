"""What a node is given, checked against its inputs: ComfyUI does so for what is typed, not for what a link brings."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io
from torch import Tensor

#: io type -> the Python type of its values, and what it is called.
KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "INT": (numbers.Integral, "a whole number"),
    "FLOAT": (numbers.Real, "a number"),
    "BOOLEAN": (numbers.Integral, "true or false"),
    "STRING": (str, "a text"),
    "COMBO": (object, ""),
    "IMAGE": (Tensor, "pictures"),
    "MASK": (Tensor, "a mask"),
    "LATENT": (dict, "a latent"),
    "AUDIO": (Mapping, "a sound"),  # some packs read it only when it is heard
    "POSE_KEYPOINT": (list, "keypoints"),
    "CONDITIONING": (list, "a conditioning"),
    "BOUNDING_BOX": ((dict, list), "boxes"),
}
#: What no other socket can bring.
PLAIN = (str, numbers.Number, dict, list, tuple)

#: Widgets that list files: what an old workflow names may be gone, and their nodes say more of it.
FILES = ("model_name", "rom_model", "lora_name", "local_model", "name")


def check_values(node: type[io.ComfyNode], given: dict[str, Any]) -> None:
    """Let pass values that the node's inputs could have.

    Args:
        node: its class.
        given: input -> value; of a node that takes lists, a list of values.

    Raises:
        IVGError: one is of another kind, out of its range, or none of those to choose from.
    """
    schema = node.define_schema()
    for widget in schema.inputs:
        value = given.get(widget.id)
        for one in value if schema.is_input_list and isinstance(value, list) else [value]:
            may_lack = widget.as_dict().get("lazy") or (widget.optional and not _is_widget(widget))
            nothing = one is None and (widget.id not in given or may_lack)
            if not nothing:
                _check(widget, one)


def _is_widget(given: Any) -> bool:
    """Whether an input has a value of its own, where nothing is connected."""
    forced = {"forceInput", "force_input"} & given.as_dict().keys()
    return not forced and given.io_type in ("INT", "FLOAT", "BOOLEAN", "STRING", "COMBO")


def _check(widget: Any, value: Any) -> None:
    from ..ivg_core.errors import IVGError

    about = widget.as_dict()
    options = about.get("options")
    of_files = widget.id in FILES and isinstance(value, str)
    if options is not None and not of_files and value not in options:
        raise IVGError(f"{widget.id} is {_short(value)}: choose {', '.join(map(str, options[:12]))}.")
    kind, said = KINDS.get(widget.io_type, (object, f"what comes from another node ({widget.io_type})"))
    fits = isinstance(value, kind) and value is not None
    if not fits or (widget.io_type not in KINDS and isinstance(value, PLAIN)):
        raise IVGError(f"{widget.id} is {_short(value)}, where {said} belongs: look at what is connected to it.")
    if isinstance(value, str):
        check_text(widget.id, value)
    elif widget.io_type in ("INT", "FLOAT"):
        low, high = about.get("min", -math.inf), about.get("max", math.inf)
        if not (low <= value <= high and math.isfinite(value)):
            raise IVGError(f"{widget.id} is {_short(value)}: give a number from {low} to {high}.")


def check_text(name: str, text: str) -> None:
    """Let pass a text of whole characters.

    Raises:
        IVGError: it holds half of one.
    """
    from ..ivg_core.errors import IVGError
    from ..ivg_core.media.text import HALF

    if HALF.search(text):
        raise IVGError(f"{name} holds half a character, which no file and no tokenizer can take: type it anew.")


def _short(value: Any) -> str:
    """A value as a message shows it, without writing out a tensor."""
    text = repr(value) if value is None or isinstance(value, str | int | float) else f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:80]}…"
