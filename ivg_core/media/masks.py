"""What somebody means by a mask: white on black, the numbers of classes, strokes in alpha, a photo with a hole."""

from __future__ import annotations

import logging

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import IVGError
from .frames import CHANNELS, LEAST, MOST, as_tensor, to_floats

log = logging.getLogger("ivg")

#: As a share of white: a mask that is nowhere brighter was written in another unit, such as the numbers of classes.
DARK = 32 / 255
#: As a share of white: channels further apart make a colour; a JPEG's noise on grey stays below.
COLOURED = 40 / 255
#: The share of pixels that may be odd, such as the rim of a compressed picture.
FEW = 0.01


def check_no_channels(masks: Tensor, what: str, one: bool = False) -> None:
    """Let pass masks that do not come as networks have them, with channels before height and width.

    Args:
        masks: (H, W) or (F, H, W); other shapes are left to whoever asks.
        what: they are called in an error.
        one: a single mask is wanted, (H, W).

    Raises:
        IVGError: (F, C, H, W), or where one is wanted (C, H, W), where C is 1, 3 or 4.
    """
    shape = tuple(masks.shape)
    if len(shape) not in ((3, 4) if one else (4,)) or shape[-3] not in CHANNELS or shape[-1] <= max(CHANNELS):
        return
    if len(shape) == 4:
        raise IVGError(f"The {what} came channel-first, as {shape}: give (frames, height, width), which is x.amax(1).")
    raise IVGError(f"The {what} came channel-first or as several, {shape}: give (height, width), which is x.amax(0).")


def to_masks(masks: Tensor, what: str = "masks") -> Tensor:
    """Make masks of any number format the library's.

    Args:
        masks: (H, W) or (F, H, W): floats 0..1 of any precision, bool, or integers 0..255.
        what: they are called in an error.

    Returns:
        (F, H, W) float32, 0..1, on the same device.

    Raises:
        IVGError: there are none, they have another shape, or values that are none of a mask.
    """
    check_no_channels(masks, what)
    if masks.ndim not in (2, 3):
        raise IVGError(f"The {what} have shape {tuple(masks.shape)}: give (height, width) or (frames, height, width).")
    return mask_floats(masks if masks.ndim == 3 else masks[None], what)


def mask_floats(values: np.ndarray | Tensor, what: str) -> Tensor:
    """As `to_floats`, for masks: integers may be the numbers of classes; see `black_and_white`."""
    x = to_floats(values, what)
    source = as_tensor(values, what)
    if source.is_floating_point() or source.dtype == torch.bool:
        return x
    levels = source.detach().cpu().numpy()
    return torch.from_numpy(black_and_white(levels, 255, f"One of the {what}")).to(x.device)


def read_mask(picture: Image.Image, name: str) -> np.ndarray:
    """Read a picture as a mask.

    White moves, black stays. Two values or two colours only are black and white, however dark. The file of a mask
    editor, which is a photo with a hole, is the hole; strokes of one colour on nothing are the strokes.

    Args:
        picture: of any of PIL's modes.
        name: it is called in an error, such as "The mask m.png".

    Returns:
        (H, W) float32, 0..1.

    Raises:
        IVGError: it is a photo, an image of several classes or nearly black, or its numbers are of no known unit.
    """
    if picture.mode == "F" or picture.mode.startswith("I"):
        values, white = numbers(picture, name)
        return black_and_white(values, white, name)
    if picture.has_transparency_data:
        rgba = np.array(picture.convert("RGBA"))
        if rgba[..., 3].min() < 255:
            return _in_alpha(rgba, name)
    rgb = np.array(in_rgb(picture))
    if _is_black_and_a_colour(rgb):
        return np.any(rgb, axis=-1).astype(np.float32)
    if _coloured(rgb[rgb.any(-1)]):
        raise IVGError(f"{name} is a picture in colours: give a black and white one, in which white may move.")
    return black_and_white(np.array(Image.fromarray(rgb).convert("L"), dtype=np.float32), 255, name)


def in_rgb(picture: Image.Image) -> Image.Image:
    """A picture of 8 bits in red, green and blue; transparency goes."""
    if picture.mode != "LAB":  # which PIL converts only through its colour management
        return picture.convert("RGB")
    from PIL import ImageCms

    to_rgb = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    return ImageCms.applyTransform(picture, to_rgb) or picture


def numbers(picture: Image.Image, name: str) -> tuple[np.ndarray, float]:
    """The values of a picture with one channel of floats or of more than 8 bits, and the unit that they are in.

    Args:
        picture: of PIL's mode F (floats 0..1, or up to 255 or 65535) or I (16 bits, or 32 that hold no more).
        name: it is called in an error.

    Returns:
        (H, W) float32 from 0 up; the value that is white.

    Raises:
        IVGError: NaN or infinite values, negative ones, or larger ones than that.
    """
    values = np.array(picture).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if picture.mode == "F" and low >= LEAST and high <= MOST:
        return np.clip(values, 0, 1), 1
    if not (low >= 0 and high <= 65535):  # NaN, too
        raise IVGError(
            f"{name} holds values from {low:.4g} to {high:.4g}: floats must lie in 0..1, whole numbers in 0..65535."
        )
    return values, 255 if picture.mode == "F" and high <= 255 else 65535


def black_and_white(values: np.ndarray, white: float, name: str) -> np.ndarray:
    """Values that are meant as a mask, though they may be the numbers of classes.

    Args:
        values: (…), 0..white.
        white: the value that is white.
        name: it is called in an error.

    Returns:
        Of the same shape, float32, 0..1: in the given unit, or black and white where there are two values only, both
        dark.

    Raises:
        IVGError: there are more than two, and none is bright; or dark ones beside white, as in an image of classes.
    """
    high = float(values.max())
    if high == 0 or (high > DARK * white and not _has_classes(values, white)):
        return np.divide(values, white, dtype=np.float32)
    found = np.unique(values)
    if len(found) == 2 and high <= DARK * white:
        log.warning("%s holds only the values %s: it is taken as black and white.", name, _told(found))
        return (values == high).astype(np.float32)
    if len(found) <= 255 * DARK + 2:
        raise IVGError(
            f"{name} has the values {_told(found)}, which look like the numbers of classes: give a mask in which what "
            f"may move is {white:g} and all else 0."
        )
    raise IVGError(
        f"{name} is nearly black: its brightest value is {high:.3g} of {white:g}. Multiply it until white is {white:g}."
    )


def _has_classes(values: np.ndarray, white: float) -> bool:
    """Whether there is nothing but a few dark values and white, as class numbers with an ignored border have it."""
    dark = (values > 0) & (values <= DARK * white)
    return bool(dark.mean() > FEW and not ((values > DARK * white) & (values < white)).any())


def _in_alpha(rgba: np.ndarray, name: str) -> np.ndarray:
    alpha = rgba[..., 3].astype(np.float32) / 255
    seen = rgba[rgba[..., 3] > 0][:, :3]  # (N, 3)
    if not len(seen):
        raise IVGError(f"{name} is transparent everywhere: paint what may move.")
    if (seen == seen[0]).all():  # strokes of a brush; white and black ones, too
        return alpha
    grey = np.array(Image.fromarray(rgba[..., :3]).convert("L"), dtype=np.float32)
    between = (grey > DARK * 255) & (grey < 255 - DARK * 255) & (rgba[..., 3] > 0)
    if _coloured(seen) or between.sum() > len(seen) / 2:
        log.warning("%s is a photo with a hole, as mask editors write it: the hole is the mask.", name)
        return 1 - alpha
    return black_and_white(grey * alpha, 255, name)


def _is_black_and_a_colour(rgb: np.ndarray) -> bool:
    lit = rgb[rgb.any(-1)]  # (N, 3)
    return 0 < len(lit) < rgb.shape[0] * rgb.shape[1] and bool(np.ptp(lit[0]) and (lit == lit[0]).all())


def _coloured(pixels: np.ndarray) -> bool:
    """Whether more than a few of some pixels (N, 3) have a colour."""
    return bool(len(pixels)) and bool((np.ptp(pixels, axis=-1) > COLOURED * 255).mean() > FEW)


def _told(values: np.ndarray, most: int = 5) -> str:
    shown = ", ".join(f"{value:.3g}" for value in values[:most])
    return shown + (", …" if len(values) > most else "")
