"""The geometry of a Region of Motion that was found in the photo: hands, things, and what lies between them.

One geometry for all ways to find it: what is *needed* (hands, and the things that the sentence names), closed, filled,
outlined and grown. Lengths are shares of the picture's width, so that a photo of any size gives the same region.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import IVGError
from .refine import LARGE, close_gaps, fill_enclosed, grow_by, hull_of, resize_hard

Shape = Literal["one", "each", "none"]  # one outline around all, one around each part, or as it is
SHAPES = get_args(Shape)

#: A thing that covers more of the picture than this (a hob, a fridge) counts only near the hands ...
BIG = 0.20
#: ... within this much of them; and what moves in a draft counts only within this much of what is needed.
REACH = 0.15
CLOSE = 0.04
#: How much a region grows where things are known, and where only hands are.
GROW, GROW_HANDS = 0.05, 0.10


def needed(hands: Tensor, things: Sequence[Tensor] | Tensor, big: float = BIG) -> Tensor:
    """Where hands and things are, as far as the action will need them.

    Args:
        hands: (H, W) of 0 and 1; all 0 where no hand is known.
        things: masks (H, W) of 0 and 1, one for each thing, or a batch of them; there may be none.
        big: share of the picture above which a thing counts only near the hands, 0..1; 1 takes all things whole.

    Returns:
        (H, W) of 0 and 1.

    Raises:
        IVGError: `big` lies outside 0..1.
    """
    if not 0 <= big <= 1:
        raise IVGError(f"big is {big}: give the share of the picture that a thing may cover, 0..1.")
    found = hands.float()
    near = None
    for thing in things:
        if thing.mean() > big and hands.any():
            near = grow_by(hands, REACH * hands.shape[-1]) if near is None else near
            thing = thing * near
        found = torch.maximum(found, thing)
    return found


def region_around(core: Tensor, *, grow: float, shape: Shape = "one", close: float = CLOSE) -> Tensor:
    """The region around what moves or is needed.

    Args:
        core: (H, W) of 0 and 1.
        grow: by which share of the width the region grows, 0..1.
        shape: "one" convex outline around all, one around "each" part, or "none": as it is.
        close: gaps up to about twice this share of the width are closed first.

    Returns:
        (H, W) of 0 and 1; all 0 where the core is.

    Raises:
        IVGError: an argument lies outside its range.
    """
    if shape not in SHAPES:
        raise IVGError(f'There is no shape "{shape}" of a region: choose {", ".join(SHAPES)}.')
    for name, value in (("grow", grow), ("close", close)):
        if not 0 <= value <= 1:
            raise IVGError(f"{name} is {value}: give a share of the picture's width, 0..1.")
    if not core.any():
        return torch.zeros_like(core, dtype=torch.float32)
    if core.numel() > LARGE:  # in the detail that lengths of the width need, whatever the photo has
        less = math.ceil(math.sqrt(core.numel() / LARGE))
        small = F.max_pool2d(core[None].float(), less, ceil_mode=True)[0]
        return resize_hard(region_around(small, grow=grow, shape=shape, close=close), (core.shape[1], core.shape[0]))
    width = core.shape[-1]
    region = fill_enclosed(closed(core, round(close * width)))
    if shape != "none":
        region = hull_of(region, each_part=shape == "each")
    return grow_by(region, grow * width)


def closed(mask: Tensor, radius: int) -> Tensor:
    """Gaps of a mask (H, W) closed; unlike in `close_gaps` nothing clings to the picture's border."""
    edge = radius + 2
    return close_gaps(F.pad(mask, (edge,) * 4), radius)[..., edge:-edge, edge:-edge]
