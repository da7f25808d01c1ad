"""Where the things of a clip are in the frames that are trained on; cut as the clip is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np

from ...errors import IVGError
from ...media.clips import Facts, file_identity
from ...media.track_files import read_track
from ...media.tracks import Track
from .sources import TrainingClip
from .transform import Cut


def boxes_of(
    clip: TrainingClip, facts: Facts, indices: Sequence[int], cut: Cut, homographies: np.ndarray | None
) -> tuple[np.ndarray, list[str]]:
    """The boxes of a clip's things, and what they are called. Things that are never to be seen are left out.

    Args:
        clip: with its track.
        facts: of the whole clip.
        indices: the F frames that are trained on.
        cut: of each frame.
        homographies: (F, 3, 3) pixels of the cut frames to where they lie in the clip held still; None: as they are.

    Returns:
        (F, N, 5) float32: x1, y1, x2, y2 in 0..1 of the cut frames, and 1; all 0 where less than a pixel is to be seen.
        And the N phrases.

    Raises:
        IVGError: there is no track, or nothing of it is to be seen.
    """
    track = _track(clip, facts)
    told = track.boxes(facts.frames)[list(indices)].double().numpy()  # (F, N, 5)
    there, boxes = told[..., 4] > 0, cut.boxes(told[..., :4])
    if homographies is not None:
        boxes = _stilled(boxes, homographies, cut.size)
    boxes = boxes.clip(0, 1)
    there &= ((boxes[..., 2:] - boxes[..., :2]) * np.array(cut.size) >= 1 - 1e-6).all(-1)
    boxes = np.concatenate([boxes, np.ones_like(told[..., 4:])], -1) * there[..., None]
    shown = np.flatnonzero(there.any(0))
    if not len(shown):
        raise IVGError("no thing of its box track is in the part of the clip that is trained on: check the boxes")
    return boxes[:, shown].astype(np.float32), [track.phrases[index] for index in shown]


def track_identity(clip: TrainingClip) -> str:
    """A text that differs when the clip's track does."""
    if isinstance(clip.track, Track):
        return hashlib.sha256(clip.track.to_json().encode()).hexdigest()
    return "" if clip.track is None else f"{file_identity(clip.track)} {clip.caption}"


def _track(clip: TrainingClip, facts: Facts) -> Track:
    if clip.track is None:
        raise IVGError(
            f"it has no box track: put {clip.name}.track.json beside it, or set boxes to false for a training without"
        )
    if isinstance(clip.track, Track):
        return clip.track
    return read_track(clip.track, clip.caption, (facts.width, facts.height))


def _stilled(boxes: np.ndarray, homographies: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The boxes (F, N, 4) around what becomes of them where each frame is moved."""
    sides = np.array(size)
    # The four corners, in pixels whose middles are whole numbers.
    corners = boxes[..., [[0, 1], [2, 1], [2, 3], [0, 3]]] * sides - 0.5  # (F, N, 4, 2)
    moved = [
        cv2.perspectiveTransform(frame.reshape(-1, 1, 2), homography).reshape(frame.shape)
        for frame, homography in zip(corners, homographies, strict=True)
    ]
    shares = (np.stack(moved) + 0.5) / sides
    return np.concatenate([shares.min(-2), shares.max(-2)], -1)
