"""Sampling only a window around the Region of Motion: what lies outside the mask does not move anyway."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..media.images import resize_image, resize_mask
from ..models.codec import Codec, check_cells, fit_size, mask_cells
from ..rom.window import Window, windows_around
from .inputs import Pictures, over_time
from .settings import Region

log = logging.getLogger("ivg")

OnStep = Callable[[int, int, Tensor], None]
MARGIN = 1 / 4  # of the video's shorter side, around the mask: the network needs to see what the motion happens in


@dataclass(frozen=True)
class Windows:
    """The part of each picture of a batch that is sampled; all of one size.

    Args:
        each: a window a picture, in pixels of the video.
        ramp: pixels over which a window's edge fades into the photo.
    """

    each: list[Window]
    ramp: int

    def cut(self, values: Tensor, cell: int = 1) -> Tensor:
        """The windows of (B, ..., H, W), in pixels, or in latent cells of `cell` pixels."""
        return torch.stack([window.cut(x, cell) for window, x in zip(self.each, values, strict=True)])

    def cut_pictures(self, pictures: Pictures, codec: Codec, binarize: bool = False) -> Pictures:
        """Photos and masks of the windows, at the size at which they are sampled.

        Raises:
            IVGError: nothing of a mask is left at that size.
        """
        sampled = self.each[0].sampled
        pairs = zip(self.each, pictures.each, strict=True)
        several = [resize_mask(window.cut(masks), sampled) for window, masks in pairs]  # (S, h, w) each
        grid = codec.grid(1, sampled)
        cells = [check_cells(mask_cells(masks, grid.height, grid.width, binarize)) for masks in several]
        parts = [window.cut_photo(photo) for window, photo in zip(self.each, pictures.photos, strict=True)]
        photos = torch.stack([resize_image(part, sampled) for part in parts])  # (B, h, w, 3)
        united = torch.stack([masks.amax(0) for masks in several])
        return Pictures(photos, united, over_time(cells, pictures.at), sampled, several, pictures.at)

    def stitch(self, frames: Tensor, photos: Tensor) -> Tensor:
        """Lay sampled windows over the still photos; their edges fade, except along the picture's border.

        Args:
            frames: (B, F, h, w, 3) 0..1, of the size that was sampled.
            photos: (B, H, W, 3) 0..1, whole.

        Returns:
            (B, F, H, W, 3).
        """
        whole = photos[:, None].repeat(1, frames.shape[1], 1, 1, 1)
        for window, clip, video in zip(self.each, frames, whole, strict=True):
            alpha = window.fade(self.ramp)
            for frame, picture in zip(clip, video, strict=True):
                window.lay(frame, picture, alpha)
        return whole

    def seen_whole(self, on_step: OnStep, still: Tensor, cell: int) -> OnStep:
        """The callback, given roughly the whole picture's latents in place of the window's.

        Args:
            on_step: see `generate`.
            still: (B, 4, 1, h, w) of the whole photos.
            cell: pixels of one latent cell.
        """
        width, height = (side // cell for side in self.each[0].size)

        def seen(step: int, total: int, x0: Tensor) -> None:
            whole = still.repeat(1, 1, x0.shape[2], 1, 1)
            sampled = F.interpolate(x0, size=(x0.shape[2], height, width))
            for window, video, part in zip(self.each, whole, sampled, strict=True):
                window.cut(video, cell).copy_(part)
            on_step(step, total, whole)

        return seen


def motion_windows(pictures: Pictures, cell: int, region: Region, base: tuple[int, int]) -> Windows | None:
    """Where to sample: the masks' bounding boxes with a margin, in whole latent cells.

    Args:
        pictures: of the run.
        cell: pixels of one latent cell.
        region: "crop" samples the window at the video's own scale, "zoom" at the area of `base`; "whole" needs none.
        base: (width, height) the model is made for.

    Returns:
        The windows; None where the whole picture is to be sampled, as where a mask reaches across it, which is logged.
    """
    if region == "whole":
        return None
    margin = round(MARGIN * min(pictures.size))
    windows = windows_around(pictures.masks, margin, cell)
    size = windows[0].size
    if size == pictures.size:
        log.warning("The mask reaches across the whole picture, so the whole of it is sampled.")
        return None
    if region == "zoom":
        windows = [dataclasses.replace(window, sampled=fit_size(*size, *base, cell)) for window in windows]
    return Windows(windows, margin)
