"""Masks for a model without stage-1 weights. The caller chooses one by name; none of them is ever used silently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from ..media.images import ImageLike, resize_mask, to_image, to_mask
from .refine import grow_by


class HandDetector(Protocol):
    """Finds hands in a photo."""

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Photo (H, W, 3) 0..1 → for every hand its 21 keypoints (21, 2) as x, y in pixels."""
        ...


def white_mask(size: tuple[int, int]) -> Tensor:
    """Everything may move.

    Args:
        size: (width, height) in pixels.

    Returns:
        (height, width) of ones.
    """
    width, height = size
    return torch.ones(height, width)


def prior_mask(masks: Sequence[ImageLike], size: tuple[int, int]) -> Tensor:
    """Where things moved in other clips: the mean of a set of masks, each stretched to the photo.

    Args:
        masks: paths, PIL images or tensors (H, W), of any sizes.
        size: (width, height) of the photo in pixels.

    Returns:
        (height, width), 0..1: the share of masks that hold each pixel. `refine_mask(…, threshold=…)` makes it hard.

    Raises:
        IVGError: no masks, or one that cannot be read.
    """
    if len(masks) == 0:
        raise IVGError("The prior mask is the mean of other masks, and none were given: give at least one.")
    total = torch.zeros(size[1], size[0])
    for mask in masks:
        total += resize_mask(to_mask(mask), size)
    return total / len(masks)


def hand_hull_mask(image: ImageLike, detector: HandDetector, margin: float, joint: bool = False) -> Tensor:
    """The hands of the photo, and what is near them.

    Args:
        image: the photo.
        detector: finds the hands in it.
        margin: how many pixels around the hands may move too.
        joint: one hull around all hands, as the released annotation script draws it, instead of one for each.

    Returns:
        (H, W) of 0 and 1, in the photo's size.

    Raises:
        IVGError: no hand is found, or the margin is below 0.
    """
    if not margin >= 0:
        raise IVGError(f"The margin around the hands is {margin} pixels: it cannot be below 0.")
    photo = to_image(image)
    hands = detector(photo)
    if not hands:
        raise IVGError("No hand was found in the photo: choose another fallback (white or prior), or draw the mask.")
    return grow_by(draw_hulls(hands, (photo.shape[1], photo.shape[0]), joint), margin)


def draw_hulls(hands: Sequence[Tensor], size: tuple[int, int], joint: bool = False) -> Tensor:
    """Fill the convex hulls of hands.

    Args:
        hands: for every hand its keypoints (21, 2) as x, y in pixels; they may lie outside of the picture.
        size: (width, height) in pixels.
        joint: one hull around all hands instead of one for each.

    Returns:
        (height, width) of 0 and 1; all 0 without hands.

    Source: the released code's mask_video.py, which draws the joint hull.
    """
    return torch.from_numpy(fill_hulls(hands, size, joint)).float()


def fill_hulls(hands: Sequence[Tensor], size: tuple[int, int], joint: bool = False) -> np.ndarray:
    """As `draw_hulls`, (height, width) uint8."""
    picture = np.zeros((size[1], size[0]), np.uint8)
    points = [np.asarray(hand, dtype=np.float64).astype(np.int32) for hand in hands]  # truncated, as in the source
    if joint and points:
        points = [np.concatenate(points)]
    for hand in points:
        cv2.fillConvexPoly(picture, cv2.convexHull(hand), 1)
    return picture
