"""A clip from any model over its still photo: cropped alike, colours put right, laid over with a soft seam."""

from __future__ import annotations

import dataclasses
import logging

import torch
from torch import Tensor

from ..errors import IVGError
from ..media.images import resize_mask
from .composite import composite_over, seam
from .latent import crop_to, fit

log = logging.getLogger("ivg")


def overlay_clip(
    frames: Tensor, photo: Tensor, mask: Tensor, feather: float | None = None, correct_colour: bool = True
) -> tuple[Tensor, str]:
    """Lay a clip over the photo that it was made from, in the photo's colours.

    Args:
        frames: (F, H, W, 3), 0..1.
        photo: (H', W', 3), 0..1; of another size it is cropped around its centre and resized, which is logged.
        mask: (H', W'), or (F, H', W') with one mask a frame; 0..1, 1 = the clip shows.
        feather: width in pixels of the seam, outside the mask; None takes 1/32 of the shorter side.
        correct_colour: take the drift, measured outside the mask, out of the whole frame.

    Returns:
        (F, H, W, 3), and what was found, in words.

    Raises:
        IVGError: the mask has another number of frames.
    """
    count, height, width = frames.shape[:3]
    masks = mask if mask.ndim == 3 else mask[None]
    if len(masks) not in (1, count):
        raise IVGError(f"There are {len(masks)} masks for {count} frames: give one mask, or one a frame.")
    for name, size in (("photo", photo.shape[:2]), ("mask", masks.shape[-2:])):
        if tuple(size) != (height, width):
            log.warning(
                "The %s is %d x %d, the frames %d x %d: it is cropped and resized.", name, *size[::-1], width, height
            )
    photo = fit(photo, (width, height))
    masks = resize_mask(crop_to(masks, (width, height)), (width, height))  # (F or 1, H, W)
    feather = min(width, height) / 32 if feather is None else feather

    outside = seam(masks.amax(0), feather).to(frames.device) == 0
    drift = measure_drift(frames, photo, outside)
    if drift is None:
        report = "The mask covers the whole picture: there is nothing outside it to compare colours with."
    else:
        report = drift.report(correct_colour)
        frames = correct_drift(frames, drift) if correct_colour else frames
    if len(masks) == 1:
        return composite_over(frames[None], photo[None], masks, feather)[0], report
    return composite_over(frames[:, None], photo.expand(count, -1, -1, -1), masks, feather)[:, 0], report


ENOUGH = 0.01  # share of the picture that must lie outside the mask for its colours to be judged
FLAT = 2 / 255  # a spread below this says nothing about contrast
STEADY = 12 / 255  # what is left after the correction when the camera stood still


@dataclasses.dataclass(frozen=True)
class Drift:
    """How the colours outside the mask changed; a pixel of the photo became about `gain * photo + offset`.

    Attributes:
        gain: (F, 3).
        offset: (F, 3), 0..1.
        before: (F,), mean absolute difference from the photo outside the mask, 0..1.
        after: (F,), the same once it is corrected.
    """

    gain: Tensor
    offset: Tensor
    before: Tensor
    after: Tensor

    def report(self, corrected: bool = True) -> str:
        """What was found, in sentences for the user; levels are of 255."""
        worst = int(self.before.argmax())
        shift = self.offset[worst] + (self.gain[worst] - 1) / 2  # of a middle grey
        channel = int(shift.abs().argmax())
        text = (
            f"Outside the mask the colours differ by {255 * self.before.mean():.1f} levels of 255 on average, most in "
            f"frame {worst + 1} ({255 * self.before[worst]:.1f}; {('red', 'green', 'blue')[channel]} "
            f"{255 * shift[channel]:+.1f})."
        )
        left = f"{255 * self.after.mean():.1f}"
        text += f" Corrected, {left} are left." if corrected else f" Not corrected; a correction would leave {left}."
        if self.after.mean() > STEADY:
            text += " That is much: the camera moved, or things changed outside the mask, and the seam may show."
        return text


def measure_drift(frames: Tensor, photo: Tensor, outside: Tensor) -> Drift | None:
    """Measure how each frame's colours differ from the photo's outside the mask.

    Pixels that changed quite unlike most others do not count: a shadow or a sleeve that reaches over the edge.

    Args:
        frames: (F, H, W, 3), 0..1.
        photo: (H, W, 3), 0..1.
        outside: (H, W) bool, True where nothing should have changed.

    Returns:
        The drift; None where less than 1 % of the picture lies outside.

    Raises:
        IVGError: the sizes differ.
    """
    if frames.shape[1:] != photo.shape or outside.shape != photo.shape[:2]:
        raise IVGError(
            f"The frames are {tuple(frames.shape[1:])}, the photo {tuple(photo.shape)} and the mask "
            f"{tuple(outside.shape)}: give all of them the same height and width."
        )
    if outside.float().mean() < ENOUGH:
        return None
    were = photo[outside]  # (N, 3)
    gains, offsets, before, after = [], [], [], []
    for frame in frames:  # one by one: a long clip would take its memory again
        are = frame[outside]
        gain, offset = _colour_change(were, are)
        gains.append(gain)
        offsets.append(offset)
        before.append((are - were).abs().mean())
        after.append(((are - offset) / gain - were).abs().mean())
    return Drift(torch.stack(gains), torch.stack(offsets), torch.stack(before), torch.stack(after))


def correct_drift(frames: Tensor, drift: Drift) -> Tensor:
    """The frames (F, H, W, 3) with the drift taken out, also inside the mask; 0..1."""
    return ((frames - drift.offset[:, None, None]) / drift.gain[:, None, None]).clamp(0, 1)


def _colour_change(were: Tensor, are: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and offset (3,) that take most of the pixels (N, 3) from what they were to what they are."""
    change = are - were
    strange = (change - change.median(dim=0).values).abs().amax(1)  # (N,)
    most = strange <= 3 * strange.median() + 1 / 255
    were, are = were[most], are[most]
    spread, spread_now = were.std(dim=0), are.std(dim=0)
    gain = torch.where((spread > FLAT) & (spread_now > FLAT), spread_now / spread.clamp(min=FLAT), 1.0).clamp(0.5, 2)
    return gain, are.mean(dim=0) - gain * were.mean(dim=0)
