"""Making a mask better: plain functions from mask to mask, and `refine_mask`, which chains them.

A mask is a tensor (H, W), or (F, H, W) with one mask a frame; values 0..1, 1 = may move. Functions about *shape*
(specks, holes, hull, box, grow, shrink) look at the core of the mask, its values of at least 0.5, and return hard 0/1
masks. Functions about *values* (smooth in time, combine, feather) keep soft values soft. All return float32 on the
mask's device and leave their input alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from ..media.images import LONGEST_SIDE, resize_mask
from ..media.masks import check_no_channels, mask_floats
from . import morphology
from .units import Unit, in_pixels

log = logging.getLogger("ivg")

Combination = Literal["union", "intersect", "subtract"]
LARGE = 2_000_000  # pixels beyond which a wide blur is worked out in a smaller picture
ROWS = 64  # of a clip's masks that are smoothed at once


def refine_mask(
    mask: Tensor,
    *,
    smooth: int = 0,
    threshold: float | None = None,
    min_area: float = 0,
    close: float = 0,
    fill_holes: bool = False,
    convex_hull: bool = False,
    box: bool = False,
    each_part: bool = False,
    grow: float = 0,
    other: Tensor | None = None,
    combine: Combination = "union",
    feather: float = 0.0,
    unit: Unit = "pixels",
) -> Tensor:
    """Refine a mask, or one mask a frame, in the order of the arguments.

    The second mask comes near the end, so that what it adds or cuts away stays exactly so.

    Args:
        mask: (H, W) or (F, H, W), 0..1.
        smooth: each frame's mask becomes the mean over this many frames before and after it.
        threshold: values from here up become 1, the others 0; None leaves them.
        min_area: parts with fewer pixels than this are removed.
        close: gaps and holes up to about twice this many pixels wide are closed.
        fill_holes: everything that the mask encloses is filled.
        convex_hull: the mask becomes its convex hull.
        box: the mask becomes its bounding box.
        each_part: one hull or box for each connected part instead of one around all.
        grow: pixels by which the mask grows on every side; negative numbers shrink it.
        other: a second mask (H', W') or (F', H', W'); resized if need be, which is logged.
        combine: how the second mask is joined: "union", "intersect" or "subtract".
        feather: width in pixels of the soft edge, half inside and half outside.
        unit: in what `min_area`, `close`, `grow` and `feather` are told in place of pixels, see `in_pixels`.

    Returns:
        A mask of the same shape.

    Raises:
        IVGError: wrong shape, NaN, or an argument outside its range.
    """
    mask = _checked(mask, "mask")
    for name, value in (("smooth", smooth), ("min_area", min_area), ("close", close), ("feather", feather)):
        if not value >= 0:
            raise IVGError(f"{name} is {value}: it cannot be below 0.")
    for name, value in (("close", close), ("grow", grow), ("feather", feather)):
        if not abs(value) <= LONGEST_SIDE:  # NaN, too
            raise IVGError(f"{name} is {value}: give a number of at most {LONGEST_SIDE}.")
    width = mask.shape[-1]
    min_area = in_pixels(min_area, unit, width, area=True)
    close, grow, feather = (in_pixels(length, unit, width) for length in (close, grow, feather))
    if smooth:
        mask = smooth_in_time(mask, smooth)
    if threshold is not None:
        mask = apply_threshold(mask, threshold)
    shape: list[Callable[[np.ndarray], np.ndarray]] = []  # these look at the core; one after the other, in bytes
    if min_area:
        shape.append(partial(morphology.without_specks, min_area=min_area))
    if close:
        shape.append(partial(morphology.closed, pixels=close))
    if fill_holes:
        shape.append(morphology.filled)
    if convex_hull:
        shape.append(partial(morphology.hulled, each_part=each_part))
    if box:
        shape.append(partial(morphology.boxed, each_part=each_part))
    if grow:
        shape.append(partial(morphology.grown if grow > 0 else morphology.shrunk, pixels=abs(grow)))
    if shape:
        mask = _shaped(mask, *shape)
    if other is not None:
        mask = combine_masks(mask, other, combine)
    if feather:
        mask = feather_edge(mask, feather)
    return mask


def smooth_in_time(mask: Tensor, radius: int) -> Tensor:
    """Mean over the frames from `radius` before to `radius` after; a single mask stays as it is. Soft."""
    if mask.ndim == 2 or radius == 0:
        return mask.float()
    windows = [(max(0, index - radius), min(len(mask), index + radius + 1)) for index in range(len(mask))]
    smooth = torch.empty(mask.shape, device=mask.device)
    for rows, out in zip(mask.split(ROWS, 1), smooth.split(ROWS, 1), strict=True):  # (F, ROWS, W): sums are doubles
        total = [torch.zeros_like(rows[0], dtype=torch.float64)]
        for frame in rows:
            total.append(total[-1] + frame)
        for index, (first, last) in enumerate(windows):
            out[index] = (total[last] - total[first]) / (last - first)
    return smooth.clamp_(0, 1)


def apply_threshold(mask: Tensor, threshold: float) -> Tensor:
    """1 where the mask is at least `threshold` (0..1) and above 0, else 0."""
    if not 0 <= threshold <= 1:
        raise IVGError(f"The threshold is {threshold}: it must lie in 0..1.")
    return (mask >= threshold if threshold > 0 else mask > 0).float()


def resize_hard(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask of 0 and 1 in another size (width, height), its edges where they were: halfway between the two. Hard."""
    return apply_threshold(resize_mask(mask, size), 0.5)


def remove_specks(mask: Tensor, min_area: float) -> Tensor:
    """Without the connected parts (8 neighbours) that have fewer than `min_area` pixels. Hard."""
    return _shaped(mask, partial(morphology.without_specks, min_area=min_area))


def close_gaps(mask: Tensor, radius: float) -> Tensor:
    """Morphological closing with a disc: gaps narrower than about twice `radius` pixels are bridged. Hard."""
    return _shaped(mask, partial(morphology.closed, pixels=radius))


def fill_enclosed(mask: Tensor) -> Tensor:
    """With everything filled that the mask encloses, and that so does not reach the border of the picture. Hard."""
    return _shaped(mask, morphology.filled)


def hull_of(mask: Tensor, each_part: bool = False) -> Tensor:
    """The convex hull of the mask, or of each of its connected parts. Hard."""
    return _shaped(mask, partial(morphology.hulled, each_part=each_part))


def box_of(mask: Tensor, each_part: bool = False) -> Tensor:
    """The bounding box of the mask, or of each of its connected parts. Hard."""
    return _shaped(mask, partial(morphology.boxed, each_part=each_part))


def grow_by(mask: Tensor, pixels: float) -> Tensor:
    """Everything within `pixels` of the mask, by exact Euclidean distance. Hard."""
    return _shaped(mask, partial(morphology.grown, pixels=pixels))


def shrink_by(mask: Tensor, pixels: float) -> Tensor:
    """Only what lies further than `pixels` from the outside; the picture's border does not count as outside. Hard."""
    return _shaped(mask, partial(morphology.shrunk, pixels=pixels))


def combine_masks(mask: Tensor, other: Tensor, combine: Combination = "union") -> Tensor:
    """Join two masks value by value: the larger (union), the smaller (intersect), or without the other (subtract).

    Soft values stay soft.

    Args:
        mask: (H, W) or (F, H, W).
        other: another one; it is resized to the first one's pixels if it has others, and that is logged. A single mask
            applies to every frame.
        combine: "union", "intersect" or "subtract".

    Returns:
        A mask of the first one's shape; (F, H, W) where only the second has frames.

    Raises:
        IVGError: both have frames, and not as many.
    """
    mask, other = _checked(mask, "mask"), _checked(other, "second mask").to(mask.device)
    if other.shape[-2:] != mask.shape[-2:]:
        sizes = (other.shape[-1], other.shape[-2], mask.shape[-1], mask.shape[-2])
        log.warning("The second mask is %d x %d pixels and the first %d x %d: the second is resized.", *sizes)
        other = resize_mask(other, (mask.shape[-1], mask.shape[-2]))
    if other.ndim == 3 and len(other) == 1:
        other = other[0]
    if mask.ndim == other.ndim == 3 and 1 != len(mask) != len(other):
        raise IVGError(f"The masks have {len(mask)} and {len(other)} frames: give as many of both, or a single one.")
    if combine == "union":
        return torch.maximum(mask, other)
    if combine == "intersect":
        return torch.minimum(mask, other)
    if combine == "subtract":
        return torch.minimum(mask, 1 - other)
    raise IVGError(f"Masks can be combined by union, intersect or subtract, not by {combine!r}.")


def feather_edge(mask: Tensor, width: float) -> Tensor:
    """Blur the edge with a Gaussian, so that it takes about `width` pixels from 1 to 0. Soft."""
    # 2 sigma on either side hold 95 % of the way; OpenCV finds no kernel for much less than 0.1
    sigma = max(width / 4, 0.1)
    blur = _blurred_large if mask.shape[-2] * mask.shape[-1] > LARGE else _blurred
    return _each(mask.detach().float().cpu(), lambda values: blur(values, sigma)).to(mask.device).clamp_(0, 1)


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def _blurred_large(values: np.ndarray, sigma: float) -> np.ndarray:
    """As `_blurred`, only around the mask, and a wide blur in a smaller picture: wrong by half a level of 255."""
    part = morphology.around((values > 0).view(np.uint8), 4 * sigma + 2)
    near = values[part]
    less = max(1, int(sigma / 4))
    if less > 1:
        height, width = near.shape
        small = cv2.resize(near, (-(-width // less), -(-height // less)), interpolation=cv2.INTER_AREA)
        near = cv2.resize(_blurred(small, sigma / less), (width, height))
    else:
        near = _blurred(near, sigma)
    blurred = np.zeros_like(values)
    blurred[part] = near
    return blurred


def _shaped(mask: Tensor, *steps: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """The core of each mask, (H, W) uint8 of 0 and 1, after the steps."""

    def shaped(values: np.ndarray) -> np.ndarray:
        core = np.ascontiguousarray(values >= 0.5).view(np.uint8)
        for step in steps:
            core = step(core)
        return core

    return _each(mask.detach().float().cpu(), shaped).to(mask.device)


def _each(mask: Tensor, function: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """A function of one mask (H, W), for one or for one a frame."""
    done = torch.empty(mask.shape)
    for values, out in zip(mask.reshape(-1, *mask.shape[-2:]), done.view(-1, *mask.shape[-2:]), strict=True):
        out.copy_(torch.from_numpy(function(np.ascontiguousarray(values.numpy()))))
    return done


def _checked(mask: Tensor, what: str) -> Tensor:
    check_no_channels(mask, what)
    if mask.ndim not in (2, 3) or mask.numel() == 0:
        raise IVGError(f"The {what} has shape {tuple(mask.shape)}: give (height, width) or (frames, height, width).")
    return mask_floats(mask, what)
