"""Making a mask better: plain functions from mask to mask, and `refine_mask`, which chains them.

A mask is a tensor (H, W), or (F, H, W) with one mask a frame; values 0..1, 1 = may move. Functions about *shape*
(specks, holes, hull, box, grow, shrink) look at the core of the mask, its values of at least 0.5, and return hard 0/1
masks. Functions about *values* (smooth in time, combine, feather) keep soft values soft. All return float32 on the
mask's device and leave their input alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from ..media.images import resize_mask

log = logging.getLogger("ivg")

Combination = Literal["union", "intersect", "subtract"]


def refine_mask(
    mask: Tensor,
    *,
    smooth: int = 0,
    threshold: float | None = None,
    min_area: int = 0,
    close: int = 0,
    fill_holes: bool = False,
    convex_hull: bool = False,
    box: bool = False,
    each_part: bool = False,
    grow: int = 0,
    other: Tensor | None = None,
    combine: Combination = "union",
    feather: float = 0.0,
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

    Returns:
        A mask of the same shape.

    Raises:
        IVGError: wrong shape, NaN, or an argument outside its range.
    """
    mask = _checked(mask, "mask")
    for name, value in (("smooth", smooth), ("min_area", min_area), ("close", close), ("feather", feather)):
        if not value >= 0:
            raise IVGError(f"{name} is {value}: it cannot be below 0.")
    if smooth:
        mask = smooth_in_time(mask, smooth)
    if threshold is not None:
        mask = apply_threshold(mask, threshold)
    if min_area:
        mask = remove_specks(mask, min_area)
    if close:
        mask = close_gaps(mask, close)
    if fill_holes:
        mask = fill_enclosed(mask)
    if convex_hull:
        mask = hull_of(mask, each_part)
    if box:
        mask = box_of(mask, each_part)
    if grow:
        mask = grow_by(mask, grow) if grow > 0 else shrink_by(mask, -grow)
    if other is not None:
        mask = combine_masks(mask, other, combine)
    if feather:
        mask = feather_edge(mask, feather)
    return mask


def smooth_in_time(mask: Tensor, radius: int) -> Tensor:
    """Mean over the frames from `radius` before to `radius` after; a single mask stays as it is. Soft."""
    if mask.ndim == 2 or radius == 0:
        return mask.float()
    total = torch.cat([mask.new_zeros(1, *mask.shape[1:]), mask.double().cumsum(0)])  # (F + 1, H, W)
    frames = torch.arange(len(mask), device=mask.device)
    first, last = (frames - radius).clamp(min=0), (frames + radius + 1).clamp(max=len(mask))
    return ((total[last] - total[first]) / (last - first)[:, None, None]).float().clamp(0, 1)


def apply_threshold(mask: Tensor, threshold: float) -> Tensor:
    """1 where the mask is at least `threshold` (0..1) and above 0, else 0."""
    if not 0 <= threshold <= 1:
        raise IVGError(f"The threshold is {threshold}: it must lie in 0..1.")
    return ((mask >= threshold) & (mask > 0)).float()


def resize_hard(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask of 0 and 1 in another size (width, height), its edges where they were: halfway between the two. Hard."""
    return apply_threshold(resize_mask(mask, size), 0.5)


def remove_specks(mask: Tensor, min_area: int) -> Tensor:
    """Without the connected parts (8 neighbours) that have fewer than `min_area` pixels. Hard."""

    def keep_large(core: np.ndarray) -> np.ndarray:
        _, labels, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
        large = stats[:, cv2.CC_STAT_AREA] >= min_area
        large[0] = False  # label 0 is the background
        return large[labels.astype(np.intp)]

    return _per_frame(mask, keep_large)


def close_gaps(mask: Tensor, radius: int) -> Tensor:
    """Morphological closing with a disc: gaps narrower than about twice `radius` pixels are bridged. Hard."""
    return shrink_by(grow_by(mask, radius), radius)


def fill_enclosed(mask: Tensor) -> Tensor:
    """With everything filled that the mask encloses, and that so does not reach the border of the picture. Hard."""

    def fill(core: np.ndarray) -> np.ndarray:
        _, labels = cv2.connectedComponents(1 - core, connectivity=4)
        border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        return (core > 0) | ~np.isin(labels, border)

    return _per_frame(mask, fill)


def hull_of(mask: Tensor, each_part: bool = False) -> Tensor:
    """The convex hull of the mask, or of each of its connected parts. Hard."""

    def hull(core: np.ndarray) -> np.ndarray:
        filled = core.copy()
        for points in _outlines(core, each_part):
            cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
        return filled

    return _per_frame(mask, hull)


def box_of(mask: Tensor, each_part: bool = False) -> Tensor:
    """The bounding box of the mask, or of each of its connected parts. Hard."""

    def boxes(core: np.ndarray) -> np.ndarray:
        filled = core.copy()
        for points in _outlines(core, each_part):
            x, y, width, height = cv2.boundingRect(points)
            filled[y : y + height, x : x + width] = 1
        return filled

    return _per_frame(mask, boxes)


def grow_by(mask: Tensor, pixels: float) -> Tensor:
    """Everything within `pixels` of the mask, by exact Euclidean distance. Hard."""
    return _per_frame(mask, lambda core: distance_to(core) <= pixels)


def shrink_by(mask: Tensor, pixels: float) -> Tensor:
    """Only what lies further than `pixels` from the outside; the picture's border does not count as outside. Hard."""
    return _per_frame(mask, lambda core: distance_to(1 - core) > pixels)


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

    def blur(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)

    return _per_frame(mask, blur, hard=False).clamp(0, 1)


def distance_to(core: np.ndarray) -> np.ndarray:
    """Distance in pixels of every pixel to the nearest 1 of a 0/1 uint8 picture (H, W); infinite if there is none."""
    if not core.any():
        return np.full(core.shape, np.inf, dtype=np.float32)
    return cv2.distanceTransform(1 - core, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _outlines(core: np.ndarray, each_part: bool) -> list[np.ndarray]:
    contours = cv2.findContours(core, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    return list(contours) if each_part or not contours else [np.concatenate(contours)]


def _per_frame(mask: Tensor, function: Callable[[np.ndarray], np.ndarray], hard: bool = True) -> Tensor:
    values = mask.detach().float().cpu()
    frames = (values >= 0.5).byte().numpy() if hard else values.numpy()
    if mask.ndim == 2:
        done = function(np.ascontiguousarray(frames))
    else:
        done = np.stack([function(np.ascontiguousarray(frame)) for frame in frames])
    return torch.from_numpy(done.astype(np.float32)).to(mask.device)


def _checked(mask: Tensor, what: str) -> Tensor:
    if mask.ndim not in (2, 3) or mask.numel() == 0:
        raise IVGError(f"The {what} has shape {tuple(mask.shape)}: give (height, width) or (frames, height, width).")
    mask = mask.detach().float()
    if not torch.isfinite(mask).all():
        raise IVGError(f"The {what} holds NaN or infinite values: look at the step that made it.")
    return mask.clamp(0, 1)
