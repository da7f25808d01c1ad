"""Draw hands over frames, readable at any size."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from .hand import BONES, FINGERS, Hand

#: Colour of each finger's bones, red, green, blue; the palm is white. Distinct to colour-blind eyes too (Okabe, Ito).
COLOURS = {
    "thumb": (230, 159, 0),
    "index": (86, 180, 233),
    "middle": (0, 158, 115),
    "ring": (240, 228, 66),
    "little": (204, 121, 167),
}
SHARP = 4  # positions are drawn to a sixteenth of a pixel


def draw_hands(frames: Tensor, hands: Sequence[Sequence[Hand]]) -> Tensor:
    """Frames with the hands drawn over them.

    Lines are as thick as the hand is large, with a dark edge, so that they show on bright and on dark pictures. Each
    finger has its own colour; the letter at the wrist is R or L, with the hand's number if it has one.

    Args:
        frames: (F, H, W, 3), 0..1.
        hands: for each frame its hands.

    Returns:
        (F, H, W, 3), 0..1, float32 on the CPU.
    """
    drawn = torch.empty(frames.shape)
    for frame, found, out in zip(frames, hands, drawn.numpy(), strict=True):
        np.divide(_draw(frame, found), np.float32(255), out=out)
    return drawn


def _draw(frame: Tensor, hands: Sequence[Hand]) -> np.ndarray:
    picture = frame.detach().float().clamp(0, 1).mul_(255).round_().byte().cpu().contiguous().numpy()
    owner = {row: name for name, rows in FINGERS.items() for row in rows}
    for hand in hands:
        width = max(1, round(0.04 * hand.palm))
        points = [tuple(round(v * 2**SHARP) for v in xy) for xy in hand.joints.tolist()]
        for edge in (True, False):
            for start, end in BONES:
                colour = COLOURS[owner[end]] if start in owner and owner[start] == owner[end] else (255, 255, 255)
                line = (0, 0, 0) if edge else colour
                cv2.line(picture, points[start], points[end], line, width + 2 * edge, cv2.LINE_AA, SHARP)
        for row, point in enumerate(points):
            colour = COLOURS[owner[row]] if row in owner else (255, 255, 255)
            for grow, fill in ((1, (0, 0, 0)), (0, colour)):
                cv2.circle(picture, point, (width + grow) << SHARP, fill, -1, cv2.LINE_AA, SHARP)
        _label(picture, hand)
    return picture


def _label(picture: np.ndarray, hand: Hand) -> None:
    text = ("R" if hand.right >= 0.5 else "L") + ("" if hand.track is None else str(hand.track))
    size = max(0.35, hand.palm / 110)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    below = hand.joints[0] + (hand.joints[0] - hand.joints[9]) / max(hand.palm, 1e-6) * 1.5 * height
    # kept inside of the picture, for a wrist that lies outside of it
    x = min(max(round(float(below[0]) - width / 2), 1), picture.shape[1] - width)
    y = min(max(round(float(below[1]) + height / 2), height + 1), picture.shape[0] - 3)
    thickness = max(1, round(1.5 * size))
    for extra, colour in ((2, (0, 0, 0)), (0, (255, 255, 255))):
        cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness + extra, cv2.LINE_AA)
