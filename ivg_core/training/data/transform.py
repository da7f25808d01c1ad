"""One cut for a clip and its masks: scaled until it covers the training size, then cropped in the middle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ...errors import IVGError
from ...media.clips import even_indices
from .settings import DataSettings


@dataclass(frozen=True)
class Cut:
    """Where the pixels of a picture go.

    Args:
        scaled: (width, height) that the whole picture is resized to.
        left, top: of the crop in the resized picture.
        size: (width, height) of the crop.
    """

    scaled: tuple[int, int]
    left: int
    top: int
    size: tuple[int, int]

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Cuts a picture (H, W) or (H, W, 3) of any resolution but of the clip's shape."""
        width, height = self.scaled
        # The mean of the pixels that fall together when it shrinks; in between, linear.
        shrinks = picture.shape[1] > width or picture.shape[0] > height
        resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.ascontiguousarray(resized[self.top : self.top + self.size[1], self.left : self.left + self.size[0]])

    def boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Where boxes (..., 4) of x1, y1, x2, y2 in shares of the picture lie in shares of the crop; maybe outside."""
        return (boxes * np.array(self.scaled * 2) - np.array((self.left, self.top) * 2)) / np.array(self.size * 2)


def cover(picture: tuple[int, int], size: tuple[int, int]) -> Cut:
    """The cut that loses least of a picture.

    Args:
        picture: (width, height) of the clip.
        size: (width, height) wanted.
    """
    (width, height), (wanted_width, wanted_height) = picture, size
    scale = max(wanted_width / width, wanted_height / height)
    scaled = (max(wanted_width, round(width * scale)), max(wanted_height, round(height * scale)))
    return Cut(scaled, (scaled[0] - wanted_width) // 2, (scaled[1] - wanted_height) // 2, size)


def bucket_sizes(width: int, height: int, step: int) -> list[tuple[int, int]]:
    """Sizes of about one area, from twice as high as wide to twice as wide as high.

    Args:
        width, height: whose area it is; this size itself is always among them.
        step: pixels; the sides of all others are multiples of it.

    Returns:
        (width, height) of each, from narrow to wide.
    """
    area = width * height
    sizes = {(width, height)}
    for wide in range(step, 2 * math.ceil(math.sqrt(area)), step):
        high = max(step, round(area / wide / step) * step)
        if 0.5 <= wide / high <= 2 and 0.8 <= wide * high / area <= 1.2:
            sizes.add((wide, high))
    return sorted(sizes, key=lambda size: size[0] / size[1])


def nearest_bucket(picture: tuple[int, int], sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size whose shape is most like that of a picture (width, height)."""
    shape = math.log(picture[0] / picture[1])
    return min(sizes, key=lambda size: abs(math.log(size[0] / size[1]) - shape))


def choose_frames(count: int, fps: float, settings: DataSettings, stride: int = 1) -> list[int]:
    """The frames that the settings ask for.

    Args:
        count: frames of the clip.
        fps: of the clip.
        settings: see `DataSettings`.
        stride: video frames in every latent frame but the first, which holds one.

    Returns:
        Their indices in order; so many that they fill latent frames, unless the clip is a picture. A single one is the
        middle of the clip: at its ends, less is going on.

    Raises:
        IVGError: the clip is too short for two latent frames.
    """
    if settings.frames == 1:
        return [count // 2]
    if 1 < count <= stride:
        raise IVGError(f"it has {count} frames, and the model takes {1 + stride} or more: give a longer clip")
    if settings.frame_sampling == "released":
        return released_indices(count, fps, settings.fps, whole_latents(settings.frames, stride))
    return even_indices(count, whole_latents(min(settings.frames, count), stride))


def whole_latents(frames: int, stride: int) -> int:
    """The most frames, at most so many, that fill latent frames: the first holds one, every other `stride`."""
    return 1 + (frames - 1) // stride * stride


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
