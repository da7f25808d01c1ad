"""The solver of the denoising loop, built from the checkpoint's own scheduler_config.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_lcm import LCMScheduler
from torch import Tensor

from ..errors import IVGError
from ..models.schedule import PREDICTIONS, predict_noise, predict_x0
from .settings import SOLVERS, SolverName

#: Solver -> diffusers' class of it, and what of a checkpoint's config does not hold for it.
SCHEDULERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "dpm++2m": (DPMSolverMultistepScheduler, {"final_sigmas_type": "sigma_min"}),
    "ddim": (DDIMScheduler, {}),
    "lcm": (LCMScheduler, {}),
}


class Solver:
    """Steps noisy latents towards clean ones, or the other way. Holds the state of one run; each run needs a new one.

    Latents are (B, 4, F, h, w) float32; steps count from 0.
    """

    def __init__(
        self,
        scheduler: DDIMScheduler | DPMSolverMultistepScheduler | LCMScheduler,
        num_inference_steps: int,
        seeds: Sequence[int] = (),
    ):
        scheduler.set_timesteps(num_inference_steps)
        self.scheduler = scheduler
        self.added: dict[str, Any] = {}
        if isinstance(scheduler, LCMScheduler):  # it adds fresh noise between steps; a seed's own was the start
            self.added = {"generator": [torch.Generator().manual_seed(derived_seed(seed)) for seed in seeds]}
        self.timesteps = cast(Tensor, scheduler.timesteps)  # (N,) in the order of the steps, on the CPU
        self.alphas = cast(Tensor, scheduler.alphas)  # (T,)
        self.alphas_cumprod = cast(Tensor, scheduler.alphas_cumprod)  # (T,)
        self.prediction_type: str = scheduler.config["prediction_type"]

    def __len__(self) -> int:
        return len(self.timesteps)

    def last(self, steps: int) -> Solver:
        """It itself, of whose steps only the last so many are left; to be called before the first of them."""
        self.timesteps = self.timesteps[len(self) - steps :]
        return self

    def add_noise(self, clean: Tensor, noise: Tensor, step: int) -> Tensor:
        """Noise clean latents to the level at which `step` begins; the level after the last step counts as clean."""
        if step == len(self):
            return clean
        return self.scheduler.add_noise(clean, noise, cast(Any, self.timesteps[step : step + 1]))

    def predict_x0(self, noise_pred: Tensor, latents: Tensor, step: int) -> Tensor:
        """The clean latents that the network's output for this step implies."""
        alpha_cumprod = self.alphas_cumprod[int(self.timesteps[step])].to(latents)
        return predict_x0(latents, noise_pred, alpha_cumprod, self.prediction_type)

    def step(self, noise_pred: Tensor, latents: Tensor, step: int) -> Tensor:
        """The latents at which the next step begins."""
        return self.scheduler.step(
            noise_pred, cast(Any, self.timesteps[step]), latents, **self.added, return_dict=False
        )[0]


class Inverse(Solver):
    """The steps of a solver taken the other way, by DDIM: from clean latents to the level at which they begin.

    A step asks the network at the level that it leads to.

    Args:
        solver: a fresh one, of which nothing is changed.

    Source: DDIM (arXiv 2010.02502), section 4.3.
    """

    def __init__(self, solver: Solver):
        self.scheduler, self.added = solver.scheduler, solver.added
        self.timesteps, self.prediction_type = solver.timesteps.flip(0), solver.prediction_type
        self.alphas, self.alphas_cumprod = solver.alphas, solver.alphas_cumprod
        clean = getattr(self.scheduler, "final_alpha_cumprod", self.alphas_cumprod[0])
        self.levels = torch.cat([clean.reshape(1), self.alphas_cumprod[self.timesteps]])  # (N + 1,)

    def predict_x0(self, noise_pred: Tensor, latents: Tensor, step: int) -> Tensor:
        """See `Solver`."""
        return predict_x0(latents, noise_pred, self.levels[step].to(latents), self.prediction_type)

    def step(self, noise_pred: Tensor, latents: Tensor, step: int) -> Tensor:
        """See `Solver`."""
        above = self.levels[step + 1].to(latents)
        noise = predict_noise(latents, noise_pred, self.levels[step].to(latents), self.prediction_type)
        return above.sqrt() * self.predict_x0(noise_pred, latents, step) + (1 - above).sqrt() * noise


def derived_seed(seed: int) -> int:
    """Another seed that follows from one, for what is not its noise.

    torch's generator on the CPU heeds the lower 32 bits alone.
    """
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])


def make_solver(
    scheduler_config: Mapping[str, Any],
    num_inference_steps: int,
    name: SolverName = "dpm++2m",
    zero_snr: bool | None = None,
    seeds: Sequence[int] = (0,),
) -> Solver:
    """Build the solver that a checkpoint was meant for.

    Timestep spacing, offset and betas come from the file (DDIM takes "trailing" for "linspace"); a key that is missing
    there takes the default of the solver, not of the scheduler class that wrote the file.

    Args:
        scheduler_config: the content of scheduler_config.json.
        num_inference_steps: N >= 1.
        name: "dpm++2m" (DPM-Solver++ 2M, ends at sigma_min), "ddim" (eta 0), or "lcm", for networks with a LoRA that
            was distilled to few steps.
        zero_snr: False ignores the file's `rescale_betas_zero_snr`, as the released code does; None obeys it.
        seeds: one for each item of the batch, of the noise that "lcm" adds between steps.

    Raises:
        IVGError: an unknown name, more steps than the schedule has, or a config that names no usable schedule.

    Source: DPM-Solver++ (arXiv 2211.01095), DDIM (arXiv 2010.02502), LCM (arXiv 2310.04378); the released code's
        settings.
    """
    if name not in SOLVERS:
        raise IVGError(f"There is no solver {name!r}: choose {' or '.join(SOLVERS)}.")
    scheduler_class, overrides = SCHEDULERS[name]
    if name == "ddim" and scheduler_config.get("timestep_spacing") == "linspace":
        # diffusers' DDIM walks T // N timesteps at a time; these are further apart, and noise would be left over
        overrides = overrides | {"timestep_spacing": "trailing"}
    if zero_snr is not None:
        overrides = overrides | {"rescale_betas_zero_snr": zero_snr}
    try:
        scheduler = scheduler_class.from_config(dict(scheduler_config), **overrides)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise IVGError(
            f"scheduler_config.json describes no schedule that {name} can follow ({error}): check that it belongs to "
            "the checkpoint."
        ) from error
    prediction = scheduler.config["prediction_type"]
    if prediction not in PREDICTIONS:
        raise IVGError(f"scheduler_config.json has prediction_type {prediction!r}: use {', '.join(PREDICTIONS)}.")
    total = scheduler.config["num_train_timesteps"]
    # beyond, spacing "leading" would leave out the noisy half; "lcm" was distilled at so many
    most = scheduler.config["original_inference_steps"] if name == "lcm" else total // 2
    if num_inference_steps > most:
        raise IVGError(f"{num_inference_steps} steps are more than this model's schedule allows: take at most {most}.")
    return Solver(scheduler, num_inference_steps, seeds)


def make_inverse(scheduler_config: Mapping[str, Any], num_inference_steps: int) -> Inverse:
    """Build the solver "ddim" of a checkpoint that goes the other way: from clean latents to the noise they come from.

    Args:
        scheduler_config: the content of scheduler_config.json.
        num_inference_steps: N >= 1; more of them come closer to the way back.

    Raises:
        IVGError: as `make_solver`.

    Source: MotionDirector inverts in 50 steps.
    """
    return Inverse(make_solver(scheduler_config, num_inference_steps, "ddim"))
