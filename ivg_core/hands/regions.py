"""Regions of interest: turned squares that networks look at, cut out of frames with gradients to the pixels.

Coordinates are pixels of the frame, x to the right and y down; angles are radians, clockwise as seen.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

#: Joints that hardly move when fingers bend: the region of the next frame is laid around these.
STEADY_JOINTS = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]


class Roi(NamedTuple):
    """A square: centre, side length, and the angle by which it is turned; at 0 the fingers of a hand point up."""

    cx: float
    cy: float
    size: float
    angle: float


def crop(frames: Tensor, owner: Tensor, rois: Tensor, size: int, padding: str = "border") -> Tensor:
    """Cut turned squares out of frames. Differentiable in the frames.

    Args:
        frames: (F, H, W, 3).
        owner: (N,) which frame each square is cut from.
        rois: (N, 4) centre x, centre y, side, angle.
        size: pixels of the side of what is returned.
        padding: what lies outside of the frame: its "border" repeated, or "zeros".

    Returns:
        (N, 3, size, size), bilinear, without smoothing before shrinking, as MediaPipe does it.
    """
    height, width = frames.shape[1:3]
    steps = torch.arange(size, dtype=rois.dtype, device=rois.device) / size - 0.5
    down, right = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack([right, down], -1).expand(len(rois), size, size, 2)  # within the square, -0.5..0.5
    points = to_pixels(points.flatten(1, 2), rois).unflatten(1, (size, size))  # (N, size, size, 2)
    grid = (2 * points + 1) / points.new_tensor([width, height]) - 1
    pieces = [frames.new_zeros(0, 3, size, size)]
    for index, rows in ((i, owner == i) for i in owner.unique().tolist()):
        frame = frames[index].permute(2, 0, 1)[None]  # (1, 3, H, W); not one copy of it for each of its squares
        stacked = grid[rows].to(frame).flatten(0, 1)[None]  # (1, n * size, size, 2)
        cut = grid_sample(frame, stacked, mode="bilinear", padding_mode=padding, align_corners=False)
        pieces.append(cut[0].unflatten(1, (-1, size)).transpose(0, 1))  # (n, 3, size, size)
    return torch.cat(pieces)[owner.argsort(stable=True).argsort()]


def to_pixels(points: Tensor, rois: Tensor) -> Tensor:
    """Points within squares to points of the frame.

    Args:
        points: (N, K, 2), -0.5..0.5 across the square.
        rois: (N, 4).

    Returns:
        (N, K, 2) in pixels.
    """
    centre, size, angle = rois[:, None, :2], rois[:, None, 2:3], rois[:, None, 3]
    x, y = (points * size).unbind(-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([x * cos - y * sin, x * sin + y * cos], -1) + centre


def to_region(points: Tensor, rois: Tensor) -> Tensor:
    """Points of the frame (N, K, 2) in pixels to points within squares, -0.5..0.5; the inverse of `to_pixels`."""
    centre, size, angle = rois[:, None, :2], rois[:, None, 2:3], rois[:, None, 3]
    x, y = (points - centre).unbind(-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([x * cos + y * sin, y * cos - x * sin], -1) / size


def roi_of_palm(box: Tensor, wrist: Tensor, middle: Tensor) -> Roi:
    """The region of the hand that a palm belongs to.

    Args:
        box: (4,) left, top, right, bottom of the palm.
        wrist: (2,).
        middle: (2,) the middle finger's knuckle; the region is turned so that it lies straight above the wrist.

    Source: MediaPipe's palm detection to region: 2.6 times the box, moved half of its height towards the fingers.
    """
    left, top, right, bottom = box.tolist()
    return _region((left + right) / 2, (top + bottom) / 2, right - left, bottom - top, _turn(wrist, middle), 2.6, 0.5)


def roi_of_joints(joints: Tensor) -> Roi:
    """The region around known joints (21, 2): for a second look, or for the next frame.

    Source: MediaPipe's hand landmarks to region: 2 times their box, moved a tenth of its height towards the fingers.
    """
    knuckles = ((joints[5] + joints[13]) / 2 + joints[9]) / 2
    angle = _turn(joints[0], knuckles)
    steady = joints[STEADY_JOINTS]
    upright = steady.new_tensor([[0.0, 0.0, 1.0, angle]])
    within = to_region(steady[None], upright)[0]
    low, high = within.min(0).values, within.max(0).values
    cx, cy = to_pixels(((low + high) / 2)[None, None], upright)[0, 0].tolist()
    width, height = (high - low).tolist()
    return _region(cx, cy, width, height, angle, 2.0, 0.1)


def _turn(wrist: Tensor, above: Tensor) -> float:
    x, y = (above - wrist).tolist()
    angle = math.atan2(y, x) + math.pi / 2
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _region(cx: float, cy: float, width: float, height: float, angle: float, scale: float, shift: float) -> Roi:
    cx += shift * height * math.sin(angle)
    cy -= shift * height * math.cos(angle)
    return Roi(cx, cy, scale * max(width, height), angle)
