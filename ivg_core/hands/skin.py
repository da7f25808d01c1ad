"""Skin beside a hand that its five fingers do not explain: a sixth finger, a doubled one."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d

from ..media.frames import to_floats
from .hand import BONES, Hand

# All lengths are in palms (wrist to middle knuckle).
REACH = 2.0  # how far from its centre a hand is looked at
UNIT = 40  # pixels of a palm in the pictures that are looked at
CORE = 0.05  # so near to a bone there is surely skin
FINGER = 0.1  # so near to a bone it is that finger
PALM = 0.15  # by so much the palm is wider than the joints around it
NEAR = 0.65  # further from every bone there is surely none of this hand
OTHER = 0.4  # so near to another hand's bone it is that hand
BEHIND = 0.6  # knuckles are one palm ahead of the wrist; what is further back than this may be the forearm
THINNEST = 0.1  # thinner strips are the blurred rim of a finger
RIM = 0.05  # what is not so near to the fingers or the palm is not attached to them
LARGEST = 0.45  # squared palms: what is larger is no finger but another arm, or a thing of the colour of skin
WIDEST = 0.45  # so wide, no finger either
# With a larger share of skin around it, it is the edge of a finger whose joints are somewhat off. Where more of the
# hand's surroundings looks like skin than the joints explain, they are off, or a thing is held that looks like skin.
SIDES, SIDES_UNSURE = 0.75, 0.45
UNSURE = 0.13  # share of skin in the surroundings
AROUND = 0.1  # how far from a piece of skin its sides are looked at
OUTLINE = [0, 1, 2, 5, 9, 13, 17]  # joints around the palm
BINS = (16, 24, 24)


def skin_beside(frames: Tensor, sightings: Sequence[tuple[int, Hand]], hands: Sequence[Sequence[Hand]]) -> list[float]:
    """How much skin lies beside a hand's fingers, in each frame where it is seen.

    What skin looks like is learnt from the pixels on the hand's bones, and what it does not look like from those around
    the hand, so a wooden board under it is not taken for skin.

    Args:
        frames: (F, H, W, 3): floats 0..1 or integers 0..255.
        sightings: the frames in which the hand is seen, and the hand there.
        hands: all hands of every frame.

    Returns:
        For each sighting an area in squared palms; a finger has about 0.15.
    """
    looks = [_Look(frames[index], hand, hands[index]) for index, hand in sightings if hand.palm >= 1]
    skin, around = torch.zeros(BINS), torch.zeros(BINS)
    for look in looks:
        skin += look.histogram(look.core)
        around += look.histogram(look.far)
    skin, around = _smoothed(skin), _smoothed(around)
    likely = (skin > around + 2e-5).numpy()  # more so than not, and seen at all
    return [look.area(likely) for look in looks]


class _Look:
    """The surroundings of one hand in one frame, at a size of their own."""

    def __init__(self, frame: Tensor, hand: Hand, hands: Sequence[Hand]):
        side, scale = round(2 * REACH * UNIT), UNIT / hand.palm
        centre = hand.centre.numpy()
        self.move = np.array([[scale, 0, side / 2 - scale * centre[0]], [0, scale, side / 2 - scale * centre[1]]])
        self.shape = (side, side)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture = cv2.warpAffine(to_floats(frame, "frames").cpu().numpy(), self.move, self.shape, flags=way)
        inside = cv2.warpAffine(np.ones(frame.shape[:2], np.uint8), self.move, self.shape, flags=cv2.INTER_NEAREST) > 0
        lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)  # L 0..100, a and b about -50..70
        steps = (lab - (0, -48, -48)) / (6.25, 4, 4)
        self.bins = tuple(np.clip(steps[..., i], 0, BINS[i] - 1).astype(int) for i in range(3))
        self.inside = inside
        near, free = self._bones(hand, NEAR), inside & ~self._behind(hand)
        self.around = near & ~self._bones(hand, FINGER) & ~self._palm(hand) & free
        for other in hands:
            if other is not hand:
                free &= ~self._bones(other, OTHER)
        self.core = self._bones(hand, CORE) & inside
        self.beside = near & ~self._bones(hand, FINGER) & ~self._palm(hand) & free
        self.rim = self._bones(hand, FINGER + RIM) | self._palm(hand, PALM + RIM)
        self.far = ~near & free

    def histogram(self, where: np.ndarray) -> Tensor:
        counts = np.zeros(BINS, np.float32)
        np.add.at(counts, tuple(values[where] for values in self.bins), 1)
        return torch.from_numpy(counts)

    def area(self, likely: np.ndarray) -> float:
        found = (likely[self.bins] & self.beside).astype(np.uint8)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (round(THINNEST * UNIT),) * 2)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(found, cv2.MORPH_OPEN, disc))
        areas = stats[:, cv2.CC_STAT_AREA] / UNIT**2
        attached = np.unique(parts[self.rim])
        fingers = (part for part in attached if part and areas[part] <= LARGEST)
        unsure = self.around.any() and likely[self.bins][self.around].mean() >= UNSURE
        sides = SIDES_UNSURE if unsure else SIDES
        return float(sum(areas[part] for part in fingers if self._is_finger(parts == part, likely, sides)))

    def _is_finger(self, part: np.ndarray, likely: np.ndarray, sides: float) -> bool:
        """Whether a piece of skin is narrow, and at most so much of what is around it is skin too."""
        shape = np.pad(part, 1).astype(np.uint8)
        wide = 2 * float(cv2.distanceTransform(shape, cv2.DIST_L2, 3).max()) / UNIT
        ring = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(AROUND * UNIT) + 1,) * 2)
        beside = (cv2.dilate(shape, ring)[1:-1, 1:-1] > 0) & ~part
        return wide <= WIDEST and float((likely[self.bins] | ~self.inside)[beside].mean()) <= sides

    def _points(self, hand: Hand) -> np.ndarray:
        return (hand.joints.numpy() @ self.move[:, :2].T + self.move[:, 2]).round().astype(np.int32)

    def _bones(self, hand: Hand, width: float) -> np.ndarray:
        drawn, points = np.zeros(self.shape, np.uint8), self._points(hand)
        for start, end in BONES:
            cv2.line(drawn, points[start].tolist(), points[end].tolist(), 1, round(2 * width * UNIT))
        return drawn > 0

    def _palm(self, hand: Hand, wider: float = PALM) -> np.ndarray:
        drawn, outline = np.zeros(self.shape, np.uint8), [self._points(hand)[OUTLINE]]
        cv2.fillPoly(drawn, outline, 1)
        cv2.polylines(drawn, outline, True, 1, round(2 * wider * UNIT))
        return drawn > 0

    def _behind(self, hand: Hand) -> np.ndarray:
        points = self._points(hand)
        ahead = points[[5, 9, 13, 17]].mean(0) - points[0]
        ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-6)
        down, right = np.indices(self.shape)
        return (right - points[0, 0]) * ahead[0] + (down - points[0, 1]) * ahead[1] < BEHIND * UNIT


def _smoothed(counts: Tensor) -> Tensor:
    return avg_pool3d(counts[None, None], 3, 1, 1)[0, 0] / counts.sum().clamp(min=1)
