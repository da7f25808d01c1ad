"""The noise side of training: the schedule of a checkpoint, zero terminal SNR, min-SNR weights, targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from ..errors import IVGError


class NoiseSchedule:
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
        overrides = {} if prediction is None else {"prediction_type": prediction}
        try:
            scheduler: Any = DDPMScheduler.from_config({**scheduler_config, **overrides})
        except (NotImplementedError, TypeError, ValueError) as error:
            raise IVGError(
                f"scheduler_config.json describes no schedule to train on ({error}): check that it belongs to the "
                "checkpoint."
            ) from error
        self.prediction_type: str = scheduler.config["prediction_type"]
        self.zero_terminal_snr = zero_terminal_snr or bool(scheduler_config.get("rescale_betas_zero_snr"))
        if self.zero_terminal_snr and self.prediction_type == "epsilon":
            # In pure noise the noise is the input itself: there is nothing to learn, and x0 would be divided by zero.
            raise IVGError(
                "zero_terminal_snr needs a model that predicts v, and this one predicts noise: leave it off, or train "
                "with method full and prediction: v_prediction."
            )
        # The released code rescales the betas after the alphas were made of them, which changes nothing.
        betas = rescale_zero_terminal_snr(scheduler.betas) if zero_terminal_snr else scheduler.betas
        self.alphas_cumprod: Tensor = torch.cumprod(1 - betas, dim=0)  # (T,)
        self.scheduler_config = {**scheduler_config, **overrides}
        if self.zero_terminal_snr:
            # Sampling has to begin at the pure noise that was trained.
            self.scheduler_config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def alphas(self, timesteps: Tensor) -> Tensor:
        """Cumulated alphas at timesteps (B,), on their device."""
        return self.alphas_cumprod.to(timesteps.device)[timesteps]

    def add_noise(self, x0: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t of clean latents (B, 4, F, h, w) at timesteps (B,)."""
        a = self.alphas(timesteps).reshape(-1, 1, 1, 1, 1)
        return a.sqrt() * x0 + (1 - a).sqrt() * noise

    def target(self, x0: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network should predict: the noise, v, or x0 (B, 4, F, h, w)."""
        if self.prediction_type == "epsilon":
            return noise
        if self.prediction_type == "sample":
            return x0
        a = self.alphas(timesteps).reshape(-1, 1, 1, 1, 1)
        return a.sqrt() * noise - (1 - a).sqrt() * x0

    def min_snr_weight(self, timesteps: Tensor, gamma: float) -> Tensor:
        """Weights (B,) of the noise loss that keep easy timesteps from drowning the others.

        Source: Efficient Diffusion Training via Min-SNR (arXiv 2303.09556): min(SNR, gamma) on x0.
        """
        a = self.alphas(timesteps)
        snr = a / (1 - a)
        capped = snr.clamp(max=gamma)
        if self.prediction_type == "epsilon":
            return capped / snr
        return capped / (snr + 1) if self.prediction_type == "v_prediction" else capped
