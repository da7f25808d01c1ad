"""A box track on its photo: the picture that its node shows after a run."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np

    from ..ivg_core.media.tracks import Box, Thing, Track

#: Pixels of the longer side: on a smaller photo the lines would hide it.
LEAST = 768


def draw_track(photo: Tensor, track: Track, mask: Tensor) -> Tensor:
    """The region in orange; and of each thing its first and last box, and the way between them.

    Args:
        photo: (H, W, 3), 0..1; a small one is enlarged.
        track: what moves in it.
        mask: (H, W), all that its boxes pass over.

    Returns:
        (H', W', 3), 0..1, on the CPU.
    """
    from ..ivg_core.media.images import resize_image, to_bytes
    from ..ivg_core.media.track_picture import COLOURS
    from ..ivg_core.rom.preview import draw_tint

    tinted = draw_tint(photo, mask, 0.2).cpu()
    scale = max(1.0, LEAST / max(photo.shape[:2]))
    pixels = to_bytes(resize_image(tinted, (round(scale * photo.shape[1]), round(scale * photo.shape[0]))))
    for thing, colour in zip(track.things, COLOURS, strict=False):
        for boxes in _ways(thing):
            _draw_way(pixels, boxes, colour)
    return torch.from_numpy(pixels).float() / 255


def _ways(thing: Thing) -> list[list[Box]]:
    """The boxes of the keyframes; a new list where it comes back."""
    runs = groupby((key.box for key in thing.keyframes), key=bool)
    return [[box for box in run if box] for there, run in runs if there]


def _draw_way(pixels: np.ndarray, boxes: list[Box], rgb: tuple[int, ...]) -> None:
    import cv2
    import numpy as np

    from ..ivg_core.media.track_picture import DARK

    height, width = pixels.shape[:2]
    corners = np.array(boxes) * [width - 1, height - 1, width - 1, height - 1]
    middles = ((corners[:, :2] + corners[:, 2:]) / 2).round().astype(int).tolist()
    thick = max(2, round(max(height, width) / 400))
    for ink, wide in ((DARK, thick + 2), (rgb, thick)):  # the dark rim is seen on any photo
        for x1, y1, x2, y2 in corners[[0, -1]].round().astype(int).tolist():
            cv2.rectangle(pixels, (x1, y1), (x2, y2), ink, wide, cv2.LINE_AA)
        cv2.polylines(pixels, [np.array(middles)], False, ink, wide, cv2.LINE_AA)
        if middles[0] != middles[-1]:
            cv2.circle(pixels, middles[-1], 3 * thick, ink, -1 if ink is rgb else wide, cv2.LINE_AA)
