"""What our denoising loop stands beside: the released code's own, and diffusers'."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, TextToVideoSDPipeline, UNet3DConditionModel
from torch import Tensor

from benchmarks.full_size import SCHEDULER
from ivg_core.models.unet import IVGUNet

GUIDANCE = 9.0


class Released:
    """The released code's loop in its own process; see released_loop.py."""

    def __init__(self, checkout: str, inputs: dict[str, Any], folder: Path):
        torch.save(inputs, folder / "inputs.pt")
        self.latents = folder / "latents.pt"
        python = os.environ.get("IVG_RELEASED_PYTHON", sys.executable)
        script = Path(__file__).with_name("released_loop.py")
        words = [python, str(script), checkout, str(folder / "inputs.pt"), str(self.latents)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self) -> float:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("The released code ended: what it said stands above.")
        return float(answer)

    def end(self) -> None:
        self.process.communicate()


def diffusers_loop(ours: IVGUNet, told: dict[str, Any]) -> Callable[[], Tensor]:
    """diffusers' own network, with our weights, in its text-to-video pipeline, up to the clean latents."""
    own = {key: value for key, value in told["config"].items() if not key.startswith("motion")}
    with torch.device("meta"):
        unet = UNet3DConditionModel(**own)
    weights = ours.state_dict()
    unet.load_state_dict({key: weights[key] for key in unet.state_dict()}, assign=True)
    solver = DPMSolverMultistepScheduler.from_config(SCHEDULER)
    pipeline = TextToVideoSDPipeline(None, None, None, unet.eval(), solver)
    pipeline.set_progress_bar_config(disable=True)
    latents = torch.cat([told["photo"], told["latents"]], dim=2)  # the same number of frames for the network
    height, width = latents.shape[-2:]

    def run() -> Tensor:
        return pipeline(
            prompt_embeds=told["text"],
            negative_prompt_embeds=told["negative"],
            latents=latents,
            num_frames=latents.shape[2],
            height=8 * height,
            width=8 * width,
            num_inference_steps=told["steps"],
            guidance_scale=GUIDANCE,
            output_type="latent",
        ).frames

    return run
