"""Photos and masks: from a file, a PIL image, an array or a tensor to the library's tensors, and back to PNG."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..errors import IVGError
from .files import atomic_write
from .frames import check_channels_last, to_floats
from .masks import check_no_channels, in_rgb, mask_floats, numbers, read_mask

log = logging.getLogger("ivg")

#: Pixels of a picture in a file: 2 GB as colours of floats.
MOST_PIXELS = 180_000_000
#: Pixels of a side, in every format of pictures.
LONGEST_SIDE = 65535
#: When two pictures show the same: pixels a side, how far a pixel's colour may be off, and how many of them may be.
SMALL, OTHER_COLOUR, OTHER_PIXELS = 32, 0.04, 0.02

#: What makes a picture upright, by its EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

ImageLike: TypeAlias = "str | os.PathLike | Image.Image | np.ndarray | Tensor"


def open_picture(path: str | os.PathLike, what: str) -> Image.Image:
    """Open a file and read its picture.

    Args:
        path: of any format that PIL reads.
        what: it is called in an error.

    Raises:
        IVGError: no such file, or not a picture.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise IVGError(f"{path} is no file: give the {what}'s.")  # a pipe would be waited for
    try:
        picture = Image.open(path)
        check_pixels(picture)
        picture.load()
    except FileNotFoundError as error:
        raise IVGError(f"There is no {what} at {path}: check the path.") from error
    except Exception as error:  # of a damaged file, PIL's readers raise whatever befalls them
        raise IVGError(f"{path} cannot be read as a picture ({error}): give a PNG, JPEG or WebP file.") from error
    return picture


def check_pixels(picture: Image.Image) -> None:
    """Let pass a picture that fits into memory; PIL's own limit is often lifted by others in the same process.

    Raises:
        ValueError: it does not; 65535 x 65535 pixels fit into a GIF of a hundred bytes.
    """
    if picture.width * picture.height > MOST_PIXELS:
        raise ValueError(f"it has {picture.width} x {picture.height} pixels, more than {MOST_PIXELS // 10**6} million")


def load_image(path: str | os.PathLike, *, exif: bool = True) -> Tensor:
    """Read a photo from a file.

    Args:
        path: any format PIL reads. Of an animation, the first frame; an alpha channel is dropped.
        exif: turn the photo the way the camera was held. The released code does not, and neither does parity mode.

    Returns:
        (H, W, 3) float, 0..1.

    Raises:
        IVGError: no such file, or not an image.
    """
    return _rgb(open_picture(path, "image"), exif, f"The image {path}")


def load_mask(path: str | os.PathLike) -> Tensor:
    """Read a mask from a file; what pictures of all kinds mean as masks is said at `masks.read_mask`.

    Args:
        path: any format PIL reads.

    Returns:
        (H, W) float, 0..1.

    Raises:
        IVGError: no such file, not an image, or no mask.
    """
    return _grey(open_picture(path, "mask"), f"The mask {path}")


def to_image(image: ImageLike, *, exif: bool = True) -> Tensor:
    """Make any kind of photo the library's photo.

    Args:
        image: a path, a PIL image, or an array or tensor (H, W, 3) or (1, H, W, 3): float 0..1, or integers 0..255.
        exif: see `load_image`; only files and PIL images carry it.

    Returns:
        (H, W, 3) float32 on the CPU, 0..1.

    Raises:
        IVGError: unreadable, another shape or number of channels, NaN or infinite values, values beyond 0..1.
    """
    if isinstance(image, Image.Image):
        return _rgb(image, exif, "The image")
    if isinstance(image, (str, os.PathLike)):
        return load_image(image, exif=exif)
    x = to_floats(image, "image").cpu()
    check_channels_last(image, "image")
    if x.ndim == 4 and x.shape[0] == 1:
        x = x[0]
    if x.ndim != 3:
        raise IVGError(f"The image has shape {tuple(x.shape)}: give one photo of shape (height, width, 3).")
    if x.shape[-1] != 3:
        raise IVGError(
            f"The image has {x.shape[-1]} channels (shape {tuple(x.shape)}): give an RGB photo of shape "
            "(height, width, 3), without alpha."
        )
    return x


def to_mask(mask: ImageLike) -> Tensor:
    """Make any kind of mask the library's mask.

    Args:
        mask: a path, a PIL image, or an array or tensor (H, W), (1, H, W) or (H, W, 1): float 0..1, bool, or integers
            0..255.

    Returns:
        (H, W) float32 on the CPU, 0..1, 1 = may move.

    Raises:
        IVGError: unreadable, another shape, NaN or infinite values, values beyond 0..1.
    """
    if isinstance(mask, Image.Image):
        return _grey(mask, "The mask")
    if isinstance(mask, (str, os.PathLike)):
        return load_mask(mask)
    x = mask_floats(mask, "mask").cpu()
    if x.ndim == 3 and x.shape[0] == 1:
        x = x[0]
    elif x.ndim == 3 and x.shape[-1] == 1:
        x = x[..., 0]
    check_no_channels(x, "mask", one=True)
    if x.ndim != 2:
        raise IVGError(f"The mask has shape {tuple(x.shape)}: give one mask of shape (height, width).")
    return x


def to_pil(image: Tensor) -> Image.Image:
    """(H, W, 3) or (H, W) float 0..1 → an 8-bit PIL image, rounded to the nearest level."""
    return Image.fromarray(to_bytes(image))


def to_bytes(pictures: Tensor) -> np.ndarray:
    """Pictures or masks of any shape, float 0..1 → uint8, rounded to the nearest level."""
    import cv2

    values = pictures.detach().float().cpu()
    low, high = values.aminmax()
    values = values if low >= 0 and high <= 1 else values.clamp(0, 1)
    return cv2.convertScaleAbs(values.reshape(len(values), -1).numpy(), alpha=255).reshape(values.shape)


def shrink_to(pictures: Tensor, side: int) -> Tensor:
    """Pictures (B, H, W, C) or masks (B, H, W), averaged so that no side is longer than `side` pixels, never larger."""
    import cv2

    height, width = pictures.shape[1:3]
    scale = side / max(height, width)
    if scale >= 1:
        return pictures
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = [
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures.detach().float().cpu().numpy()
    ]
    return torch.from_numpy(np.stack(shrunk))


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a photo with PIL's LANCZOS filter on 8-bit values, as the released code does.

    Args:
        image: (H, W, 3) 0..1.
        size: (width, height) in pixels; a photo that has it already is returned as it is.

    Returns:
        (height, width, 3) 0..1.
    """
    if (image.shape[1], image.shape[0]) == tuple(size):
        return image
    return _rgb(to_pil(image).resize(size, Image.Resampling.LANCZOS), exif=False, name="The image")


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize masks bilinearly, averaging when they shrink, so that thin strokes grow faint and do not vanish.

    Args:
        mask: (H, W) or (F, H, W), 0..1.
        size: (width, height) in pixels.

    Returns:
        (height, width) or (F, height, width), 0..1.

    Raises:
        IVGError: no picture has such a size.
    """
    width, height = size
    if mask.shape[-2:] == (height, width):
        return mask
    if not 0 < min(size) <= max(size) <= LONGEST_SIDE:
        raise IVGError(f"A mask cannot have {width} x {height} pixels: sides have 1 to {LONGEST_SIDE}.")
    frames = mask.float().reshape(-1, 1, *mask.shape[-2:])  # (F, 1, H, W)
    resized = F.interpolate(frames, size=(height, width), mode="bilinear", align_corners=False, antialias=True)
    return resized.reshape(*mask.shape[:-2], height, width).clamp(0, 1)


def mask_of_photo(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """As `resize_mask`, for a mask that should have its photo's size: that it is stretched is said."""
    if mask.shape[-2:] != (size[1], size[0]):
        log.warning(
            "The mask is %d x %d pixels and the photo %d x %d: the mask is stretched to fit.", mask.shape[-1],
            mask.shape[-2], *size,
        )  # fmt: skip
    return resize_mask(mask, size)


def same_picture(one: Tensor, other: Tensor, where: Tensor) -> bool:
    """Whether two pictures show the same, though one was resized or stored with loss.

    Both are shrunk to the same few pixels. They are the same if hardly any (`OTHER_PIXELS`) has another colour.

    Args:
        one: (H, W, 3), 0..1.
        other: (h, w, 3), 0..1.
        where: (H, W) bool: the pixels of `one` that count.

    Returns:
        True also where nothing counts.
    """
    small = (SMALL, SMALL)
    counts = resize_mask(where.float(), small) > 0.999
    apart = resize_mask(one.permute(2, 0, 1), small) - resize_mask(other.permute(2, 0, 1), small)  # (3, SMALL, SMALL)
    others = (apart.abs().amax(0) > OTHER_COLOUR) & counts
    return int(others.sum()) <= OTHER_PIXELS * int(counts.sum())


def save_png(image: Tensor | Image.Image, path: str | os.PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write a picture as PNG, whole or not at all.

    Args:
        image: (H, W, 3) photo or (H, W) mask, 0..1, or a PIL image.
        path: where to; missing folders are made.
        metadata: text entries to keep in the file.

    Raises:
        IVGError: the place cannot be written to.
    """
    info = PngInfo()
    for key, value in (metadata or {}).items():
        info.add_text(key, value)
    picture = image if isinstance(image, Image.Image) else to_pil(image)
    with atomic_write(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=info)


def _rgb(picture: Image.Image, exif: bool, name: str) -> Tensor:
    picture = upright(picture, name) if exif else picture
    if picture.mode == "F" or picture.mode.startswith("I"):
        values, white = numbers(picture, name)
        return torch.from_numpy(values / np.float32(white))[..., None].repeat(1, 1, 3)
    return torch.from_numpy(np.array(in_rgb(picture), dtype=np.float32) / 255)


def _grey(picture: Image.Image, name: str) -> Tensor:
    return torch.from_numpy(read_mask(upright(picture, name), name))


def upright(picture: Image.Image, name: str) -> Image.Image:
    """A picture turned the way the camera was held; as it lies in its file where the EXIF data cannot be read.

    `ImageOps.exif_transpose` also writes the EXIF data anew, which fails where any part of them is damaged.
    """
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception as error:  # damaged data fail in as many ways as there are damages
        log.warning("%s: its EXIF data cannot be read (%s), so it is not turned.", name, error)
        return picture
    return picture.transpose(TURNS[orientation]) if orientation in TURNS else picture
