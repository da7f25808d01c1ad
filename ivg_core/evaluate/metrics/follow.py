"""Where things go in a clip that came without boxes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .motion import optical_flow

#: What the boxes come from: to be told beside every figure that rests on them.
TRACKER = "median flow over OpenCV's DIS optical flow"
#: A thing is gone when less than this share of it is in the picture.
LEAST_SHOWN = 0.1


def follow(frames: Tensor, start: Tensor) -> Tensor:
    """Follow things by what moves in their boxes: the median motion shifts a box, the median stretch resizes it.

    A tracker of few means: it loses a thing over which another passes, and takes no thing up again. It is
    exact to the bit from run to run, as OpenCV's own trackers without weights are not.

    Args:
        frames: (F, H, W, 3) 0..1, F >= 2; H and W at least 16.
        start: (F, N, 5), such as `Track.boxes`: each thing is followed from the first frame in which it is there.

    Returns:
        (F, N, 5): x1, y1, x2, y2 and 1; all 0 before a thing's first frame, and once it has left the picture.

    Raises:
        IVGError: the frames are too small.

    Source: the displacement and scale of Kalal et al. 2010 (median flow), with a dense field in place of points.
    """
    flow = optical_flow(frames).numpy()  # (F - 1, H, W, 2)
    size = np.array([frames.shape[2], frames.shape[1]], dtype=np.float64)
    boxes = torch.zeros(start.shape)
    for thing, there in enumerate((start[..., 4] > 0).T):
        if not there.any():
            continue
        first = int(there.nonzero()[0])
        corners = start[first, thing, :4].double().numpy().reshape(2, 2)
        centre, sides = corners.mean(0) * size, (corners[1] - corners[0]) * size
        for frame in range(first, len(frames)):
            shown = np.clip([centre - sides / 2, centre + sides / 2], 0, size)  # (2, 2)
            seen = shown[1] - shown[0]
            if (seen < 1).any() or seen.prod() < LEAST_SHOWN * sides.prod():
                break
            boxes[frame, thing] = torch.tensor([*(shown / size).flatten(), 1])
            if frame < len(flow):
                (left, top), (right, bottom) = shown.round().astype(int)
                shift, stretch = _motion_of(flow[frame, top:bottom, left:right])
                centre, sides = centre + shift, sides * stretch
    return boxes


def _motion_of(flow: np.ndarray) -> tuple[np.ndarray, float]:
    """By how much a piece (H, W, 2) of a flow shifts as a whole, in pixels, and by which factor it grows."""
    height, width = flow.shape[:2]
    down, right = np.indices((height, width))
    # from the pixel opposite of the centre to this one, before and after
    before = np.stack([2 * right - (width - 1), 2 * down - (height - 1)], -1)
    after = before + flow - flow[::-1, ::-1]
    far = np.linalg.norm(before, axis=-1) > min(height, width) / 4
    stretches = np.linalg.norm(after, axis=-1)[far] / np.linalg.norm(before, axis=-1)[far]
    return np.median(flow.reshape(-1, 2), axis=0), float(np.median(stretches)) if len(stretches) else 1.0
