"""The box around a drawn thing, found in any picture by its colours."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from ..media.track_masks import bounding_box
from ..media.tracks import Box
from .props import Prop, draw_prop, outline

#: How far a colour may be from one of the thing's own, and from what lies behind it, to count half; of 255. With less,
#: things are missed in pictures that went through the embedded model's autoencoder, which makes colours paler.
COLOUR_REACH = 35.0
#: The thing is there if its colours show on this share of its outline.
LEAST_SHOWN = 0.3
COLOURS_OF_A_THING = 6


def box_of_colour(frames: Iterable[np.ndarray], prop: Prop, background: np.ndarray) -> list[Box | None]:
    """Finds a thing in each frame, drawn or generated, by its colours where the scene without it looks different.

    The thing's outline is laid where its colours fill it best and the background shows least, so that a hand in front
    does not shorten its box. Its size is taken as known.

    Args:
        frames: F pictures (H, W, 3) uint8.
        prop: what to look for; where it is does not matter.
        background: the same scene without it (H, W, 3) uint8: `Scene.without`.

    Returns:
        F boxes; None: it is not there.

    Source: the colours as in M. J. Swain and D. H. Ballard, "Color indexing", IJCV 1991 (backprojection).
    """
    height, width = background.shape[:2]
    centred = prop.moved(width / 2 - prop.centre[0], height / 2 - prop.centre[1])
    filled = outline(centred, (height, width)) > 0.5
    rows, columns = np.flatnonzero(filled.any(1)), np.flatnonzero(filled.any(0))
    stencil = filled[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    colours = _colours(centred, filled, background)
    return [_find(_shown(frame, background, colours), stencil) for frame in frames]


def _colours(prop: Prop, filled: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The colours that a prop is drawn in (N, 3), 0..255."""
    picture = background.astype(np.float32) / 255
    draw_prop(picture, prop)
    pixels = picture[filled] * 255
    # From groups of like brightness, since starting by chance would not give the same colours twice.
    order = pixels.mean(1).argsort(kind="stable").argsort(kind="stable")
    groups = (order * COLOURS_OF_A_THING // len(order)).astype(np.int32)[:, None]
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 20, 0)
    return cv2.kmeans(pixels, COLOURS_OF_A_THING, groups, stop, 1, cv2.KMEANS_USE_INITIAL_LABELS)[2]


def _shown(frame: np.ndarray, background: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Where a thing of these colours shows (1), the background (-0.5), or something else (0): (H, W) float32."""
    seen, behind = (cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.8) for picture in (frame, background))
    unlike = np.stack([np.linalg.norm(seen - colour, axis=-1) for colour in colours]).min(0)
    its_own, nothing = _likeness(unlike), _likeness(np.linalg.norm(seen - behind, axis=-1))
    return (its_own * (1 - nothing) - 0.5 * nothing).astype(np.float32)


def _likeness(difference: np.ndarray) -> np.ndarray:
    return 0.5 ** ((difference / COLOUR_REACH) ** 2)


def _find(shown: np.ndarray, stencil: np.ndarray) -> Box | None:
    """The place of a stencil (h, w) bool at which most shows."""
    high, wide = stencil.shape
    padded = np.pad(shown, ((high, high), (wide, wide)))  # it may lie across the picture's edge
    fit = cv2.matchTemplate(padded, stencil.astype(np.float32), cv2.TM_CCORR)
    top, left = np.unravel_index(fit.argmax(), fit.shape)
    laid = np.zeros(padded.shape, bool)
    laid[top : top + high, left : left + wide] = stencil
    laid = laid[high:-high, wide:-wide]
    return bounding_box(laid) if laid.any() and np.maximum(shown[laid], 0).mean() > LEAST_SHOWN else None
