"""The noise of a core model, as its own sampling object has it; see `Schedule` in ivg_core/models/schedule.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..ivg_core.errors import IVGError
from ..ivg_core.models.schedule import over_latents


class CoreSchedule:
    """A flow model's noise levels. A level is a sigma, 0 (clean) to 1 (noise); levels are (B,) float32.

    Args:
        sampling: gives core's sampling object; asked anew each time, as core exchanges it where a shift is patched in.
        low, high: the sigmas that are trained; an expert of Wan 2.2 knows a part of them only.

    Raises:
        IVGError: the model has no level between them.
    """

    prediction_type = "flow"
    scheduler_config: Mapping[str, Any] = {}

    def __init__(self, sampling: Callable[[], Any], low: float = 0.0, high: float = 1.0):
        self._sampling = sampling
        steps = sampling().sigmas.float().cpu()  # ascending, above 0
        self._steps = steps[(steps >= low) & (steps <= high)].clone()  # those of sampling, with its shift
        if not len(self._steps):
            raise IVGError(
                f"The model has no noise level from {low} to {high}: give a lower and a higher one from 0 to 1, such "
                "as 0.9 and 1."
            )

    def draw(self, count: int, rng: torch.Generator, low: float = 0.0) -> Tensor:
        """See `Schedule`; half of them evenly over the steps that sampling takes, half logit-normal.

        Sampling begins at pure noise, which logit-normal alone hardly trains; a schedule shifted by 8, as Wan's,
        hardly trains the clearer half, in which masks and hands are drawn.
        """
        steps = self._steps[int(low * len(self._steps)) :]
        which, u = torch.rand(2, count, generator=rng)
        even = steps[(u * len(steps)).long()]
        least, most = (torch.special.ndtr(torch.logit(end.double())) for end in (steps[0], steps[-1]))
        normal = torch.special.ndtri(least + u.double() * (most - least)).sigmoid().float()
        return torch.where(which < 0.5, even, normal)

    def at(self, share: float) -> float:
        """See `Schedule`."""
        return self._steps[min(int(share * len(self._steps)), len(self._steps) - 1)].item()

    def signal(self, levels: Tensor) -> Tensor:
        """See `Schedule`."""
        signal, noise = (part.square() for part in self._parts(levels))
        return signal / (signal + noise)

    def add_noise(self, x0: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """See `Schedule`."""
        return self._sampling().noise_scaling(levels, noise.clone(), x0, False)  # core may write into the noise

    def noise_in(self, noisy: Tensor, x0: Tensor, levels: Tensor) -> Tensor:
        """See `Schedule`."""
        signal, noise = (over_latents(part) for part in self._parts(levels))
        return (noisy - signal * x0) / noise

    def target(self, x0: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """See `Schedule`."""
        return self.output_of(x0, self.add_noise(x0, noise, levels), levels)

    def to_x0(self, output: Tensor, noisy: Tensor, levels: Tensor) -> Tensor:
        """See `Schedule`."""
        return self._sampling().calculate_denoised(levels, output, noisy)

    def output_of(self, x0: Tensor, noisy: Tensor, levels: Tensor) -> Tensor:
        """The network's output that implies these clean latents; `to_x0` the other way round.

        Core's x0 is a - c * output, whatever the kind of model; what a and c are follows from its own formula.
        """
        a = self.to_x0(torch.zeros_like(noisy), noisy, levels)
        c = a - self.to_x0(torch.ones_like(noisy), noisy, levels)
        return (a - x0) / c

    def _parts(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Factors (B,) of the clean latents and of the noise in noisy ones, from noising a one and a zero."""
        one, zero = torch.ones_like(levels), torch.zeros_like(levels)
        return self.add_noise(one, zero, levels), self.add_noise(zero, one, levels)
