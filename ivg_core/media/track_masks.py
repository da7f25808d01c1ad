"""A box track from masks: whatever segmented a clip says where its things are."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..errors import IVGError
from .masks import to_masks
from .tracks import Box, Thing, Track


def track_of_masks(masks: Tensor, phrase: str) -> Track:
    """The box around a mask in every frame. `Track.joined` puts several things together.

    Args:
        masks: (F, H, W) or (H, W), of one thing: see `to_masks`. It is where they are above 0.5; in a frame whose mask
            is empty it is not there.
        phrase: what it is, such as "cup".

    Raises:
        IVGError: no masks, all of them empty, or no phrase.
    """
    inside = to_masks(masks) > 0.5  # (F, H, W)
    if not inside.any():
        raise IVGError(
            f'The masks of "{phrase}" are empty in every frame: look at the step that should have made them.'
        )
    return Track((Thing.of_frames(phrase, [bounding_box(frame) for frame in inside.cpu().numpy()]),))


def bounding_box(mask: np.ndarray) -> Box | None:
    """The box around a mask (H, W) bool, in shares of the picture; None: the mask is empty."""
    height, width = mask.shape
    rows, columns = (np.flatnonzero(mask.any(axis)).tolist() for axis in (1, 0))
    if not rows:
        return None
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
