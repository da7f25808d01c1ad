"""A video of a core model by core's own sampler, from what training tells it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.sample
import comfy.samplers
import torch
from torch import Tensor

from ..ivg_core.models.told import Told
from ._core_condition import as_conditioning, known_latents

#: Where the second expert of Wan 2.2 I2V 14B takes over, as its makers have it.
BOUNDARY = 0.9


@dataclass(frozen=True)
class Sampled:
    """How it is sampled, as core's KSampler takes it.

    Attributes:
        steps: denoising steps.
        guidance_scale: 1 = none.
        sampler, scheduler: by core's names.
    """

    steps: int
    guidance_scale: float
    sampler: str = "euler"
    scheduler: str = "simple"


@torch.inference_mode(False)
@torch.no_grad()
def sample_frames(
    model: Any,
    vae: Any,
    told: Told,
    untold: Told,
    shape: torch.Size,
    seed: int,
    how: Sampled,
    callback: Callable[..., None] | None = None,
    low: Any = None,
) -> Tensor:
    """The frames of a video.

    Args:
        model: core's MODEL.
        vae: core's VAE.
        told: sentence and photo of one clip.
        untold: the photo without the sentence, or a sentence to keep away from.
        shape: of the latents (1, C, T, h, w).
        seed: of the noise.
        how: see `Sampled`.
        callback: as core's samplers call it.
        low: the expert that takes over below `BOUNDARY`; None: the model goes on to the end.

    Returns:
        (F, H, W, 3), 0..1, float32, on the CPU.
    """
    empty = torch.zeros(shape)
    known, mask = known_latents(told, empty)
    latents = empty if known is None else model.model.process_latent_out(known)
    noise = comfy.sample.prepare_noise(latents, seed)

    def run(expert: Any, latents: Tensor, noise: Tensor, **part: Any) -> Tensor:
        return comfy.sample.sample(
            expert,
            noise,
            how.steps,
            how.guidance_scale,
            how.sampler,
            how.scheduler,
            as_conditioning(told),
            as_conditioning(untold),
            latents,
            noise_mask=None if mask is None else told.mask,
            callback=callback,
            disable_pbar=True,
            seed=seed,
            **part,
        )

    if low is None:
        made = run(model, latents, noise)
    else:
        split = first_below(BOUNDARY, model, how)
        begun = run(model, latents, noise, last_step=split) if split else latents
        rest = torch.zeros_like(noise) if split else noise
        made = run(low, begun, rest, start_step=split, disable_noise=bool(split)) if split < how.steps else begun
    frames = vae.decode(made)
    return frames.reshape(-1, *frames.shape[-3:]).float().clamp(0, 1).cpu()  # some versions keep a batch in front


def first_below(sigma: float, model: Any, how: Sampled) -> int:
    """The first step that begins with less noise than `sigma`."""
    found = comfy.samplers.KSampler(
        model, steps=how.steps, device=torch.device("cpu"), sampler=how.sampler, scheduler=how.scheduler, denoise=1.0,
        model_options=model.model_options,
    )  # fmt: skip
    return int((found.sigmas[:-1] >= sigma).sum())
