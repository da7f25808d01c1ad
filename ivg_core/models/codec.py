"""Between pixels and latents: how a video lies on a model's cells, encoding and decoding."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import IVGError
from ..finite import is_finite, overflow

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

CELLS_AT_ONCE = 64 * 64  # of latents, decoded together; on a GPU more is hardly faster, and eight times the memory


@dataclass(frozen=True)
class LatentGrid:
    """How a video lies on a model's latents.

    Attributes:
        frames: T, latent frames.
        height: h, rows of cells.
        width: w, columns of cells.
        cell: side of a cell in pixels: 8 for Wan 2.1 and 2.2 14B, 16 for Wan 2.2 5B, 32 for LTX.
        stride: video frames in every latent frame but the first, which holds one: 4 for Wan, 8 for LTX, 1 if frames are
            encoded one by one.
    """

    frames: int
    height: int
    width: int
    cell: int
    stride: int

    @property
    def video_frames(self) -> int:
        """F, frames of the video."""
        return 1 + (self.frames - 1) * self.stride

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the video in pixels."""
        return self.width * self.cell, self.height * self.cell

    def brightest(self, frames: Tensor) -> Tensor:
        """What a value of each video frame is for each latent frame: the largest of the frames that lie in it.

        Args:
            frames: (..., F, h, w).

        Returns:
            (..., T, h, w).
        """
        if self.stride == 1 or frames.shape[-3] == 1:
            return frames
        later = frames[..., 1:, :, :].unflatten(-3, (-1, self.stride)).amax(-3)
        return torch.cat([frames[..., :1, :, :], later], dim=-3)


class Codec(Protocol):
    """The autoencoder of a model: video (F, H, W, 3), 0..1, to latents in the network's own scale, and back."""

    @property
    def cell(self) -> int:
        """Pixels of a latent cell, each way."""
        ...

    @property
    def stride(self) -> int:
        """Video frames in every latent frame but the first, see `LatentGrid`."""
        ...

    def grid(self, frames: int, size: tuple[int, int]) -> LatentGrid:
        """How a video of so many frames and of this (width, height) in pixels lies on the latents."""
        ...

    def encode(self, frames: Tensor, noise: Tensor | None = None) -> Tensor:
        """(F, H, W, 3), 0..1, to (C, T, h, w), float32: the mode, or a sample with noise of the latents' shape."""
        ...

    def decode(self, latents: Tensor, frames: Sequence[int] | None = None) -> Tensor:
        """(B, C, T, h, w) to (B, L, H, W, 3), 0..1, with gradient; `frames` are the L video frames that are wanted."""
        ...


class ImageCodec:
    """An image autoencoder, frame by frame.

    Args:
        vae: of the model.
        scale: latents are multiplied by it; None takes the autoencoder's own.
    """

    stride = 1

    def __init__(self, vae: AutoencoderKL, scale: float | None = None):
        self.vae = vae
        self.scale: float = vae.config["scaling_factor"] if scale is None else scale
        self.cell = 2 ** (len(vae.config["block_out_channels"]) - 1)

    def grid(self, frames: int, size: tuple[int, int]) -> LatentGrid:
        """See `Codec`."""
        return LatentGrid(frames, size[1] // self.cell, size[0] // self.cell, self.cell, self.stride)

    def encode(self, frames: Tensor, noise: Tensor | None = None) -> Tensor:
        """The mode of the posterior times the scale; (F, H, W, 3) to (4, F, h, w), on the VAE's device.

        With noise (4, F, h, w), Gaussian, a sample of the posterior. Frames are encoded one at a time: a frame's latent
        must not depend on the batch around it.
        """
        pixels = rearrange(frames, "f h w c -> f c h w") * 2 - 1
        device, dtype = self.vae.device, self.vae.dtype
        found = [self.vae.encode(one[None].to(device, dtype), return_dict=False)[0] for one in pixels]
        latents = torch.cat([posterior.mode().float() for posterior in found]).transpose(0, 1)
        if noise is not None:
            spread = torch.cat([posterior.std.float() for posterior in found]).transpose(0, 1)
            latents = latents + spread * noise.to(latents)
        return latents * self.scale

    def decode(self, latents: Tensor, frames: Sequence[int] | None = None) -> Tensor:
        """See `Codec`; float32, on the VAE's device.

        Raises:
            IVGError: the VAE made NaN or infinity of latents that hold none.
        """
        chosen = latents if frames is None else latents[:, :, list(frames)]
        flat = rearrange(chosen, "b c l h w -> (b l) c h w") / self.scale
        pixels = self.vae.decode(flat.to(self.vae.device, self.vae.dtype), return_dict=False)[0]  # -1..1
        if not is_finite(pixels) and is_finite(chosen):
            raise overflow(self.vae, "The autoencoder", pixels.dtype)
        shown = (pixels.float() * 0.5 + 0.5).clamp(0, 1)
        return rearrange(shown, "(b l) c h w -> b l h w c", b=len(chosen))


def frames_at_once(height: int, width: int) -> int:
    """How many frames of (height, width) latent cells are decoded at once: what one of 512 x 512 takes, at most 8."""
    return max(1, min(8, CELLS_AT_ONCE // (height * width)))


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
    if len(size) != 2 or not all(isinstance(side, numbers.Real) and math.isfinite(side) for side in size):
        raise IVGError(f"The size is {size!r}: give width and height in pixels, such as (512, 320).")
    width, height = size
    if any(side < multiple or side % multiple for side in size):
        nearest = [max(multiple, round(side / multiple) * multiple) for side in (width, height)]
        raise IVGError(
            f"The size {width} x {height} cannot be made: both sides must be multiples of {multiple}. "
            f"The nearest is {nearest[0]} x {nearest[1]}."
        )
    return int(width), int(height)


def mask_cells(masks: Tensor, height: int, width: int, binarize: bool = False) -> Tensor:
    """Masks as the network reads them, one value a latent cell.

    Args:
        masks: (B, H, W) 0..1, at any resolution.
        height, width: of the latents, in cells.
        binarize: round to 0 and 1 at 0.5, as in training; otherwise edges stay fractional, as in the released sampler.

    Returns:
        (B, 1, 1, h, w).

    Source: the released code resizes bilinearly without antialiasing.
    """
    cells = interpolate(masks[:, None], (height, width), mode="bilinear", align_corners=False, antialias=False)
    return (cells >= 0.5).float()[:, :, None] if binarize else cells[:, :, None]


def check_cells(cells: Tensor) -> Tensor:
    """Pass on latent masks (B, 1, 1, h, w) in each of which something may move.

    Raises:
        IVGError: nothing of one is left.
    """
    if not cells.flatten(1).any(1).all():
        height, width = cells.shape[-2:]
        raise IVGError(
            f"The mask is so small that nothing of it is left at the model's resolution ({width} x {height} cells): "
            "grow it, or make a larger video."
        )
    return cells
