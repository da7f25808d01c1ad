"""What moves in a clip: where, how much of it where it may, and drawn as optical flow."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import torch
from torch import Tensor

from ...errors import IVGError
from ...media.frames import to_frames
from ...media.images import to_bytes, to_mask

#: Grey levels of 255 by which a pixel must change to count as moved; the released code's threshold.
CHANGE = 20
#: Pixels of a side that optical flow needs.
SMALLEST = 16


def moved_area(frames: Tensor, threshold: int = CHANGE, least: int = 0) -> Tensor:
    """Where a clip differs from its first frame, as the released code sees it: boxes around all that changed.

    Args:
        frames: (F, H, W, 3) 0..1.
        threshold: grey levels of 255; a pixel that changes by more in any frame has changed.
        least: boxes of fewer pixels are left out.

    Returns:
        (H, W) of 0 and 1.

    Source: get_moved_area_mask of the released code, which takes red for blue when it makes grey; so does this.
    """
    changed = np.uint8(_largest_change(frames) > threshold)
    boxes = np.zeros_like(changed)
    for contour in cv2.findContours(changed, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]:
        x, y, width, height = cv2.boundingRect(contour)
        if width * height >= least:
            boxes[y : y + height, x : x + width] = 1
    return torch.from_numpy(boxes).float()


def motion_precision(frames: Tensor, mask: Tensor, threshold: int = CHANGE) -> float:
    """Share of the area that moved which lies inside the Region of Motion; higher is better.

    Args:
        frames: (F, H, W, 3) 0..1.
        mask: (H, W), above 0 = may move.
        threshold: see `moved_area`.

    Returns:
        0..1; NaN if nothing moved.

    Source: calculate_motion_precision of the released code.
    """
    moved = moved_area(frames, threshold) > 0
    total = int(moved.sum())
    return int((moved & (mask.cpu() > 0)).sum()) / total if total else float("nan")


def background_stillness(frames: Tensor, mask: Tensor, threshold: int = CHANGE) -> float:
    """Share of the pixels outside the Region of Motion that never leave their first value; higher is better.

    Unlike motion precision it looks at single pixels, and does not reward a clip for moving much inside.

    Args:
        frames: (F, H, W, 3) 0..1.
        mask: (H, W), above 0 = may move.
        threshold: grey levels of 255 by which a pixel may change.

    Returns:
        0..1; NaN if there is nothing outside.
    """
    outside = (mask.cpu() <= 0).numpy()
    return float((_largest_change(frames)[outside] <= threshold).mean()) if outside.any() else float("nan")


def _largest_change(frames: Tensor) -> np.ndarray:
    """Grey levels (H, W) uint8 by which each pixel differs from the first frame at most."""
    pictures = to_bytes(to_frames(frames))
    grey = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in pictures]
    changes = [cv2.absdiff(grey[0], other) for other in grey[1:]] or [np.zeros_like(grey[0])]
    return np.stack(changes).max(0)


def optical_flow(frames: Tensor) -> Tensor:
    """Dense optical flow from each frame to the next.

    Args:
        frames: (F, H, W, 3) 0..1, F >= 2; H and W at least 16.

    Returns:
        (F - 1, H, W, 2), pixels to the right and down.

    Source: dense inverse search, Kroeger et al. 2016, as in OpenCV.
    """
    pictures = to_bytes(to_frames(frames))
    if min(pictures.shape[1:3]) < SMALLEST:
        raise IVGError(f"Frames of {pictures.shape[2]} x {pictures.shape[1]} pixels are too small to see motion in.")
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flows = [search.calc(one, other, None) for one, other in pairwise(grey)]
    return torch.from_numpy(np.stack(flows))


def draw_flow(flow: Tensor, fastest: float | None = None) -> Tensor:
    """Optical flow as colours: white is still, the hue is the direction, full colour the fastest motion.

    Args:
        flow: (F, H, W, 2) in pixels a frame.
        fastest: speed of full colour; None takes the clip's own 99th percentile, at least one pixel. To compare clips
            give the same to all.

    Returns:
        (F, H, W, 3) 0..1.
    """
    speed = flow.norm(dim=-1)
    if fastest is None:
        fastest = max(1.0, float(np.percentile(speed.numpy(), 99)))
    angle = torch.atan2(flow[..., 1], flow[..., 0])  # -pi..pi
    full = torch.ones_like(speed)
    hsv = torch.stack([angle.rad2deg() % 360, (speed / fastest).clamp(max=1), full], -1).float().numpy()
    return torch.from_numpy(np.stack([cv2.cvtColor(picture, cv2.COLOR_HSV2RGB) for picture in hsv]))


def mask_iou(first: Tensor, second: Tensor) -> float:
    """Intersection over union of two masks, each (H, W), cut at 0.5; two empty masks agree (1.0)."""
    a, b = (to_mask(mask) > 0.5 for mask in (first, second))
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
