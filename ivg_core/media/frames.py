"""What a program hands in as frames or masks, made one thing: one rule for every entry of the library."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError

#: Rounding and sharpening go a little beyond 0..1; values beyond this are of another unit.
LEAST, MOST = -0.5, 1.5
#: Of a picture: grey, colours, colours with transparency.
CHANNELS = (1, 3, 4)


def check_channels_last(values: np.ndarray | Tensor, what: str) -> None:
    """Let pass pictures that do not come as networks have them, with the channels first.

    Args:
        values: (H, W, C) or (F, H, W, C); other shapes are left to whoever asks.
        what: they are called in an error.

    Raises:
        IVGError: (C, H, W) or (F, C, H, W), where C is 1, 3 or 4.
    """
    shape = tuple(values.shape)
    if len(shape) not in (3, 4) or shape[-3] not in CHANNELS or shape[-1] <= max(CHANNELS):
        return
    turn = "permute" if isinstance(values, Tensor) else "transpose"
    wanted, axes = (
        ("(height, width, 3)", "1, 2, 0") if len(shape) == 3 else ("(frames, height, width, 3)", "0, 2, 3, 1")
    )
    raise IVGError(f"The {what} came channel-first, as {shape}: give {wanted}, which is x.{turn}({axes}).")


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
    check_channels_last(frames, what)
    if frames.ndim != 4 or frames.shape[-1] not in CHANNELS:
        raise IVGError(f"The {what} have shape {tuple(frames.shape)}: give (frames, height, width, 3).")
    x = to_floats(frames[..., :3], what)
    return x.expand(-1, -1, -1, 3) if x.shape[-1] == 1 else x


def to_floats(values: np.ndarray | Tensor, what: str) -> Tensor:
    """Pictures or masks of any shape and number format, as floats: the rule that all of the library's entries share.

    Args:
        values: floats 0..1 of any precision, bool, or integers 0..255.
        what: they are called in an error.

    Returns:
        Of the same shape, float32, 0..1, on the same device; the same memory where nothing had to be changed.

    Raises:
        IVGError: there are none, or some are no colours, such as NaN.
    """
    x = as_tensor(values, what)
    if x.numel() == 0:
        raise IVGError(f"There are no {what} (shape {tuple(x.shape)}): look at the step that should have made them.")
    x = x.detach()
    x = x.float() if x.is_floating_point() or x.dtype == torch.bool else x.float() / 255
    least, most = (float(value) for value in x.aminmax())
    if not math.isfinite(least + most):
        raise IVGError(
            f"There are NaN or infinite values in the {what}: look at the step that made them; NaN comes of numbers "
            "that overflowed there."
        )
    if least < LEAST or most > MOST:
        raise IVGError(
            f"There are values from {least:.3g} to {most:.3g} in the {what}: floats must lie in 0..1 (divide by 255); "
            "bytes may be given as integers."
        )
    return x if least >= 0 and most <= 1 else x.clamp(0, 1)


def as_tensor(values: np.ndarray | Tensor, what: str) -> Tensor:
    """An array, however it lies in memory, or a tensor, as a tensor that holds numbers.

    Raises:
        IVGError: it is something else.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return torch.from_numpy(np.ascontiguousarray(values))
    if isinstance(values, Tensor) and not values.is_complex():
        return values
    kind = getattr(values, "dtype", type(values).__name__)
    raise IVGError(f"The {what} came as {kind}: give pictures as a tensor or an array of real numbers.")
