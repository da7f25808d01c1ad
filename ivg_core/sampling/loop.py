"""The denoising loop, and how it goes over a video: all frames at once, or in windows of time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..devices import usable_device
from ..models.backbone import Movable, Predictor
from ..models.told import Told
from .crop import OnStep
from .frugal import Frugal, OneByOne
from .guidance import Guided
from .ladder import predictor
from .settings import Sampling
from .solver import Solver
from .windowed import Stacked, Windowed, smoothed


def denoise(
    predict: Callable[[Tensor, Tensor, float], Tensor],
    solver: Solver,
    latents: Tensor,
    held: tuple[Tensor, Tensor] | None = None,
    on_step: OnStep | None = None,
    after: Callable[[Tensor, int], Tensor] | None = None,
) -> Tensor:
    """The denoising loop.

    Args:
        predict: the network and what it is told: (latents, timestep, progress) -> noise, see `Guided`.
        solver: a fresh one.
        latents: (B, 4, F, h, w) float32 at the noise level of the solver's first step.
        held: clean latent and noise, (B, 4, 1, h, w) each, that frame 0 is held to at every step.
        on_step: see `generate`.
        after: what becomes of the latents after each of the steps 0..N-1: (latents, step) -> latents.

    Returns:
        (B, 4, F, h, w) float32.
    """
    total = len(solver)
    for step in range(total):
        noise_pred = predict(latents, solver.timesteps[step], step / total)
        x0 = solver.predict_x0(noise_pred, latents, step) if on_step else None
        latents = solver.step(noise_pred, latents, step)
        if after:
            latents = after(latents, step)
        if held:
            latents = torch.cat([solver.add_noise(*held, step + 1), latents[:, :, 1:]], dim=2)
        if on_step and x0 is not None:
            on_step(step + 1, total, x0)
    return latents


def sample_latents(
    backbone: Movable,
    ladder: list[tuple[float, Told]],
    how: Sampling,
    solver: Solver,
    own: int,
    latents: Tensor,
    held: tuple[Tensor, Tensor] | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """`denoise` as the options have it.

    Args:
        backbone: what predicts, where it is to compute.
        ladder: what it is told, see `Guided`.
        how: of the run.
        solver, latents, held, on_step: see `denoise`.
        own: frames that the model was made for.

    Returns:
        (B, 4, F, h, w) float32.
    """
    context = how.context
    if context is None:
        return _denoised(predictor(backbone, ladder, how), solver, latents, held, on_step)
    if how.parity:
        stacked = Stacked(context.spans(latents.shape[2], own), context.smooth)
        return _denoised_as_coded(backbone, ladder, how, stacked, solver, latents, on_step)
    replicas = [backbone.on(usable_device(name)) for name in context.devices]
    windowed = Windowed(backbone, context, own, solver.timesteps, replicas)
    after = smoothed if context.smooth else None
    return _denoised(predictor(windowed, ladder, how), solver, latents, held, on_step, after)


def _denoised(
    predict: Guided,
    solver: Solver,
    latents: Tensor,
    held: tuple[Tensor, Tensor] | None,
    on_step: OnStep | None,
    after: Callable[[Tensor, int], Tensor] | None = None,
) -> Tensor:
    with Frugal(predict) as frugal:
        return denoise(frugal, solver, latents, held, on_step, after)


def _denoised_as_coded(
    backbone: Predictor,
    ladder: list[tuple[float, Told]],
    how: Sampling,
    stacked: Stacked,
    solver: Solver,
    latents: Tensor,
    on_step: OnStep | None,
) -> Tensor:
    """See `Stacked`."""
    joined = on_step and (lambda step, total, x0: on_step(step, total, stacked.join(x0)))
    predict = predictor(OneByOne(backbone), [(scale, stacked.told(told)) for scale, told in ladder], how)
    return stacked.join(_denoised(predict, solver, stacked.cut(latents), None, joined, stacked))
