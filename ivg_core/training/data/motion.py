"""How much a clip moves, and how much of that is the camera: for filtering, and for holding egocentric clips still."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

ENOUGH_MATCHES = 12
FEATURES = 2048
CELLS = 16  # of the longer side
SEARCH_SIDE = 640  # corners are described by their surroundings, for which small frames have no room


def motion_score(frames: np.ndarray) -> int:
    """Ten times the mean change from frame to frame of hue, saturation and value, on OpenCV's scales.

    Args:
        frames: (F, H, W, 3) uint8.

    Returns:
        0 for a still clip; a hand at work in a steady picture gives some tens; noise some hundreds.

    Source: the released code's calculate_motion_score; its data set took clips of at least 50.
    """
    if len(frames) < 2:
        return 0
    hsv = [cv2.cvtColor(frame, cv2.COLOR_RGB2HSV).astype(np.int16) for frame in frames]
    changes = [np.abs(b - a).mean() for a, b in pairwise(hsv)]
    return round(10 * float(np.mean(changes)))


def background_motion(frames: np.ndarray) -> np.ndarray | None:
    """The homography of the background from every frame to the first.

    Frames are matched with the first one, or, where that fails, with the frame before. What moves by itself is outvoted
    as long as it covers less of the picture than what stands.

    Args:
        frames: (F, H, W, 3) uint8.

    Returns:
        (F, 3, 3), pixels of frame k to pixels of frame 0; None where the background has too little to hold on to.
    """
    times = max(1, round(SEARCH_SIDE / max(frames.shape[1:3])))
    grey = [_grey(frame, times) for frame in frames]
    found = [np.eye(3)]
    for before, frame in pairwise(grey):
        homography = _match(frame, grey[0])
        if homography is None:
            step = _match(frame, before)
            if step is None:
                return None
            homography = found[-1] @ step
        found.append(homography / homography[2, 2])
    return enlarge(np.stack(found), 1 / times)


def camera_motion(homographies: np.ndarray, size: tuple[int, int]) -> float:
    """How far the camera leads the picture's corners away from the first frame, at most, as a share of the diagonal.

    Args:
        homographies: see `background_motion`.
        size: (width, height) of the frames.
    """
    width, height = size
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)[:, None]  # (4, 1, 2)
    moved = [cv2.perspectiveTransform(corners, h) for h in homographies]
    return max(float(np.linalg.norm(m - corners, axis=-1).mean()) for m in moved) / float(np.hypot(width, height))


def stabilise(frames: np.ndarray, homographies: np.ndarray) -> np.ndarray:
    """Lays every frame onto the first; what the camera does not see any more is taken from the frame before.

    Args:
        frames: (F, H, W) or (F, H, W, 3) uint8.
        homographies: see `background_motion`.

    Returns:
        Frames of the same shape; the first one unchanged.
    """
    height, width = frames.shape[1:3]
    steady = [frames[0]]
    for frame, homography in zip(frames[1:], homographies[1:], strict=True):
        canvas = steady[-1].copy()
        cv2.warpPerspective(
            frame, homography, (width, height), dst=canvas, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
        )
        steady.append(canvas)
    return np.stack(steady)


def enlarge(homographies: np.ndarray, times: float) -> np.ndarray:
    """The same homographies for frames of a multiple of the resolution."""
    # pixel centres: x' = times * x + (times - 1) / 2
    grow = np.array([[times, 0, (times - 1) / 2], [0, times, (times - 1) / 2], [0, 0, 1]], float)
    return grow @ homographies @ np.linalg.inv(grow)


def _grey(frame: np.ndarray, times: int) -> np.ndarray:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return grey if times == 1 else cv2.resize(grey, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)


def _match(source: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    (points, words), (others, other_words) = _marks(source), _marks(target)
    if words is None or other_words is None:
        return None
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(words, other_words)
    if len(matches) < ENOUGH_MATCHES:
        return None
    a = np.array([points[m.queryIdx].pt for m in matches], np.float32)
    b = np.array([others[m.trainIdx].pt for m in matches], np.float32)
    homography, agree = cv2.findHomography(a, b, cv2.USAC_MAGSAC, 4.0, maxIters=5000, confidence=0.999)
    if homography is None or int(agree.sum()) < ENOUGH_MATCHES:
        return None
    return homography


def _marks(grey: np.ndarray) -> tuple[Sequence[cv2.KeyPoint], np.ndarray | None]:
    """Corners and their descriptions; each part of the picture has as many votes, however full of detail."""
    orb = cv2.ORB.create(20 * FEATURES, fastThreshold=5)
    cell = max(grey.shape) / CELLS
    fullest: Counter = Counter()
    kept = []
    for point in sorted(orb.detect(grey, None), key=lambda point: -point.response):
        place = (int(point.pt[0] // cell), int(point.pt[1] // cell))
        fullest[place] += 1
        if fullest[place] <= FEATURES // CELLS**2:
            kept.append(point)
    return orb.compute(grey, kept)
