"""Shapes of hard masks, exact and quick on photos of any size: from a picture (H, W) uint8 of 0 and 1 to a new one.

Distances are Euclidean, in pixels. Nothing far from the mask is looked at.
"""

from __future__ import annotations

import cv2
import numpy as np

SMALL = 8  # a disc of up to so many pixels is laid over the picture sooner than distances are measured
Part = tuple[slice, slice]  # rows, columns
WHOLE = (slice(None), slice(None))


def without_specks(core: np.ndarray, min_area: float) -> np.ndarray:
    """Without the connected parts (8 neighbours) that have fewer than `min_area` pixels."""
    part = around(core)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(core[part], connectivity=8)
    large = (stats[:, cv2.CC_STAT_AREA] >= min_area).astype(np.uint8)
    large[0] = 0  # label 0 is the background
    return _placed(large[labels], part, core)


def filled(core: np.ndarray) -> np.ndarray:
    """With everything filled that the mask encloses, and that so does not reach the border of the picture."""
    part = around(core)
    ringed = cv2.copyMakeBorder(core[part], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(ringed, None, (0, 0), 2, flags=4)
    return _placed((ringed[1:-1, 1:-1] != 2).view(np.uint8), part, core)


def hulled(core: np.ndarray, each_part: bool = False) -> np.ndarray:
    """The convex hull of the mask, or of each of its connected parts."""
    covered = core.copy()
    for points in _outlines(core, each_part):
        cv2.fillConvexPoly(covered, cv2.convexHull(points), 1)
    return covered


def boxed(core: np.ndarray, each_part: bool = False) -> np.ndarray:
    """The bounding box of the mask, or of each of its connected parts."""
    covered = core.copy()
    for points in _outlines(core, each_part):
        x, y, width, height = cv2.boundingRect(points)
        covered[y : y + height, x : x + width] = 1
    return covered


def grown(core: np.ndarray, pixels: float) -> np.ndarray:
    """Everything within `pixels` of the mask."""
    if pixels <= SMALL:
        return cv2.dilate(core, _disc(pixels))
    part = around(core, pixels)
    return _placed((distance_to(core[part]) <= pixels).view(np.uint8), part, core)


def shrunk(core: np.ndarray, pixels: float) -> np.ndarray:
    """Only what lies further than `pixels` from the outside; the picture's border does not count as outside."""
    if pixels <= SMALL:
        return cv2.erode(core, _disc(pixels))
    part = around(core, 1)  # the nearest pixel outside lies here
    return _placed((distance_to(1 - core[part]) > pixels).view(np.uint8), part, core)


def closed(core: np.ndarray, pixels: float) -> np.ndarray:
    """Closing with a disc: gaps narrower than about twice `pixels` are bridged."""
    return shrunk(grown(core, pixels), pixels)


def distance_to(core: np.ndarray) -> np.ndarray:
    """Distance (H, W) float32 of every pixel to the nearest 1; infinite if there is none."""
    if not core.any():
        return np.full(core.shape, np.inf, dtype=np.float32)
    return cv2.distanceTransform(1 - core, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def around(core: np.ndarray, margin: float = 0) -> Part:
    """Rows and columns of the mask and of `margin` pixels around it, as far as the picture reaches; never empty."""
    x, y, width, height = np.maximum(cv2.boundingRect(core), (0, 0, 1, 1)).tolist()
    far = int(min(np.ceil(margin), max(core.shape)))
    return slice(max(0, y - far), y + height + far), slice(max(0, x - far), x + width + far)


def _placed(values: np.ndarray, part: Part, like: np.ndarray) -> np.ndarray:
    """A part of a picture on the whole, which is 0 elsewhere."""
    whole = np.zeros_like(like)
    whole[part] = values
    return whole


def _disc(pixels: float) -> np.ndarray:
    y, x = np.ogrid[-SMALL : SMALL + 1, -SMALL : SMALL + 1]
    return (np.sqrt((x * x + y * y).astype(np.float32)) <= np.float32(pixels)).astype(np.uint8)


def _outlines(core: np.ndarray, each_part: bool) -> list[np.ndarray]:
    contours = cv2.findContours(core, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    return list(contours) if each_part or not contours else [np.concatenate(contours)]
