"""Taking the camera and the colours out of a clip, so that what is left is what moved in the scene.

Everything happens at a width of 224 pixels, whatever the clip's size: pictures are (h, 224, 3) uint8, matrices (3, 3)
take points of the first frame to points of another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..media.images import to_bytes

WIDTH = 224
#: With so much of the picture in agreement, the motion is the camera's.
AGREED = 0.5
#: A camera that moved no corner by more than this share of the width stood still.
STILL = 0.01


class Seen(NamedTuple):
    """What the camera did up to one frame."""

    to_frame: np.ndarray  # (3, 3), from the first frame
    agreement: float  # share of the picture that moves with it, 0..1


class Camera:
    """Follows the camera of a clip from its first frame on.

    The steps from frame to frame are chained, and as a chain drifts, each result is fitted to the first frame again.

    Args:
        first: (h, 224, 3), see `reduced`.
    """

    def __init__(self, first: np.ndarray):
        self._grey = _grey(first)
        self._before, self._to_frame = self._grey, np.eye(3)
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def follow(self, frame: np.ndarray) -> Seen:
        """The next frame (h, 224, 3)."""
        grey = _grey(frame)
        step, _ = _affine(self._flow.calc(self._before, grey, None))  # type: ignore[call-overload]
        to_frame = step @ self._to_frame
        rest, agreement = _affine(self._flow.calc(self._grey, lay_over(grey, to_frame), None))  # type: ignore[call-overload]
        if agreement >= AGREED:
            to_frame = to_frame @ rest
        self._before, self._to_frame = grey, to_frame
        return Seen(to_frame, agreement)


def reduced(frames: Tensor) -> list[np.ndarray]:
    """Frames (F, H, W, 3), 0..1, at the width at which they are looked at."""
    size = (WIDTH, reduced_height(frames.shape[2], frames.shape[1]))
    return [cv2.resize(to_bytes(frame), size, interpolation=cv2.INTER_AREA) for frame in frames[..., :3]]


def reduced_height(width: int, height: int) -> int:
    """Of a picture once it is WIDTH pixels wide."""
    return max(1, round(height * WIDTH / width))


def lay_over(picture: np.ndarray, to_frame: np.ndarray) -> np.ndarray:
    """A frame as the first frame's camera would have seen it."""
    size = (picture.shape[1], picture.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, to_frame[:2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def seen_in(to_frame: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels of the first frame (h, w) a frame still shows, bool."""
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(np.ones(shape[:2], np.float32), to_frame[:2], (shape[1], shape[0]), flags=flags) > 0


def stood_still(to_frame: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether the camera hardly moved: see STILL."""
    height, width = shape[:2]
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64)
    return bool(np.abs(corners @ (to_frame - np.eye(3))[:2].T).max() <= STILL * width)


def laid_over(pictures: Tensor, cameras: Sequence[np.ndarray]) -> Tensor:
    """Frames or their masks as the first frame's camera would have seen them.

    Args:
        pictures: (F, H, W) or (F, H, W, C), in pixels of the clip.
        cameras: F matrices of `Camera`.

    Returns:
        The same shape; what the first frame does not show is cut off, what a frame does not show is 0.
    """
    height, width = pictures.shape[1:3]
    scale = np.diag([width / WIDTH, height / reduced_height(width, height), 1.0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = [
        cv2.warpAffine(picture, (scale @ camera @ np.linalg.inv(scale))[:2], (width, height), flags=flags)
        for picture, camera in zip(pictures.float().cpu().numpy(), cameras, strict=True)
    ]
    return torch.from_numpy(np.stack(laid))


def same_colours(picture: np.ndarray, first: np.ndarray) -> np.ndarray:
    """A frame (h, w, 3) float in the first one's colours: gain and offset of each channel, by what changed least."""
    out = np.empty_like(picture)
    for channel in range(3):
        now, then = picture[..., channel].ravel(), first[..., channel].ravel()
        keep, gain, offset = np.ones(now.size, bool), 1.0, 0.0
        for _ in range(3):
            a, b = now[keep], then[keep]
            gain = float(np.clip(np.cov(a, b)[0, 1] / a.var(), 0.5, 2)) if min(a.std(), b.std()) > 2 else 1.0
            offset = float(np.median(b - gain * a))
            error = np.abs(gain * now + offset - then)
            keep = error <= 3 * np.median(error) + 1
        out[..., channel] = gain * picture[..., channel] + offset
    return out


def _affine(flow: np.ndarray) -> tuple[np.ndarray, float]:
    """The affine motion (3, 3) that most of a flow (h, w, 2) agrees on, and the share that does."""
    y, x = (axis.ravel() for axis in np.mgrid[2 : flow.shape[0] : 4, 2 : flow.shape[1] : 4])
    here = np.stack([x, y], 1).astype(np.float32)
    matrix, agree = cv2.estimateAffine2D(here, here + flow[y, x], method=cv2.RANSAC, ransacReprojThreshold=1.0)
    return (np.eye(3), 0.0) if matrix is None else (np.vstack([matrix, [0, 0, 1]]), float(agree.mean()))


def _grey(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
