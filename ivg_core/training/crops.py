"""A part of the picture, in whole latent cells: decoding it costs its own area only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.codec import LatentGrid

#: Pixels around what is looked at: a decoder sees the crop's edge where the picture goes on.
MARGIN = 32


@dataclass(frozen=True)
class Crop:
    """Where it lies.

    Attributes:
        top, left: first row and column, in cells.
        height, width: in cells.
        cell: side of a cell in pixels.
        picture: (width, height) of the whole in pixels.
    """

    top: int
    left: int
    height: int
    width: int
    cell: int
    picture: tuple[int, int]

    def latents(self, latents: Tensor) -> Tensor:
        """The part of latents (..., h, w)."""
        return latents[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def pixels(self, pictures: Tensor) -> Tensor:
        """The part of pictures or masks (..., H, W)."""
        top, left = self.corner[1], self.corner[0]
        return pictures[..., top : top + self.height * self.cell, left : left + self.width * self.cell]

    @property
    def corner(self) -> tuple[int, int]:
        """(x, y) of its upper left pixel."""
        return self.left * self.cell, self.top * self.cell

    def holds(self, boxes: Tensor) -> Tensor:
        """Which (N,) of the boxes (N, 4) of x1, y1, x2, y2 in pixels lie whole in it, as far as the picture goes."""
        begin = boxes.new_tensor(self.corner)
        end = begin + boxes.new_tensor([self.width * self.cell, self.height * self.cell])
        picture = boxes.new_tensor(self.picture)
        after = boxes[:, :2].clamp(min=0) >= begin
        return (after & (boxes[:, 2:].minimum(picture) <= end)).all(1)


def crop_around(centre: tuple[float, float], side: int, grid: LatentGrid) -> Crop:
    """The crop of about `side` pixels each way around a point, inside the picture.

    Args:
        centre: (x, y) in pixels.
        side: pixels; rounded up to cells, and at most the picture's.
        grid: of the video.
    """
    size = [min(cells, math.ceil(side / grid.cell)) for cells in (grid.width, grid.height)]
    begin = [
        min(max(round(middle / grid.cell - wide / 2), 0), cells - wide)
        for middle, wide, cells in zip(centre, size, (grid.width, grid.height), strict=True)
    ]
    return Crop(begin[1], begin[0], size[1], size[0], grid.cell, grid.size)


def random_point(mask: Tensor, rng: torch.Generator) -> tuple[float, float]:
    """The (x, y) of a pixel drawn from the white ones of a mask (H, W), at least 0.5; its middle where none is."""
    white = (mask >= 0.5).nonzero()
    if not len(white):
        return mask.shape[1] / 2, mask.shape[0] / 2
    y, x = white[int(torch.randint(len(white), (), generator=rng))].tolist()
    return x + 0.5, y + 0.5
