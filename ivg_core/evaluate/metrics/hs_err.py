"""HS-Err: how far the hands of a generated video are from those of the true one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...errors import IVGError

if TYPE_CHECKING:
    from ...hands.hand import Hand
    from ...hands.tracker import HandTracker


#: How the figure is explained wherever it is told.
LEGEND = (
    "HS-Err is the mean squared distance of the hands' joints from those of the true clip, the picture's width and "
    "height being 1; 0 is best. A true hand that is not found counts as if all its joints lay in the corner (0, 0), so "
    "most of HS-Err tells of missing hands: the share of the true hands that are found stands beside it. HS-Err of the "
    "found hands is over these alone. Clips whose truth shows no hand do not count."
)


@dataclass(frozen=True)
class HSErr:
    """Hand structure error, and what it hides: most of it comes from hands that are missing.

    Attributes:
        value: mean squared distance of the joints in image-normalised coordinates (x / width, y / height), over the
            joints of a frame and then over the frames with a true hand. Hands that the generated video lacks lie at
            (0, 0). NaN where the true video shows no hand.
        value_found: the same over the hands found in both alone; NaN where there are none.
        recall: share of the true video's hands that the generated one has; NaN where it has none.
        detection_rate_generated, detection_rate_true: share of the frames with at least one hand.
        hands_true: hands of the true video, counted anew in every frame.
        frames: that were compared.
    """

    value: float
    value_found: float
    recall: float
    detection_rate_generated: float
    detection_rate_true: float
    hands_true: int
    frames: int


def hs_err(
    generated: Tensor,
    true: Tensor | Sequence[Sequence[Hand]],
    tracker: HandTracker,
    *,
    true_size: tuple[int, int] | None = None,
    latter: int | None = None,
) -> HSErr:
    """Compare the hands of a generated video with those of the true one.

    Hands are looked for in every frame of both for itself, and paired within each frame: with a hand of the same side
    where there is one, and then by the distance of their centres.

    Args:
        generated: (F, H, W, 3) 0..1.
        true: (F, H', W', 3) 0..1, or its hands, a list a frame.
        tracker: finds the hands; the same one for all videos that are compared.
        true_size: (width, height) in pixels of the true video; needed where its hands are given.
        latter: compare only the last so many frames, as the first ones are close to the photo in any video.

    Returns:
        See `HSErr`.

    Raises:
        IVGError: the videos have not as many frames, the size is missing, or `latter` is not a number of frames.

    Source: paper section 4, HS-Err; its equation 2 for hands that are missing.
    """
    if len(generated) != len(true):
        raise IVGError(f"The videos have {len(generated)} and {len(true)} frames: give as many of both.")
    if latter is not None and not 1 <= latter <= len(generated):
        raise IVGError(f"latter is {latter}: it must lie in 1..{len(generated)}, the number of frames.")
    if not isinstance(true, Tensor) and true_size is None:
        raise IVGError("The hands of the true video are given without its size: give true_size=(width, height).")
    start = 0 if latter is None else len(generated) - latter
    generated, true = generated[start:], true[start:]
    size = (generated.shape[2], generated.shape[1])
    found = [[normalised(hand, size) for hand in hands] for hands in tracker.detect(generated)]
    if isinstance(true, Tensor):
        true_size = (true.shape[2], true.shape[1])
        true = tracker.detect(true)
    assert true_size is not None
    wanted = [[normalised(hand, true_size) for hand in hands] for hands in true]
    of_frames, of_pairs, count = [], [], 0
    for ours, theirs in zip(found, wanted, strict=True):
        errors = []
        for (joints, _), partner in zip(theirs, pair(theirs, ours), strict=True):
            place = torch.zeros_like(joints) if partner is None else ours[partner][0]
            errors.append(float((place - joints).square().sum(-1).mean()))
            of_pairs += errors[-1:] if partner is not None else []
        count += len(errors)
        of_frames += [_mean(errors)] if errors else []
    return HSErr(
        value=_mean(of_frames),
        value_found=_mean(of_pairs),
        recall=len(of_pairs) / count if count else float("nan"),
        detection_rate_generated=_mean([float(bool(hands)) for hands in found]),
        detection_rate_true=_mean([float(bool(hands)) for hands in wanted]),
        hands_true=count,
        frames=len(wanted),
    )


Placed = tuple[Tensor, bool]  # joints (21, 2) in image-normalised coordinates, and whether it is a right hand


def normalised(hand: Hand, size: tuple[int, int]) -> Placed:
    """A hand in image-normalised coordinates; `size` is (width, height) in pixels."""
    return hand.joints / torch.tensor(size, dtype=hand.joints.dtype), hand.right >= 0.5


def pair(theirs: Sequence[Placed], ours: Sequence[Placed]) -> list[int | None]:
    """For each hand of the one frame its partner in the other, or None: of the same side first, then the closest."""
    costs = sorted(
        (_cost(one, other), row, column) for row, one in enumerate(theirs) for column, other in enumerate(ours)
    )
    partners: list[int | None] = [None] * len(theirs)
    for _, row, column in sorted(costs):
        if partners[row] is None and column not in partners:
            partners[row] = column
    return partners


def _cost(one: Placed, other: Placed) -> float:
    # no distance within a picture is as long as 10
    return float((one[0].mean(0) - other[0].mean(0)).norm()) + 10 * (one[1] != other[1])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
