"""A clip from any model over its still photo: cropped alike, colours put right, laid over with a soft seam."""

from __future__ import annotations

import logging

from torch import Tensor

from ..errors import IVGError
from ..media.images import resize_mask
from ..rom.latent import crop_to, fit
from .composite import composite_over, seam
from .drift import correct_drift, measure_drift

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
