"""A step's frames as they are kept: over the picture that the step began with, in that picture's colours.

A pass makes the picture with which it begins anew, as its first frame. What differs there is not the action but the
pass: its colours, its contrast, the detail that its autoencoder lost. All of it is measured there and put right, so
that it does not add up from step to step.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import torch
from torch import Tensor

from ..errors import IVGError
from ..media.frames import to_frames
from ..media.images import LONGEST_SIDE, resize_mask
from ..media.masks import to_masks
from ..rom.composite import composite_over, seam
from ..rom.latent import crop_to, fit
from ..rom.overlay import colour_change, correct_drift, measure_drift

#: A change between two frames of a pass, 0..1, that may be noise, and one that surely is something that moved.
NOISE, MOVED = 6 / 255, 24 / 255
#: Over which share of the shorter side pictures are averaged, before they are compared.
AROUND = 0.012


@dataclass(frozen=True)
class StepDrift:
    """How a pass changed most pixels of the picture that it began with; none where its first frame is the picture.

    Attributes:
        colour: how far the region's colour moved in the first frame, levels of 255, mean over red, green and blue.
        contrast: by which share its contrast changed there, mean over the three.
        outside: how far pixels outside the region are off on average, levels of 255, in the frame where they are most;
            None where the region is the whole picture.
        corrected: whether it was put right.
    """

    colour: float
    contrast: float
    outside: float | None
    corrected: bool

    def report(self) -> str:
        """What was found, in a sentence for the user."""
        outside = "" if self.outside is None else f", pixels outside it by up to {self.outside:.1f}"
        end = "put right" if self.corrected else "left as it is within the region"
        found = f"colours drifted by {self.colour:.1f} levels of 255 and contrast by {self.contrast:.0%}{outside}"
        return f"In the region {found}; {end}."


@dataclass(frozen=True)
class FinishedFrames:
    """Frames of a step, of 8 bits: those that a file without loss keeps.

    Attributes:
        frames: (F, H, W, 3) 0..1; the first is the picture that the step began with.
        mask: (H, W) 0..1, in their size: the region of the whole step.
        drift: what was found.
    """

    frames: Tensor
    mask: Tensor
    drift: StepDrift


def finish_step(
    frames: Tensor, start: Tensor, mask: Tensor, *, pin_colour: bool = True, feather: float | None = None
) -> FinishedFrames:
    """Lay a step over the picture that it began with.

    Outside the region, and the seam around it, every frame is that picture to the bit. Within, colours and contrast are
    pinned to those of the picture, and what does not change keeps its detail.

    Args:
        frames: (F, H, W, 3) 0..1, F >= 2, as the model made them. Where the first one is the picture itself, and not
            the model's own of it, there is nothing to measure in the region.
        start: (H', W', 3) 0..1; of another size it is cropped around its centre and resized.
        mask: (H', W') or (F or any, H', W') 0..1, united; 1 = may move.
        pin_colour: put colours, contrast and detail right; otherwise they are only measured.
        feather: width in pixels of the seam, outside the mask; None takes 1/32 of the shorter side.

    Raises:
        IVGError: there are not two frames, an argument is of another shape, or the mask is empty.
    """
    frames = to_frames(frames).cpu()
    if len(frames) < 2:
        raise IVGError("A step needs at least 2 frames, the picture that it begins with and one after it: make more.")
    if feather is not None and not 0 <= feather <= LONGEST_SIDE:
        raise IVGError(f"feather is {feather}: give a number of pixels from 0 to {LONGEST_SIDE}.")
    size = (frames.shape[2], frames.shape[1])
    start = _eight_bits(fit(to_frames(start[None], "picture")[0].cpu(), size))
    region = resize_mask(crop_to(to_masks(mask).cpu(), size), size).amax(0)  # (H, W)
    inside = region >= 0.5
    if not inside.any():
        raise IVGError("The mask is empty (all black), so nothing would move: paint white what may move.")
    feather = min(size) / 32 if feather is None else feather
    made, drift = _pinned(frames, start, inside, seam(region, feather) == 0, pin_colour)
    laid = composite_over(made[None], start[None, None], region[None, None], feather)[0]
    laid[0] = start
    return FinishedFrames(_eight_bits(laid), region, drift)


def _pinned(
    frames: Tensor, start: Tensor, inside: Tensor, outside: Tensor, pin_colour: bool
) -> tuple[Tensor, StepDrift]:
    over_time = measure_drift(frames, start, outside)
    steady = frames if over_time is None else correct_drift(frames, over_time)
    # Soft ones, as detail that was lost would be taken for contrast.
    before, after = (_soft(picture)[inside] for picture in (start, steady[0]))
    gain, offset = colour_change(before, after)
    moved_by, stretched_by = (gain - 1) * before.mean(0) + offset, gain - 1
    if over_time is not None:  # which was taken out before the rest was measured
        moved_by = moved_by + (over_time.gain[0] - 1) * before.mean(0) + over_time.offset[0]
        stretched_by = stretched_by + over_time.gain[0] - 1
    drift = StepDrift(
        255 * float(moved_by.abs().mean()),
        float(stretched_by.abs().mean()),
        None if over_time is None else 255 * float(over_time.before.max()),
        pin_colour,
    )
    if not pin_colour:
        return frames, drift
    pinned = ((steady - offset) / gain).clamp_(0, 1)
    lost = start - pinned[0]  # the detail that the pass takes from the picture it begins with
    for frame in pinned[1:]:
        frame += lost * (1 - _moved(frame, pinned[0]))[..., None]
    return pinned.clamp_(0, 1), drift


def _moved(frame: Tensor, first: Tensor) -> Tensor:
    """How surely each pixel (H, W) shows something else than in the first frame, 0..1."""
    change = _soft((frame - first).abs().amax(-1))
    sure = ((change - NOISE) / (MOVED - NOISE)).clamp_(0, 1)
    return sure.square().mul(3 - 2 * sure)


def _soft(picture: Tensor) -> Tensor:
    """A picture (H, W, 3) or (H, W), averaged over the pixels around each."""
    spread = max(0.5, AROUND * min(picture.shape[:2]))
    return torch.from_numpy(cv2.GaussianBlur(picture.numpy(), (0, 0), spread))


def _eight_bits(pictures: Tensor) -> Tensor:
    """What is left of pictures, 0..1, in a file of 8 bits."""
    return pictures.mul(255).round_().div_(255)
