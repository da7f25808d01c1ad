"""From latents back to pixels, a few frames at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor

from ..errors import IVGError
from ..finite import is_finite
from ..models.codec import frames_at_once
from .frugal import OutOfMemory, is_out_of_memory, release

if TYPE_CHECKING:
    from ..models.codec import Codec

log = logging.getLogger("ivg")

# What a latent channel adds to red, green and blue in -1..1, for the VAE of Stable Diffusion 1; fitted and published by
# keturn, discuss.huggingface.co/t/decoding-latents-to-rgb-without-upscaling/23204.
SD_COLOURS = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))


def decode_frames(codec: Codec, latents: Tensor, chunk: int | None = None) -> Tensor:
    """Decode latents to frames.

    Args:
        codec, latents, chunk: see `decode_chunks`.

    Returns:
        (B, F, H, W, 3) float32 on the CPU, 0..1.

    Raises:
        OutOfMemory, IVGError: see `decode_chunks`.
    """
    decoded = torch.cat(list(decode_chunks(codec, latents, chunk)))
    return rearrange(decoded, "(b f) h w c -> b f h w c", b=latents.shape[0]).contiguous()


def decode_chunks(codec: Codec, latents: Tensor, chunk: int | None = None) -> Iterator[Tensor]:
    """Decode latents to frames, a few at a time. Out of memory, it goes on frame by frame, and a warning says so.

    Args:
        codec: of the model; one that encodes frame by frame.
        latents: (B, 4, F, h, w), scaled as the network knows them.
        chunk: frames decoded at once, at least 1; fewer take less memory. None: see `frames_at_once`.

    Yields:
        (n, H, W, 3) float32 on the CPU, 0..1: the frames in order, one clip after the other. It keeps none of them.

    Raises:
        OutOfMemory: not even one frame fits.
        IVGError: the latents hold NaN or infinity, or decoding gives some; a clip of them would look black.
    """
    check_latents(latents)
    row = rearrange(latents, "b c f h w -> 1 c (b f) h w")
    done = 0
    chunk = chunk or frames_at_once(latents.shape[3], latents.shape[4])
    while done < row.shape[2]:
        try:
            with torch.no_grad():  # here and not around it all, as it would hold between the chunks, too
                decoded = codec.decode(row[:, :, done : done + chunk])[0].cpu()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if chunk == 1:
                raise OutOfMemory(
                    "The memory is too small to decode even one frame: make a smaller video, load the model in float16 "
                    "or bfloat16, or close what else uses the memory."
                ) from error
        else:
            done += chunk
            yield decoded
            del decoded  # before the next are made
            continue
        log.warning("Out of memory while decoding: going on one frame at a time.")
        chunk = 1
        release()


def check_latents(latents: Tensor) -> None:
    """Let pass latents that can be decoded.

    Raises:
        IVGError: they hold NaN or infinity; a clip of them would look black.
    """
    if not is_finite(latents):
        raise IVGError("The latents hold NaN or infinite values, which are no picture: look at what made them.")


def preview_rgb(x0: Tensor, photo: Tensor | None = None) -> Tensor:
    """Roughly what latents will look like, without the VAE: a linear map from latent channels to colours.

    Args:
        x0: (B, 4, F, h, w); the first clip is shown.
        photo: (H, W, 3) 0..1. With it the map is fitted to this model's own VAE, by what the photo's colours became in
            the first frame; without it, the map of Stable Diffusion's VAE is taken.

    Returns:
        (F, h, w, 3) float32, 0..1, on the device of x0.
    """
    cells = rearrange(x0[0].float(), "c f h w -> f h w c")
    if photo is None:
        return (cells @ cells.new_tensor(SD_COLOURS) * 0.5 + 0.5).clamp(0, 1)
    size = (int(cells.shape[1]), int(cells.shape[2]))
    small = torch.nn.functional.interpolate(rearrange(photo.float(), "h w c -> 1 c h w"), size=size, mode="area")
    colours = rearrange(small, "1 c h w -> (h w) c").to(cells.device)
    known = torch.cat([cells, torch.ones_like(cells[..., :1])], dim=-1)  # (F, h, w, 5)
    first = rearrange(known[0], "h w c -> (h w) c")
    ridge = 1e-3 * len(first) * torch.eye(5, device=first.device)
    fitted = torch.linalg.solve(first.T @ first + ridge, first.T @ colours)  # (5, 3)
    return (known @ fitted).clamp(0, 1)
