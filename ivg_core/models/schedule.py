"""The noise of a network: how much of it lies on clean latents at each timestep, and what its output means.

Rules that should hold for every schedule are told in signal-to-noise ratios.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from ..errors import IVGError

PREDICTIONS = ("epsilon", "v_prediction", "sample")


class Schedule(Protocol):
    """What training asks of a schedule. Levels are (B,), as the network takes them; latents (B, C, T, h, w)."""

    @property
    def prediction_type(self) -> str:
        """epsilon, v_prediction, sample, or flow (the noise less the clean latents)."""
        ...

    @property
    def scheduler_config(self) -> Mapping[str, Any]:
        """With it a sampler begins at the noise that was trained."""
        ...

    def draw(self, count: int, rng: torch.Generator, low: float = 0.0) -> Tensor:
        """`count` levels from the part of the schedule from `low` (0 = clean) to 1 (noise)."""
        ...

    def at(self, share: float) -> int | float:
        """The level at a share of the schedule, 0..1."""
        ...

    def signal(self, levels: Tensor) -> Tensor:
        """Share of the signal in the variance (B,), 0..1: SNR / (1 + SNR)."""
        ...

    def add_noise(self, x0: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """Noisy latents."""
        ...

    def noise_in(self, noisy: Tensor, x0: Tensor, levels: Tensor) -> Tensor:
        """The noise that leads from clean to noisy latents."""
        ...

    def target(self, x0: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """What the network should give."""
        ...

    def to_x0(self, output: Tensor, noisy: Tensor, levels: Tensor) -> Tensor:
        """The clean latents that the network's output implies."""
        ...


class DiffusionSchedule:
    """The cumulated alphas a checkpoint was made with, and what its network predicts.

    Args:
        scheduler_config: the content of scheduler_config.json.
        zero_terminal_snr: rescale the betas so that the last timestep is pure noise.
        prediction: learn this prediction type in place of the checkpoint's.

    Raises:
        IVGError: the config names no schedule, or a network that predicts noise is to learn from pure noise.

    Source: DDPM (arXiv 2006.11239); Common Diffusion Noise Schedules … (arXiv 2305.08891) for the zero terminal SNR.
    """

    def __init__(
        self,
        scheduler_config: Mapping[str, Any],
        zero_terminal_snr: bool = False,
        prediction: Literal["epsilon", "v_prediction"] | None = None,
    ):
        overrides: dict[str, Any] = {} if prediction is None else {"prediction_type": prediction}
        self.zero_terminal_snr = zero_terminal_snr or bool(scheduler_config.get("rescale_betas_zero_snr"))
        if self.zero_terminal_snr:
            # Sampling has to begin at the pure noise that was trained.
            overrides |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        self.scheduler_config = {**scheduler_config, **overrides}
        try:
            self.scheduler: Any = DDPMScheduler.from_config(self.scheduler_config)
        except (NotImplementedError, TypeError, ValueError) as error:
            raise IVGError(
                f"scheduler_config.json describes no schedule to train on ({error}): check that it belongs to the "
                "checkpoint."
            ) from error
        self.prediction_type: str = self.scheduler.config["prediction_type"]
        if self.zero_terminal_snr and self.prediction_type == "epsilon":
            # In pure noise the noise is the input itself: there is nothing to learn, and x0 would be divided by zero.
            raise IVGError(
                "zero_terminal_snr needs a model that predicts v, and this one predicts noise: leave it off, or train "
                "with method full and prediction: v_prediction."
            )

    def __len__(self) -> int:
        return len(self.scheduler.alphas_cumprod)

    @property
    def alphas_cumprod(self) -> Tensor:
        """(T,)"""
        return self.scheduler.alphas_cumprod

    def draw(self, count: int, rng: torch.Generator, low: float = 0.0) -> Tensor:
        """See `Schedule`; timesteps, drawn on the CPU."""
        return torch.randint(int(low * len(self)), len(self), (count,), generator=rng)

    def at(self, share: float) -> int:
        """See `Schedule`."""
        return int(share * len(self))

    def signal(self, levels: Tensor) -> Tensor:
        """The cumulated alphas at timesteps (B,), on their device."""
        return self.alphas_cumprod.to(levels.device)[levels]

    def add_noise(self, x0: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """x_t of clean latents at timesteps (B,)."""
        return self.scheduler.add_noise(x0, noise, levels)

    def noise_in(self, noisy: Tensor, x0: Tensor, levels: Tensor) -> Tensor:
        """See `Schedule`."""
        a = over_latents(self.signal(levels))
        return (noisy - a.sqrt() * x0) / (1 - a).sqrt()

    def target(self, x0: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """The noise, v, or x0, whatever this network predicts."""
        if self.prediction_type == "epsilon":
            return noise
        return x0 if self.prediction_type == "sample" else self.scheduler.get_velocity(x0, noise, levels)

    def to_x0(self, output: Tensor, noisy: Tensor, levels: Tensor) -> Tensor:
        """See `Schedule`."""
        return predict_x0(noisy, output, self.signal(levels), self.prediction_type)


def predict_x0(noisy: Tensor, model_output: Tensor, alphas_cumprod_t: Tensor, prediction_type: str) -> Tensor:
    """The clean latents that a model output implies.

    Args:
        noisy: x_t (B, 4, F, h, w).
        model_output: what the UNet returned (B, 4, F, h, w).
        alphas_cumprod_t: the schedule's cumulated alphas at each item's timestep, (B,), or one for all, ().
        prediction_type: "epsilon", "v_prediction" or "sample", as scheduler_config.json says.

    Returns:
        (B, 4, F, h, w).

    Raises:
        IVGError: an unknown prediction type.

    Source: x_t = sqrt(a) x0 + sqrt(1 - a) eps (DDPM, eq. 4); v = sqrt(a) eps - sqrt(1 - a) x0.
    """
    a = over_latents(alphas_cumprod_t)
    if prediction_type == "epsilon":
        return (noisy - (1 - a).sqrt() * model_output) / a.sqrt()
    if prediction_type == "v_prediction":
        return a.sqrt() * noisy - (1 - a).sqrt() * model_output
    if prediction_type == "sample":
        return model_output
    raise IVGError(f"Unknown prediction_type {prediction_type!r}: use {', '.join(PREDICTIONS)}.")


def predict_noise(noisy: Tensor, model_output: Tensor, alphas_cumprod_t: Tensor, prediction_type: str) -> Tensor:
    """The noise that a model output implies; see `predict_x0`."""
    a = over_latents(alphas_cumprod_t)
    if prediction_type == "epsilon":
        return model_output
    if prediction_type == "v_prediction":
        return a.sqrt() * model_output + (1 - a).sqrt() * noisy
    return (noisy - a.sqrt() * predict_x0(noisy, model_output, alphas_cumprod_t, prediction_type)) / (1 - a).sqrt()


def min_snr_weight(schedule: Schedule, levels: Tensor, gamma: float) -> Tensor:
    """Weights (B,) of the noise loss that keep easy timesteps from drowning the others.

    Source: Efficient Diffusion Training via Min-SNR (arXiv 2303.09556): min(SNR, gamma) on x0.
    """
    signal = schedule.signal(levels)
    snr = signal / (1 - signal)
    capped = snr.clamp(max=gamma)
    if schedule.prediction_type == "epsilon":
        return capped / snr
    if schedule.prediction_type == "flow":
        return capped / (snr.sqrt() + 1) ** 2
    return capped / (snr + 1) if schedule.prediction_type == "v_prediction" else capped


def seen_through(signal: Tensor, min_snr: float) -> Tensor:
    """Where (B,) the signal-to-noise ratio reaches `min_snr`: there the clean picture can be told through the noise."""
    return signal >= min_snr * (1 - signal)


def over_latents(values: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1, 1), or () as (1, 1, 1, 1, 1), so that it broadcasts over latents."""
    return values.reshape(-1, 1, 1, 1, 1)
