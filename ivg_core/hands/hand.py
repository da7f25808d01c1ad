"""What is known of one hand in one picture."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .regions import Roi

#: Rows of `Hand.joints` from the knuckle (or the thumb's base) to the tip. Row 0 is the wrist.
FINGERS = {
    "thumb": (1, 2, 3, 4),
    "index": (5, 6, 7, 8),
    "middle": (9, 10, 11, 12),
    "ring": (13, 14, 15, 16),
    "little": (17, 18, 19, 20),
}

#: Pairs of joints to draw a line between: the palm's outline and the fingers.
BONES = (
    *((0, 1), (0, 5), (5, 9), (9, 13), (13, 17), (0, 17)),
    *((start, start + 1) for finger in FINGERS.values() for start in finger[:-1]),
)


@dataclass(frozen=True, eq=False)  # a hand is equal to itself only: tensors do not compare to one truth
class Hand:
    """One hand.

    Attributes:
        joints: (21, 2) float32 on the CPU, x and y in pixels of the picture; they may lie outside of it.
        depth: (21,) distance behind the wrist, about in pixels; smaller is nearer to the camera.
        presence: how sure the landmark network is that its region shows a hand, 0..1.
        palm_score: how sure the palm detector was, 0..1; 0 for a hand that was only followed from the frame before.
        right: probability that it is the person's right hand, 0..1.
        roi: the region that the landmark network looked at.
        track: number of the hand in its clip, the same in every frame; None when it was not followed.
    """

    joints: Tensor
    depth: Tensor
    presence: float
    palm_score: float
    right: float
    roi: Roi
    track: int | None = None

    @property
    def centre(self) -> Tensor:
        """Mean of the joints (2,), in pixels."""
        return self.joints.mean(0)

    @property
    def palm(self) -> float:
        """Length of the palm, from the wrist to the middle finger's knuckle, in pixels."""
        return float((self.joints[9] - self.joints[0]).norm())
