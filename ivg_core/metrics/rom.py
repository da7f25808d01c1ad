"""How good a Region of Motion is, and whether a video respects it."""

from __future__ import annotations

from torch import Tensor


def mask_iou(first: Tensor, second: Tensor) -> float:
    """Intersection over union of two masks, each (H, W), cut at 0.5; two empty masks agree (1.0)."""
    a, b = first > 0.5, second > 0.5
    union = (a | b).sum().item()
    return (a & b).sum().item() / union if union else 1.0


def motion_outside_ratio(frames: Tensor, mask: Tensor) -> float:
    """Mean change against the first frame outside the mask, divided by that inside.

    Args:
        frames: (F, H, W, 3) 0..1.
        mask: (H, W), 1 = may move.

    Returns:
        0 for a still background; 1 if everything moves alike. NaN where there is no inside, no outside or no motion.

    Source: background stillness, the counterpart of the released code's motion precision.
    """
    change = (frames[1:] - frames[:1]).abs().mean(dim=(0, 3))  # (H, W)
    inside = mask > 0.5
    return (change[~inside].mean() / change[inside].mean()).item()
