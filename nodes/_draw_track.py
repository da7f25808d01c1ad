"""A box track on its photo, as the editor shows it: the node's picture after a run."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..ivg_core.media.tracks import Box, Thing, Track

#: Those of web/js/box_track_picture.js, in the same order.
COLOURS = ("#ff8a2b", "#3fa9ff", "#4fd06a", "#ff5fa8", "#b98aff", "#f2d024", "#2bd4c8", "#ff6a5c")
BLACK = (0.0, 0.0, 0.0)


def draw_track(photo: Tensor, track: Track) -> Tensor:
    """The boxes of each thing's keyframes, and arrows from box to box.

    Args:
        photo: (H, W, 3), 0..1.
        track: what moves in it.

    Returns:
        (H, W, 3).
    """
    drawn = photo.cpu().float().contiguous().clone().numpy()
    height, width = drawn.shape[:2]
    thick = max(1, round(max(height, width) / 400))

    def corner(x: float, y: float) -> tuple[int, int]:
        return round(x * (width - 1)), round(y * (height - 1))

    for thing, colour in zip(track.things, COLOURS, strict=False):
        rgb = tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        for ink, wide in ((BLACK, thick + 2), (rgb, thick)):  # the dark rim is seen on any photo
            for x1, y1, x2, y2 in _boxes(thing):
                cv2.rectangle(drawn, corner(x1, y1), corner(x2, y2), ink, wide, cv2.LINE_AA)
            for start, goal in _ways(thing):
                cv2.arrowedLine(drawn, corner(*start), corner(*goal), ink, wide, cv2.LINE_AA, tipLength=0.08)
    return torch.from_numpy(drawn)


def _boxes(thing: Thing) -> list[Box]:
    return [key.box for key in thing.keyframes if key.box is not None]


def _ways(thing: Thing) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """From middle to middle of boxes that follow each other."""
    pairs = [(one.box, other.box) for one, other in pairwise(thing.keyframes)]
    middles = [tuple(_middle(box) for box in pair) for pair in pairs if None not in pair]
    return [(start, goal) for start, goal in middles if start != goal]


def _middle(box: Box) -> tuple[float, float]:
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2
