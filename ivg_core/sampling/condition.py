"""Photo and mask, from pixels to what the network reads."""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..errors import IVGError
from ..media.images import ImageLike, to_mask, to_pil

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

log = logging.getLogger("ivg")


def fit_size(width: int, height: int, base_width: int, base_height: int, multiple: int = 8) -> tuple[int, int]:
    """The size with the photo's aspect ratio and the base's area, rounded to whole latent cells.

    Args:
        width, height: of the photo, pixels.
        base_width, base_height: of a video the model is used to, pixels.
        multiple: pixels of one latent cell.

    Returns:
        (width, height); at least one cell each way.

    Source: the released code's eval; it rounds half to even, and so does this.
    """
    scale = math.sqrt(width * height / (base_width * base_height))
    fitted_height = round(height / scale / multiple) * multiple
    fitted_width = round(width / scale / multiple) * multiple
    return max(multiple, fitted_width), max(multiple, fitted_height)


def check_size(size: tuple[int, int], multiple: int = 8) -> tuple[int, int]:
    """Pass on a size (width, height) that the model can make.

    Raises:
        IVGError: not whole latent cells; names the nearest size that is.
    """
    width, height = size
    if any(side < multiple or side % multiple for side in size):
        nearest = [max(multiple, round(side / multiple) * multiple) for side in (width, height)]
        raise IVGError(
            f"The size {width} x {height} cannot be made: both sides must be multiples of {multiple}. "
            f"The nearest is {nearest[0]} x {nearest[1]}."
        )
    return int(width), int(height)


def encode_image(vae: AutoencoderKL, photos: Tensor, scale: float) -> Tensor:
    """The condition latent: the mode of the VAE's posterior, not a sample, times its scale.

    Args:
        vae: of the model.
        photos: (B, H, W, 3) 0..1.
        scale: the VAE's scaling factor.

    Returns:
        (B, 4, 1, h, w) float32, on the VAE's device.
    """
    pixels = photos.permute(0, 3, 1, 2) * 2 - 1  # (B, 3, H, W)
    # one at a time: an item's latent must not depend on the batch around it
    modes = [vae.encode(one[None].to(vae.device, vae.dtype), return_dict=False)[0].mode().float() for one in pixels]
    return (torch.cat(modes) * scale)[:, :, None]


def latent_mask(mask: Tensor, latent_size: tuple[int, int], binarize: bool = False) -> Tensor:
    """The mask as the network reads it, one value a latent cell.

    Args:
        mask: (H, W) 0..1, at any resolution.
        latent_size: (w, h).
        binarize: round to 0 and 1 at 0.5, as in training; otherwise edges stay fractional, as in the released sampler.

    Returns:
        (1, 1, h, w).

    Raises:
        IVGError: nothing of the mask is left.

    Source: the released code resizes bilinearly without antialiasing.
    """
    width, height = latent_size
    cells = F.interpolate(mask[None, None], size=(height, width), mode="bilinear", align_corners=False, antialias=False)
    if binarize:
        cells = (cells >= 0.5).float()
    if not cells.any():
        raise IVGError(
            f"The mask is so small that nothing of it is left at the model's resolution ({width} x {height} cells): "
            "grow it, or make a larger video."
        )
    return cells


def check_mask(mask: Tensor) -> Tensor:
    """Pass on a mask (H, W) in which something may move.

    Raises:
        IVGError: it is empty.
    """
    if not mask.any():
        raise IVGError(
            "The mask is empty (all black), so nothing would move: paint white what may move, or give no mask to let "
            "everything move."
        )
    return mask


def reference_mask(mask: ImageLike, size: tuple[int, int]) -> Tensor:
    """The mask as the released sampler reads it: resized first, then every value above 0 becomes 1.

    Args:
        mask: a path, a PIL image or a tensor (H, W).
        size: (width, height) of the video in pixels.

    Returns:
        (height, width) of 0 and 1.

    Source: the released code's eval; the filter is PIL's default for the picture's mode.
    """
    if isinstance(mask, (str, os.PathLike)):
        to_mask(mask)  # says so if it cannot be read
        mask = Image.open(mask)
    picture = mask if isinstance(mask, Image.Image) else to_pil(to_mask(mask))
    if picture.mode not in ("1", "L", "P"):
        picture = to_pil(to_mask(picture))  # the released code fails on these
    return torch.from_numpy((np.array(picture.resize(size)) != 0).astype(np.float32))
