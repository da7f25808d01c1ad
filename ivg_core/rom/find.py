"""Find the Region of Motion of a real photo, without stage-1 weights: hands, then things, then what a draft moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import IVGError
from ..media.images import to_image, to_mask
from .arms import draw_arms
from .draft import GROW_DRAFT, rom_from_draft
from .fallback import draw_hulls
from .refine import resize_hard
from .region import BIG, GROW, GROW_HANDS, REACH, Shape, needed, region_around

if TYPE_CHECKING:
    from ..hands.tracker import Backend


@dataclass(frozen=True)
class FoundRegion:
    """A region, and what it was made of.

    Attributes:
        mask: (H, W) of 0 and 1, in the photo's size.
        near: (H, W) of 0 and 1: hands and things, not outlined and not grown.
        report: what was used and what was refused, one sentence each.
        frame_masks: (F, H', W') of 0 and 1, one a frame of the draft, at most 1024 pixels wide; None without a draft.
    """

    mask: Tensor
    near: Tensor
    report: str
    frame_masks: Tensor | None = None


def find_rom(
    photo: Tensor,
    hands: Tensor | None = None,
    things: Sequence[Tensor] | Tensor = (),
    draft: Tensor | None = None,
    *,
    big: float = BIG,
    reach: float = REACH,
    shape: Shape = "one",
    grow: float | None = None,
) -> FoundRegion:
    """Find the region from what is there; each of the three works alone, and each adds to the ones before it.

    Args:
        photo: (H, W, 3), 0..1.
        hands: (H', W'), 0..1, where the hands of the photo are; None or all 0: no hand is known.
        things: masks (H', W'), 0..1, one for each thing that the sentence names; or a batch of them, which may be
            empty (0, H', W'), as a segmenter gives it that finds nothing.
        draft: (F, h, w, 3), 0..1, a small quick video of the photo; see `rom_from_draft`.
        big: see `needed`.
        reach: see `rom_from_draft`.
        shape: see `region_around`.
        grow: by which share of the width the region grows, 0..1; None takes 0.02 with a draft, 0.05 with things, 0.10
            with hands alone.

    Returns:
        See `FoundRegion`.

    Raises:
        IVGError: there is nothing to find a region from, or an argument cannot work.
    """
    photo = to_image(photo)
    size = (photo.shape[1], photo.shape[0])
    hand_mask = torch.zeros(size[1], size[0]) if hands is None else resize_hard(to_mask(hands), size)
    masks = [mask for mask in (resize_hard(to_mask(thing), size) for thing in things) if mask.any()]
    near = needed(hand_mask, masks, big)
    if not near.any() and draft is None:
        raise IVGError(
            "No hand was found in the photo, and no things and no draft are given: take a photo that shows the hands, "
            "or give masks of the things or a draft video."
        )
    made_of = made_from(bool(hand_mask.any()), masks, len(things) - len(masks), big)
    alone = GROW if masks else GROW_HANDS
    if draft is not None:
        found = rom_from_draft(
            draft,
            photo,
            near,
            reach=reach,
            shape=shape,
            grow=GROW_DRAFT if grow is None else grow,
            grow_alone=alone if grow is None else grow,
        )
        return FoundRegion(found.mask, near, f"{made_of} {found.report}".strip(), found.frame_masks)
    mask = region_around(near, grow=alone if grow is None else grow, shape=shape)
    return FoundRegion(mask, near, f"{made_of} The region covers {mask.mean():.0%} of the photo.")


def hands_in(
    photo: Tensor, arms: bool = False, device: torch.device | str = "cpu", backend: Backend = "torch"
) -> Tensor:
    """Look for the hands of a photo.

    Args:
        photo: (H, W, 3), 0..1.
        arms: take the forearms too, as far as they can be followed from the wrist.
        device, backend: see `HandTracker`.

    Returns:
        (H, W) of 0 and 1, the hull of each hand's joints; all 0 where no hand is seen.

    Raises:
        IVGError: not a photo, no such device, or the backend is not installed.
    """
    from ..hands.tracker import HandTracker

    return hands_drawn(HandTracker(device=device, backend=backend)(photo), photo, arms)


def hands_drawn(joints: Sequence[Tensor], photo: Tensor, arms: bool = False) -> Tensor:
    """The hulls of a photo's hands, each (21, 2) in pixels, with or without its forearms; (H, W) of 0 and 1."""
    hulls = draw_hulls(joints, (photo.shape[1], photo.shape[0]))
    return torch.maximum(hulls, draw_arms(photo, joints)) if arms else hulls


def made_from(hands: bool, things: Sequence[Tensor], empty: int, big: float) -> str:
    """What a region is made of, in sentences; "" if neither hands nor things are known."""
    parts = (["the hands"] if hands else []) + ([f"{len(things)} thing{'s' * (len(things) > 1)}"] if things else [])
    said = [f"Made from {' and '.join(parts)} of the photo."] if parts else []
    if empty:
        said.append(f"{empty} mask{'s are' if empty > 1 else ' is'} black and left out.")
    if hands and any(thing.mean() > big for thing in things):
        said.append(f"What covers more than {big:.0%} of the photo counts only near the hands.")
    return " ".join(said)
