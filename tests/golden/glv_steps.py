"""What the checks against Gen-L-Video share: its ladder of sentences over windows, and the latents of each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ivg_core.models.told import Told
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.generate import Sampling, denoise
from ivg_core.sampling.guidance import Guided
from ivg_core.sampling.invert import invert_source
from ivg_core.sampling.prompts import PromptMode, PromptSchedule, Stretch
from ivg_core.sampling.solver import Solver
from ivg_core.sampling.windowed import Windowed

FLAT: Any = {"weights": "flat"}


def ladder(
    text: Tensor, negative: Tensor, depth: Tensor | None, scale: float, schedule: PromptSchedule, windows: list[slice]
) -> list[tuple[float, Told]]:
    """The negative, then sentences (S, L, D) over the windows."""
    said = schedule.shares(windows)[None]
    above = Told(text[None], beside=depth, said=said)
    return [(1.0, Told(negative.expand_as(text)[None], beside=depth, said=said)), (scale, above)]


def schedule_of(count: int, frames: int, mode: PromptMode = "reference") -> PromptSchedule:
    """So many equally long sentences."""
    return PromptSchedule(tuple(Stretch(i * frames // count, str(i)) for i in range(count)), mode)


def recorded(
    predict: Callable[..., Tensor], solver: Any, latents: Tensor, after: Callable[..., Tensor] | None = None
) -> Tensor:
    """Latents after each step (N, B, 4, F, h, w)."""
    steps: list[Tensor] = []
    step = solver.step
    solver.step = lambda *given: steps.append(step(*given)) or steps[-1]
    denoise(predict, solver, latents, after=after)
    return torch.stack(steps)


def windowed_steps(
    backbone: Any, rungs: list[tuple[float, Told]], part: dict[str, Any], solver: Solver, latents: Tensor
) -> Tensor:
    """`recorded`, in the flat windows of a part of the recording: `w` frames each, `s` from one to the next."""
    windowed = Windowed(backbone, ContextWindows(part["w"], part["s"], **FLAT), part["w"], solver.timesteps)
    return recorded(Guided(windowed, rungs), solver, latents)


def inverted(backbone: Any, told: Told, part: dict[str, Any], solver: Solver, clean: Tensor) -> Tensor:
    """The noise from which a solver's steps lead back, over the windows of a part of the recording."""
    how = Sampling(context=ContextWindows(part["w"], part["s"], **FLAT))
    return invert_source(backbone, told, how, solver, part["w"], clean)
