"""Whether things are where a box track asks for them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BoxScore:
    """How well boxes agree with those that were asked for; each figure 0..1, higher is better.

    Attributes:
        average_overlap: AO, the mean of their IoU.
        success_50, success_75: SR50 and SR75, the share of boxes whose IoU is above 0.5 and 0.75.
        boxes: that were asked for and count; without any the figures are NaN.
    """

    average_overlap: float
    success_50: float
    success_75: float
    boxes: int

    def __str__(self) -> str:
        if not self.boxes:
            return "nothing was asked for that could be compared"
        return (
            f"AO {self.average_overlap:.3f}, SR50 {self.success_50:.3f}, SR75 {self.success_75:.3f} "
            f"({self.boxes} boxes)"
        )


def score_boxes(asked: Tensor, found: Tensor) -> BoxScore:
    """Compare boxes one by one.

    A thing that was asked for and not found counts as an IoU of 0; one that was not asked for does not count, found or
    not. The frame that shows the photo should be left out: see `without_start`.

    Args:
        asked: (..., 5), such as `Track.boxes` or one thing of it.
        found: (..., 5), of the same shape.

    Source: Huang et al. 2019 (GOT-10k), by which SMCD measures.
    """
    overlap = box_iou(asked, found)[asked[..., 4] > 0]
    if not len(overlap):
        return BoxScore(math.nan, math.nan, math.nan, 0)
    shares = [float((overlap > least).double().mean()) for least in (0.5, 0.75)]
    return BoxScore(float(overlap.mean()), shares[0], shares[1], len(overlap))


def box_iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of boxes.

    Args:
        one, other: (..., 5) each: x1, y1, x2, y2, and 1 where the thing is there.

    Returns:
        (...) float64, 0..1; 0 where a thing is not there in one of them, or in both.
    """
    one, other = one.double(), other.double()
    sides = torch.minimum(one[..., 2:4], other[..., 2:4]) - torch.maximum(one[..., :2], other[..., :2])
    shared = sides.clamp(min=0).prod(-1)
    areas = [(box[..., 2:4] - box[..., :2]).clamp(min=0).prod(-1) for box in (one, other)]
    overlap = shared / (areas[0] + areas[1] - shared).clamp(min=1e-12)
    return overlap * (one[..., 4] > 0) * (other[..., 4] > 0)


def without_start(asked: Tensor) -> Tensor:
    """What is asked for, without the first frame of each thing, from which it is followed.

    Args:
        asked: (F, N, 5).

    Returns:
        (F, N, 5), all 0 there.
    """
    there = asked[..., 4] > 0
    first = there & (there.cumsum(0) == 1)
    return asked * ~first[..., None]
