"""From latents back to pixels, a few frames at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

# What a latent channel adds to red, green and blue in -1..1, for the VAE of Stable Diffusion 1; fitted and published by
# keturn, discuss.huggingface.co/t/decoding-latents-to-rgb-without-upscaling/23204.
SD_COLOURS = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))


def decode_frames(vae: AutoencoderKL, latents: Tensor, chunk: int = 8) -> Tensor:
    """Decode latents to frames.

    Args:
        vae: of the model.
        latents: (B, 4, F, h, w), scaled as the network knows them.
        chunk: frames decoded at once, at least 1; fewer take less memory.

    Returns:
        (B, F, H, W, 3) float32 on the CPU, 0..1.
    """
    batch, frames = latents.shape[0], latents.shape[2]
    flat = (latents / vae.config["scaling_factor"]).transpose(1, 2).flatten(0, 1)  # (B * F, 4, h, w)
    decoded = []
    for part in flat.split(chunk):
        pixels = vae.decode(part.to(vae.device, vae.dtype), return_dict=False)[0]  # (chunk, 3, H, W), -1..1
        decoded.append((pixels.float() * 0.5 + 0.5).clamp(0, 1).cpu())
    return torch.cat(decoded).permute(0, 2, 3, 1).unflatten(0, (batch, frames)).contiguous()


def preview_rgb(x0: Tensor, photo: Tensor | None = None) -> Tensor:
    """Roughly what latents will look like, without the VAE: a linear map from latent channels to colours.

    Args:
        x0: (B, 4, F, h, w); the first clip is shown.
        photo: (H, W, 3) 0..1. With it the map is fitted to this model's own VAE, by what the photo's colours became in
            the first frame; without it, the map of Stable Diffusion's VAE is taken.

    Returns:
        (F, h, w, 3) float32, 0..1, on the device of x0.
    """
    cells = x0[0].float().permute(1, 2, 3, 0)  # (F, h, w, 4)
    if photo is None:
        return (cells @ cells.new_tensor(SD_COLOURS) * 0.5 + 0.5).clamp(0, 1)
    size = (int(cells.shape[1]), int(cells.shape[2]))
    small = torch.nn.functional.interpolate(photo.float().permute(2, 0, 1)[None], size=size, mode="area")
    colours = small[0].permute(1, 2, 0).reshape(-1, 3).to(cells.device)  # (h * w, 3)
    known = torch.cat([cells, torch.ones_like(cells[..., :1])], dim=-1)  # (F, h, w, 5)
    first = known[0].reshape(-1, 5)
    ridge = 1e-3 * len(first) * torch.eye(5, device=first.device)
    fitted = torch.linalg.solve(first.T @ first + ridge, first.T @ colours)  # (5, 3)
    return (known @ fitted).clamp(0, 1)
