"""T2I-Adapters in the layout that they were released in: one file, under names of its own, without a config."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from ..models.adapter import CELL, KIND

FIRST = "conv_in.weight"
#: Layers of each level of a released adapter.
LAYERS = 2
#: What the names of an adapter's weights begin with in Follow-Your-Pose's network.
SKELETON = "skeleton_adapter."
_BODY = re.compile(r"body\.(\d+)\.(block[12]|in_conv)\.(weight|bias)")
_MODERN_BODY = re.compile(r"adapter\.body\.(\d+)\.(?:resnets\.(\d+)\.)?(.+)")

T = TypeVar("T")


def is_released(names: Collection[str]) -> bool:
    """Whether weights of these names are a full T2I-Adapter's as released."""
    return FIRST in names and "body.0.block1.weight" in names


def from_released(weights: Mapping[str, T], prefix: str = "") -> dict[str, T]:
    """The same under diffusers' names; those of no released adapter stay.

    Args:
        weights: by name.
        prefix: what an adapter's names begin with.
    """
    return {_renamed(_modern, name, prefix): weight for name, weight in weights.items()}


def as_released(weights: Mapping[str, T], prefix: str = "") -> dict[str, T]:
    """The opposite of `from_released`."""
    return {_renamed(_released, name, prefix): weight for name, weight in weights.items()}


def config_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The config.json of a released adapter, by the shapes of its weights."""
    widths: list[int] = []
    while (name := f"body.{LAYERS * len(widths)}.block1.weight") in shapes:
        widths.append(shapes[name][0])
    channels = shapes[FIRST][1] // CELL**2
    return {"in_channels": channels, "channels": widths, "num_res_blocks": LAYERS, "adapter_type": KIND}


def _renamed(rename: Callable[[str], str], name: str, prefix: str) -> str:
    return prefix + rename(name.removeprefix(prefix)) if name.startswith(prefix) else name


def _modern(name: str) -> str:
    if name.startswith("conv_in."):
        return f"adapter.{name}"
    if not (found := _BODY.fullmatch(name)):
        return name
    level, layer = divmod(int(found[1]), LAYERS)
    inner = "" if found[2] == "in_conv" else f"resnets.{layer}."
    return f"adapter.body.{level}.{inner}{found[2]}.{found[3]}"


def _released(name: str) -> str:
    if not (found := _MODERN_BODY.fullmatch(name)):
        return name.removeprefix("adapter.")
    return f"body.{LAYERS * int(found[1]) + int(found[2] or 0)}.{found[3]}"
