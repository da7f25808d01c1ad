"""A window around the Region of Motion: where it lies, how it is cut out, and how what was made of it is laid back."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import IVGError
from ..media.images import open_picture, to_mask
from ..models.codec import fit_size
from ..settings import read_json

KEY = "ivg_window"  # under which a picture of a window says where it was cut out
SLIMMEST = 1 / 2  # a window's shorter side, relative to its longer one


@dataclass(frozen=True)
class Window:
    """A part of a picture that is made at a size of its own.

    Attributes:
        left, top, width, height: in pixels of the picture.
        picture: (width, height) of the picture.
        sampled: (width, height) at which the window is made.
    """

    left: int
    top: int
    width: int
    height: int
    picture: tuple[int, int]
    sampled: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of the picture."""
        return self.width, self.height

    @property
    def part(self) -> tuple[float, float, float, float]:
        """Its left, upper, right and lower edge as shares of the picture."""
        width, height = self.picture
        right, bottom = self.left + self.width, self.top + self.height
        return self.left / width, self.top / height, right / width, bottom / height

    @property
    def share(self) -> float:
        """How much of the picture's area it has, 0..1; in equal detail, of its tokens too."""
        return self.width * self.height / (self.picture[0] * self.picture[1])

    def is_possible(self) -> bool:
        """Whether it lies in its picture and has pixels."""
        width, height = self.picture
        inside = 0 <= self.left <= self.left + self.width <= width and 0 <= self.top <= self.top + self.height <= height
        return inside and min(*self.size, *self.sampled) > 0

    def cut(self, values: Tensor, cell: int = 1) -> Tensor:
        """The window of (..., H, W), in pixels, or in latent cells of `cell` pixels; a view."""
        left, top, width, height = (side // cell for side in (self.left, self.top, self.width, self.height))
        return values[..., top : top + height, left : left + width]

    def cut_photo(self, photo: Tensor) -> Tensor:
        """The window of a photo (H, W, 3); a view."""
        return self.cut(photo.movedim(-1, 0)).movedim(0, -1)

    def fade(self, ramp: float) -> Tensor:
        """(height, width) 1 inside, falling to 0 over `ramp` pixels at its edges, except along the picture's border."""
        width, height = self.picture
        rows = _fade(self.height, ramp, self.top > 0, self.top + self.height < height)
        columns = _fade(self.width, ramp, self.left > 0, self.left + self.width < width)
        return rows[:, None] * columns

    def lay(self, frame: Tensor, picture: Tensor, alpha: Tensor) -> None:
        """Lay a frame of the window over the picture, in place.

        Args:
            frame: (h, w, 3) 0..1, of any size with the window's shape.
            picture: (H, W, 3) 0..1.
            alpha: (height, width) 0..1, how much of the frame shows; where it is 0 no bit changes.
        """
        part = self.cut_photo(picture)
        part.lerp_(resized(frame, self.size), alpha[..., None].expand_as(part))


def windows_around(masks: Tensor, margin: int, cell: int = 1, ratio: float | None = None) -> list[Window]:
    """The masks' bounding boxes with a margin, in whole cells, of one size for all of them.

    Args:
        masks: (B, H, W) 0..1, in none of which all is 0; everything above 0 belongs to the box.
        margin: pixels on every side, as far as the picture reaches.
        cell: corners and sides are multiples of so many pixels.
        ratio: width / height that the windows grow to as far as the picture reaches; None only makes slim ones wider.

    Returns:
        A window a mask, sampled at its own size.
    """
    picture = (masks.shape[2], masks.shape[1])
    boxes = [_box(mask, margin, cell) for mask in masks]  # (left, top, width, height) each
    width, height = (max(box[axis] for box in boxes) for axis in (2, 3))
    slimmest = _up(SLIMMEST * max(width, height), cell)
    wanted = (slimmest, slimmest) if ratio is None else (_up(height * ratio, cell), _up(width / ratio, cell))
    size = (min(max(width, wanted[0]), picture[0]), min(max(height, wanted[1]), picture[1]))
    return [
        Window(
            _shifted(left, size[0], columns, picture[0], cell), _shifted(top, size[1], rows, picture[1], cell),
            *size, picture, size,
        )
        for left, top, columns, rows in boxes
    ]  # fmt: skip


def window_for(mask: Tensor, region: str, base: tuple[int, int], multiple: int = 8, context: float = 0.05) -> Window:
    """The window of a photo that is to be given to a video model.

    Args:
        mask: (H, W) in the photo's own size, 0..1.
        region: "zoom" samples the window at about the size `base`, so that the region gets the model's whole
            resolution; "crop" in the detail that a video of the whole photo has at that size, in a part of the time.
        base: (width, height) the model likes.
        multiple: the sampled sides are multiples of so many pixels.
        context: how much around the region is shown, as a share of the photo's width.

    Returns:
        The window. Its shape is that of `base` with "zoom", and the region's own with "crop", as far as the photo
        reaches; what is sampled has the window's shape but for less than a multiple.

    Raises:
        IVGError: the mask is empty, the region has another name, or a number cannot be meant.
    """
    if region not in ("zoom", "crop"):
        raise IVGError(f'There is no region "{region}" here: choose zoom or crop.')
    if not all(map(math.isfinite, base)) or multiple < 1 or min(base) < multiple or not 0 <= context <= 1:
        raise IVGError(
            f"A window of {base[0]} x {base[1]} in multiples of {multiple} with a context of {context} cannot be made: "
            "give sides of at least one multiple, a multiple of at least 1, and a context from 0 to 1."
        )
    mask = to_mask(mask)
    if not mask.any():
        raise IVGError("The mask is empty: there is no region to cut out. Paint one, or connect another mask.")
    height, width = mask.shape
    margin = round(context * width)
    if region == "zoom":
        (window,) = windows_around(mask[None], margin, ratio=base[0] / base[1])
        return dataclasses.replace(window, sampled=fit_size(*window.size, *base, multiple))
    (window,) = windows_around(mask[None], margin)
    scale = math.sqrt(base[0] * base[1] / (width * height))
    columns, rows = (_up(side * scale, multiple) for side in window.size)
    (window,) = windows_around(mask[None], margin, ratio=columns / rows)
    return dataclasses.replace(window, sampled=(columns, rows))


def centre_window(picture: tuple[int, int], size: tuple[int, int]) -> Window:
    """The largest part around the centre with the shape of `size`, to the pixel as core's `common_upscale` cuts it.

    Args:
        picture: (width, height).
        size: (width, height), at which it is made.
    """
    (width, height), ratio = picture, size[0] / size[1]
    x = round((width - width * (ratio / (width / height))) / 2) if width / height > ratio else 0
    y = round((height - height * (width / height / ratio)) / 2) if width / height < ratio else 0
    return Window(x, y, max(1, width - 2 * x), max(1, height - 2 * y), picture, size)


def as_text(window: Window) -> str:
    """The window as a picture of it keeps it, under `KEY`."""
    return json.dumps(dataclasses.asdict(window))


def read_window(path: str | os.PathLike) -> Window:
    """What a picture says of the window that it shows.

    Raises:
        IVGError: no such file, or a picture of nothing that was cut out.
    """
    try:
        found = read_json(open_picture(path, "picture").info[KEY])
        (width, height), (wide, high) = found["picture"], found["sampled"]
        left, top, *size = (int(found[name]) for name in ("left", "top", "width", "height"))
        window = Window(left, top, size[0], size[1], (int(width), int(height)), (int(wide), int(high)))
        if not window.is_possible():
            raise ValueError("the window lies outside its picture")
        return window
    except IVGError:
        raise
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise IVGError(
            f"{path} does not say where it was cut out: give the PNG that crop-rom wrote, as it wrote it."
        ) from error


def report(window: Window) -> str:
    """What the window saves, in sentences for the user."""
    (width, height), made = window.picture, window.sampled
    return (
        f"{window.width} x {window.height} of {width} x {height} pixels ({window.share:.0%}), made at "
        f"{made[0]} x {made[1]}: {1 - window.share:.0%} fewer tokens than the whole photo in this detail."
    )


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


def _fade(length: int, ramp: float, first: bool, last: bool) -> Tensor:
    """(length,) 1 inside, falling to 0 at the sides that are told to."""
    place = torch.arange(length) + 0.5
    far = torch.full_like(place, max(ramp, 1e-6))
    near = torch.minimum(place if first else far, length - place if last else far).div(far).clamp(0, 1)
    return near * near * (3 - 2 * near)


def resized(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """A frame (h, w, 3), 0..1, at `size` (width, height), averaged where it shrinks."""
    if (frame.shape[1], frame.shape[0]) == size:
        return frame
    pixels = frame.movedim(-1, 0)[None]  # (1, 3, h, w)
    resized = F.interpolate(pixels, size=size[::-1], mode="bicubic", antialias=True, align_corners=False)
    return resized[0].clamp(0, 1).movedim(0, -1)
