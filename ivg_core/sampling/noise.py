"""Where the denoising loop begins: the noise, and the photo that shines through it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import IVGError
from .solver import Solver

MAX_SEED = 2**64 - 1


def gaussian_noise(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Noise that depends on nothing but the seeds: it is drawn on the CPU, each item by itself.

    Args:
        seeds: one for each item, 0..2^64-1.
        shape: of one item, (4, F, h, w).

    Returns:
        (B, 4, F, h, w) float32 on the CPU.
    """
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def initial_latents(
    solver: Solver, condition_latent: Tensor | None, noise: Tensor, t_last: int | None = None
) -> Tensor:
    """The photo's latent, repeated over the frames and noised. This is the one place where the loop's start is made.

    Args:
        solver: of this run.
        condition_latent: (B, 4, 1, h, w); None: there is no photo, and the start is the noise.
        noise: (B, 4, F, h, w), Gaussian.
        t_last: None starts at the noise level of the solver's first timestep. A timestep starts at the product of all
            alphas from there on, which is near the schedule's full noise: the released web app does so, with 0 on its
            first run and afterwards the last timestep of the run before.

    Returns:
        (B, 4, F, h, w).

    Raises:
        IVGError: `t_last` is no timestep.

    Source: paper eq. 1; `DDPM_forward_timesteps` (None) and `DDPM_forward` (`t_last`) of the released code.
    """
    if t_last is not None and not 0 <= t_last < len(solver.alphas):
        raise IVGError(f"t_last is {t_last}: give a timestep of the schedule, 0 to {len(solver.alphas) - 1}.")
    if condition_latent is None:
        return noise
    still = condition_latent.expand_as(noise)
    if t_last is None:
        return solver.add_noise(still, noise, 0)
    alpha = solver.alphas[t_last:].prod().to(still)
    return alpha.sqrt() * still + (1 - alpha).sqrt() * noise
