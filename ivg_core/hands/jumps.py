"""What no camera sees around a hand: the picture leaps away and back, or the hand is gone from one frame to the next.

Judged in the picture, not by the joints: a network that errs moves joints, while the hand goes on smoothly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from torch import Tensor

from ..media.frames import to_floats
from .hand import Hand

#: Pixels of a palm in the pictures that are compared; nothing is enlarged.
UNIT = 20
#: By so much of a palm the region that is compared is wider than the hand's hull.
AROUND = 0.15
#: Smallest change that counts, as a share of the brightness: noise and compression.
NOISE = 0.02
#: A leap away and back lasts at most so many frames.
LONGEST = 3


@dataclass(frozen=True)
class Jumps:
    """How the picture around one hand changes; see `find_jumps`."""

    leaps: np.ndarray  # (F,) 0..1: by which share a frame's neighbours are more like each other than like it
    breaks: np.ndarray  # (F - 1,) 0..1: how sudden the step to the next frame is, beside the steps before and after


def find_jumps(frames: Tensor, sightings: Sequence[tuple[int, Hand]]) -> Jumps:
    """Look for leaps and breaks where a hand is.

    What moves smoothly differs the more the further two frames are apart. Where a frame differs from both of its
    neighbours, and these from each other less, something leapt away and back.

    Args:
        frames: (F, H, W, 3): floats 0..1 or integers 0..255.
        sightings: the frames in which the hand is seen, and the hand there. Leaps are looked for between the first and
            the last of them.
    """
    look = _Surroundings(frames, sightings)
    first, last = sightings[0][0], sightings[-1][0]
    leaps, breaks = np.zeros(len(frames)), np.zeros(len(frames) - 1)
    for step in range(len(breaks)):  # all that needs a frame is done while it is held
        for after in range(step + 2, min(step + LONGEST + 1, last) + 1) if step >= first else ():
            where = look.region(step, step + 1, after - 1, after)
            away = min(look.change(step, step + 1, where), look.change(after - 1, after, where))
            leap = max(away - look.change(step, after, where), 0.0) / (away + NOISE)
            leaps[step + 1 : after] = np.maximum(leaps[step + 1 : after], leap)
        where = look.region(step, step + 1)
        here = look.change(step, step + 1, where)
        near = [look.change(other, other + 1, where) for other in (step - 1, step + 1) if 0 <= other < len(breaks)]
        breaks[step] = max(here - max(near, default=here), 0.0) / (here + NOISE)
    return Jumps(leaps, breaks)


class _Surroundings:
    """The frames at the size of one hand, and where it is in each; between two sightings it is taken to go straight.

    Only a few pictures are held at a time: those of a small hand would take the memory of the clip again.
    """

    def __init__(self, frames: Tensor, sightings: Sequence[tuple[int, Hand]]):
        palm = float(np.median([hand.palm for _, hand in sightings]))
        scale = min(UNIT / max(palm, 1.0), 1.0)
        self.frames, self.blur = frames, 0.075 * scale * palm
        self.size = [max(1, round(side * scale)) for side in (frames.shape[2], frames.shape[1])]
        self.picture = lru_cache(maxsize=LONGEST + 4)(self._picture)
        self.around = max(1, round(AROUND * scale * palm))
        seen = [index for index, _ in sightings]
        joints = np.stack([hand.joints.numpy() for _, hand in sightings]) * scale  # (T, 21, 2)
        flat = joints.reshape(len(seen), -1)
        every = np.arange(len(frames))
        self.joints = np.stack([np.interp(every, seen, way) for way in flat.T], -1).reshape(-1, 21, 2)

    def _picture(self, index: int) -> np.ndarray:
        whole = to_floats(self.frames[index], "frames").cpu().numpy()
        return cv2.GaussianBlur(cv2.resize(whole, self.size, interpolation=cv2.INTER_AREA), (0, 0), self.blur)

    def region(self, *frames: int) -> np.ndarray:
        """Where the hand is in any of these frames."""
        drawn = np.zeros(self.size[::-1], np.uint8)
        for frame in frames:
            points = self.joints[frame].clip(-(2**14), 2**14).round().astype(np.int32)
            cv2.fillConvexPoly(drawn, cv2.convexHull(points), 1)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * self.around + 1,) * 2)
        return cv2.dilate(drawn, disc) > 0

    def change(self, one: int, other: int, where: np.ndarray) -> float:
        """Mean difference of two frames there."""
        if not where.any():
            return 0.0
        return float(np.abs(self.picture(one)[where] - self.picture(other)[where]).mean())
