"""What the tests against Gen-L-Video share: its ladder of sentences over windows, and the latents of each step."""

import torch

from ivg_core.models.told import Told
from ivg_core.sampling.generate import denoise
from ivg_core.sampling.prompts import PromptSchedule, Stretch

FLAT = {"weights": "flat"}


def close(ours, theirs, allowed=1e-4):
    assert ours.shape == theirs.shape and (ours - theirs).abs().max() < allowed


def ladder(text, negative, depth, scale, schedule, windows):
    said = schedule.shares(windows)[None]
    above = Told(text[None], beside=depth, said=said)
    return [(1.0, Told(negative.expand_as(text)[None], beside=depth, said=said)), (scale, above)]


def schedule_of(count, frames, mode="reference"):
    return PromptSchedule(tuple(Stretch(i * frames // count, str(i)) for i in range(count)), mode)


def recorded(predict, solver, latents, after=None):
    """Latents after each step."""
    steps, step = [], solver.step
    solver.step = lambda *given: steps.append(step(*given)) or steps[-1]
    denoise(predict, solver, latents, after=after)
    return torch.stack(steps)
