"""Sampling only a window around the Region of Motion: what lies outside the mask does not move anyway."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..media.images import resize_image, resize_mask
from ..models.codec import Codec, check_cells, fit_size, mask_cells
from .inputs import Pictures
from .settings import Region

log = logging.getLogger("ivg")

OnStep = Callable[[int, int, Tensor], None]
MARGIN = 1 / 4  # of the video's shorter side, around the mask: the network needs to see what the motion happens in
SLIMMEST = 1 / 2  # a window's shorter side, relative to its longer one


@dataclass(frozen=True)
class Window:
    """The part of each picture that is sampled; of one size for the whole batch.

    Args:
        corners: (left, top) in pixels, one for each item.
        size: (width, height) in pixels of the video.
        sampled: (width, height) at which the window is sampled; another than `size` when zooming.
        ramp: pixels over which the window's edge fades into the photo.
    """

    corners: list[tuple[int, int]]
    size: tuple[int, int]
    sampled: tuple[int, int]
    ramp: int

    def cut(self, values: Tensor, cell: int = 1) -> Tensor:
        """The windows of (B, ..., H, W), in pixels, or in latent cells of `cell` pixels."""
        width, height = (side // cell for side in self.size)
        corners = [(left // cell, top // cell) for left, top in self.corners]
        return torch.stack(
            [x[..., top : top + height, left : left + width] for x, (left, top) in zip(values, corners, strict=True)]
        )

    def cut_pictures(self, pictures: Pictures, codec: Codec, binarize: bool = False) -> Pictures:
        """Photos and masks of the windows, at the size at which they are sampled.

        Raises:
            IVGError: nothing of a mask is left at that size.
        """
        photos = self.cut(pictures.photos.movedim(-1, 1)).movedim(1, -1)  # (B, H, W, 3)
        masks = resize_mask(self.cut(pictures.masks), self.sampled)
        grid = codec.grid(1, self.sampled)
        cells = check_cells(mask_cells(masks, grid.height, grid.width, binarize))
        photos = torch.stack([resize_image(photo, self.sampled) for photo in photos])
        return Pictures(photos, masks, cells, self.sampled)

    def stitch(self, frames: Tensor, photos: Tensor) -> Tensor:
        """Lay sampled windows over the still photos; their edges fade, except along the picture's border.

        Args:
            frames: (B, F, h, w, 3) 0..1, of the size that was sampled.
            photos: (B, H, W, 3) 0..1, whole.

        Returns:
            (B, F, H, W, 3).
        """
        width, height = self.size
        whole = photos[:, None].repeat(1, frames.shape[1], 1, 1, 1)
        for video, window, (left, top) in zip(whole, frames, self.corners, strict=True):
            rows = _fade(height, self.ramp, top > 0, top + height < video.shape[1])
            columns = _fade(width, self.ramp, left > 0, left + width < video.shape[2])
            alpha = (rows[:, None] * columns)[..., None]  # (height, width, 1)
            part = video[:, top : top + height, left : left + width]  # a view: (F, height, width, 3)
            part.lerp_(_resized(window, self.size), alpha.expand_as(part))
        return whole

    def seen_whole(self, on_step: OnStep, still: Tensor, cell: int) -> OnStep:
        """The callback, given roughly the whole picture's latents in place of the window's.

        Args:
            on_step: see `generate`.
            still: (B, 4, 1, h, w) of the whole photos.
            cell: pixels of one latent cell.
        """
        width, height = (side // cell for side in self.size)

        def seen(step: int, total: int, x0: Tensor) -> None:
            whole = still.repeat(1, 1, x0.shape[2], 1, 1)
            windows = F.interpolate(x0, size=(x0.shape[2], height, width))
            for video, window, (left, top) in zip(whole, windows, self.corners, strict=True):
                left, top = left // cell, top // cell
                video[..., top : top + height, left : left + width] = window
            on_step(step, total, whole)

        return seen


def motion_window(pictures: Pictures, cell: int, region: Region, base: tuple[int, int]) -> Window | None:
    """Where to sample: the masks' bounding boxes with a margin, in whole latent cells.

    Args:
        pictures: of the run.
        cell: pixels of one latent cell.
        region: "crop" samples the window at the video's own scale, "zoom" at the area of `base`; "whole" needs none.
        base: (width, height) the model is made for.

    Returns:
        The window; None where the whole picture is to be sampled, as where a mask reaches across it, which is logged.
    """
    if region == "whole":
        return None
    picture = pictures.size
    margin = round(MARGIN * min(picture))
    boxes = [_box(mask, margin, cell) for mask in pictures.masks]  # (left, top, width, height) each
    width, height = (max(box[axis] for box in boxes) for axis in (2, 3))
    slimmest = _up(SLIMMEST * max(width, height), cell)
    size = (min(max(width, slimmest), picture[0]), min(max(height, slimmest), picture[1]))
    if size == picture:
        log.warning("The mask reaches across the whole picture, so the whole of it is sampled.")
        return None
    corners = [
        (_shifted(left, size[0], columns, picture[0], cell), _shifted(top, size[1], rows, picture[1], cell))
        for left, top, columns, rows in boxes
    ]
    return Window(corners, size, size if region == "crop" else fit_size(*size, *base, cell), margin)


def _box(mask: Tensor, margin: int, cell: int) -> tuple[int, int, int, int]:
    spans = []
    for axis in (0, 1):
        places = mask.amax(axis).nonzero()
        first, last = int(places[0]) - margin, int(places[-1]) + 1 + margin
        start = max(0, first // cell * cell)
        spans.append((start, min(_up(last, cell), mask.shape[1 - axis]) - start))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def _shifted(start: int, wanted: int, found: int, limit: int, cell: int) -> int:
    """Where a side begins that grew from `found` to `wanted` around its middle, but not beyond the picture."""
    return min(max(0, start - (wanted - found) // 2 // cell * cell), limit - wanted)


def _up(length: float, cell: int) -> int:
    return math.ceil(length / cell) * cell


def _fade(length: int, ramp: int, first: bool, last: bool) -> Tensor:
    """(length,) 1 inside, falling to 0 at the sides that are told to."""
    place = torch.arange(length) + 0.5
    far = torch.full_like(place, ramp)
    near = torch.minimum(place if first else far, length - place if last else far).div(ramp).clamp(0, 1)
    return near * near * (3 - 2 * near)


def _resized(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames (F, h, w, 3) at `size` (width, height)."""
    if (frames.shape[2], frames.shape[1]) == size:
        return frames
    pixels = frames.movedim(-1, 1)  # (F, 3, h, w)
    resized = F.interpolate(pixels, size=size[::-1], mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(0, 1).movedim(1, -1)
