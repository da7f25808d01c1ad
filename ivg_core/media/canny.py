"""Edges of frames, by Canny: what a ControlNet for them follows."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from .frames import to_frames
from .images import to_bytes


def canny_edges(frames: Tensor, low: float = 100, high: float = 200) -> Tensor:
    """The edges of each frame, white on black.

    Args:
        frames: (F, H, W, 3) 0..1; see `to_frames`.
        low: a change in brightness from pixel to pixel, in 8-bit levels, from which on what touches an edge belongs to
            it, 0 to `high`.
        high: from which on it begins one; lower ones find more edges.

    Returns:
        (F, H, W, 3) of 0 and 1, on the CPU.

    Raises:
        IVGError: they are no frames, or the limits are none.

    Source: ControlNet (arXiv 2302.05543), its annotator; OpenCV on 8-bit colours.
    """
    if not 0 <= low <= high < float("inf"):
        raise IVGError(f"The limits of the edges are {low} and {high}: give 0 <= low <= high, such as 100 and 200.")
    found = [cv2.Canny(np.ascontiguousarray(frame), low, high) for frame in to_bytes(to_frames(frames))]
    edges = torch.from_numpy(np.stack(found)).float() / 255
    return edges[..., None].repeat(1, 1, 1, 3)
