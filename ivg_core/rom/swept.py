"""The Region of Motion of a box track: all that its boxes pass over."""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from ..media.tracks import Box, Track
from .refine import grow_by

#: Pixels. A box that reaches less far into a pixel touches it only by rounding.
ROUNDING = 1e-6


def swept(track: Track, size: tuple[int, int], grow: float = 0.0) -> Tensor:
    """Mark every pixel that a box of the track touches at any time, also between frames.

    Args:
        track: its things; while one is not there it marks nothing.
        size: (width, height) of the mask.
        grow: by which share of the width the region grows, 0..1.

    Returns:
        (height, width) of 0 and 1; all 0 where nothing is ever there.

    Raises:
        IVGError: `grow` lies outside 0..1.
    """
    if not 0 <= grow <= 1:
        raise IVGError(f"grow is {grow}: give a share of the picture's width, 0..1.")
    mask = np.zeros((size[1], size[0]), bool)
    for thing in track.things:
        boxes = [key.box for key in thing.keyframes]
        for start, goal in chain(pairwise(boxes), [(boxes[-1], boxes[-1])]):
            if start is not None:
                _sweep(mask, start, goal or start)
    return grow_by(torch.from_numpy(mask).float(), grow * size[0])


def _sweep(mask: np.ndarray, start: Box, goal: Box) -> None:
    """Mark what a box touches on its way; how fast it goes, and so its easing, does not matter."""
    height, width = mask.shape
    (left, top, right, bottom), (left2, top2, right2, bottom2) = (
        (x1 * width, y1 * height, x2 * width, y2 * height) for x1, y1, x2, y2 in (start, goal)
    )
    # the pixels from the first to the last that are ever touched
    x = np.arange(int(min(left, left2)), min(int(max(right, right2)) + 1, width))
    y = np.arange(int(min(top, top2)), min(int(max(bottom, bottom2)) + 1, height))
    x_from, x_until = _when_touched(x, left, left2, right, right2)
    y_from, y_until = _when_touched(y, top, top2, bottom, bottom2)
    # A pixel is touched if there is a moment at which both its column and its row are.
    touched = np.maximum(x_from, y_from[:, None]) < np.minimum(x_until, y_until[:, None])
    mask[y[0] : y[-1] + 1, x[0] : x[-1] + 1] |= touched


def _when_touched(
    pixels: np.ndarray, low: float, low_goal: float, high: float, high_goal: float
) -> tuple[np.ndarray, np.ndarray]:
    """From when to when, in shares of the way, pixels of one axis lie between two edges that move; until 0 if never."""
    since, until = np.zeros(len(pixels)), np.ones(len(pixels))
    # how far each edge reaches into a pixel, on setting out and on arrival: it is touched while both do
    for now, then in (
        (pixels + 1 - low - ROUNDING, pixels + 1 - low_goal - ROUNDING),
        (high - pixels - ROUNDING, high_goal - pixels - ROUNDING),
    ):
        change = np.where(now == then, 1, now - then)
        crossing = now / change
        since = np.where((now <= 0) & (then > 0), np.maximum(since, crossing), since)
        until = np.where((now > 0) & (then <= 0), np.minimum(until, crossing), until)
        until = np.where((now <= 0) & (then <= 0), 0, until)
    return since, until
