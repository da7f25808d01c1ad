"""What a program hands in as frames or masks, made one thing: one rule for every entry of the library."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import IVGError

#: Rounding and sharpening go a little beyond 0..1; values beyond this are of another unit.
LEAST, MOST = -0.5, 1.5


def to_frames(frames: Tensor, what: str = "frames") -> Tensor:
    """Make frames of any number format and number of channels the library's.

    Args:
        frames: (F, H, W, C): floats 0..1 of any precision, or integers 0..255; C is 1 (grey), 3, or 4, of which the
            transparency goes.
        what: they are called in an error.

    Returns:
        (F, H, W, 3) float32, 0..1, on the same device; the same memory where nothing had to be changed.

    Raises:
        IVGError: there are none, they have another shape, or values that are no colours.
    """
    if frames.ndim != 4 or frames.shape[-1] not in (1, 3, 4):
        raise IVGError(f"The {what} have shape {tuple(frames.shape)}: give (frames, height, width, 3).")
    x = _values(frames[..., :3], what)
    return x.expand(-1, -1, -1, 3) if x.shape[-1] == 1 else x


def to_masks(masks: Tensor, what: str = "masks") -> Tensor:
    """Make masks of any number format the library's.

    Args:
        masks: (H, W) or (F, H, W): floats 0..1 of any precision, bool, or integers 0..255.
        what: they are called in an error.

    Returns:
        (F, H, W) float32, 0..1, on the same device.

    Raises:
        IVGError: there are none, they have another shape, or values that are none of a mask.
    """
    if masks.ndim not in (2, 3):
        raise IVGError(f"The {what} have shape {tuple(masks.shape)}: give (height, width) or (frames, height, width).")
    return _values(masks if masks.ndim == 3 else masks[None], what)


def _values(x: Tensor, what: str) -> Tensor:
    if x.numel() == 0:
        raise IVGError(f"There are no {what} (shape {tuple(x.shape)}): look at the step that should have made them.")
    x = x.detach()
    if not (x.is_floating_point() or x.dtype == torch.bool):
        x = x.float() / 255
    x = x.float()
    least, most = (float(value) for value in x.aminmax())
    if not (least >= LEAST and most <= MOST):  # NaN, too
        raise IVGError(
            f"The {what} hold values from {least:.3g} to {most:.3g}: colours and masks are floats 0..1 or bytes. "
            "Look at the step that made them; NaN comes of numbers that overflowed there."
        )
    return x if least >= 0 and most <= 1 else x.clamp(0, 1)
