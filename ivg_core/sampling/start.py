"""What a run begins with: noise of its seeds, of a clip or given, and the photo beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import IVGError
from ..finite import is_finite
from ..models.codec import ImageCodec
from .crop import Windows
from .inputs import Items, Pictures
from .noise import NoisePrior, fit_noise, free_noise, gaussian_noise, mix_noise
from .settings import Sampling


@dataclass(frozen=True)
class Start:
    """What is sampled: the whole pictures or windows of them."""

    cells: Tensor  # (B, 1, 1 or F, h, w), the mask
    still: Tensor | None  # (B, 4, 1, h, w) float32, the photo's latent
    noise: Tensor  # (B, 4, F, h, w) float32


def start_of(
    items: Items,
    pictures: Pictures,
    windows: Windows | None,
    codec: ImageCodec,
    how: Sampling,
    num_frames: int,
    own: int,
    noise: Tensor | None,
    prior: NoisePrior | None,
    device: torch.device,
) -> Start:
    """What a run begins with.

    Args:
        items, pictures, windows, codec, how, num_frames: of the run; the codec's autoencoder is where it works.
        own: frames that the model was made for.
        noise, prior: see `generate`.
        device: where it is sampled.

    Raises:
        IVGError: the noise does not fit.
    """
    sampled = windows.cut_pictures(pictures, codec, how.binarize_mask) if windows else pictures
    # A window at the video's own scale gets its part of the whole picture's noise, so that the motion is the whole
    # picture's too.
    drawn = sampled if how.region == "zoom" else pictures
    shape = (4, num_frames, *drawn.cells.shape[-2:])
    if noise is not None:
        noise = _check_noise(noise, (len(items.schedules), *shape))
    elif how.context is not None and how.context.noise == "freenoise":
        noise = free_noise(items.seeds, shape, *how.context.lengths(own))
    else:
        noise = gaussian_noise(items.seeds, shape)
    if windows and drawn is pictures:
        noise = windows.cut(noise, codec.cell)
    if prior is not None:
        noise = mix_noise(_prior_of(prior, pictures, windows, codec, num_frames), noise, prior.strength)
    still = still_of(codec, sampled.photos).to(device) if items.images else None
    return Start(sampled.cells, still, noise.to(device, torch.float32))


def _prior_of(
    prior: NoisePrior, pictures: Pictures, windows: Windows | None, codec: ImageCodec, num_frames: int
) -> Tensor:
    """The clip's noise for the whole pictures, or its windows; `mix_noise` brings these to the size of a zoom."""
    latents = prior.inverted.latents
    if windows is None:
        return latents
    whole = fit_noise(latents, num_frames, *pictures.cells.shape[-2:])
    return windows.cut(whole.expand(len(pictures.cells), *whole.shape), codec.cell)


def still_of(codec: ImageCodec, photos: Tensor) -> Tensor:
    """The latents (B, 4, 1, h, w) of photos (B, H, W, 3)."""
    return codec.encode(photos).transpose(0, 1)[:, :, None]


def _check_noise(noise: Tensor, shape: tuple[int, ...]) -> Tensor:
    if tuple(noise.shape) != shape:
        raise IVGError(
            f"The noise has shape {tuple(noise.shape)}, and this run needs {shape}: change the noise, or "
            "num_frames and size."
        )
    if not is_finite(noise):
        raise IVGError("The noise holds NaN or infinite values.")
    return noise
