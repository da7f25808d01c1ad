"""Which frames of a clip are trained on. The first of them is the context: the photo that generation begins with."""

from __future__ import annotations

import numpy as np

from .settings import DataSettings


def choose_frames(count: int, fps: float, settings: DataSettings) -> list[int]:
    """The frames that the settings ask for.

    Args:
        count: frames of the clip.
        fps: of the clip.
        settings: see `DataSettings`.

    Returns:
        Their indices in order.
    """
    if settings.frame_sampling == "released":
        return released_indices(count, fps, settings.fps, settings.frames)
    return even_indices(count, settings.frames)


def even_indices(count: int, frames: int) -> list[int]:
    """Frames spread evenly from the first to the last; a clip with fewer gives each once.

    Source: paper, "16 frames evenly sampled".
    """
    return np.linspace(0, count - 1, min(frames, count)).round().astype(int).tolist()


def released_indices(count: int, native_fps: float, fps: float, frames: int) -> list[int]:
    """The last `frames` of those at about `fps`; a clip with fewer is stretched, so that some frames come twice.

    Args:
        count, native_fps: of the clip.
        fps: wanted.
        frames: how many.

    Source: the released code's get_frame_batch.
    """
    every = range(0, count, max(1, round(native_fps / fps)))
    if len(every) < frames:
        return np.linspace(0, count - 1, frames).astype(int).tolist()
    return list(every[-frames:])
