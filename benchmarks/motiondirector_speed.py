"""A step of the one-video preset beside the same step written with plain diffusers and peft, turn by turn in one run.

    python benchmarks/motiondirector_speed.py [--steps 150] [--record benchmarks]

Both train a tiny text-to-video network of random weights on the same clip of 16 frames: a LoRA within frames on one
frame, another over time on all of them, two AdamWs. Processor time, one thread.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet3DConditionModel
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor
from torch.nn.functional import mse_loss

from benchmarks.record import record_options, report
from ivg_core.checkpoints.load import load_model
from ivg_core.models.bundle import IVGModel
from ivg_core.models.lora import lora_sites
from ivg_core.models.text import encode_text
from ivg_core.training.batches import ListDataset
from ivg_core.training.config import read_config
from ivg_core.training.sample import Sample
from ivg_core.training.trainer import train

MODEL = Path(__file__).parents[1] / "tests" / "golden" / "motiondirector" / "training" / "model"
FRAMES, HEIGHT, WIDTH = 16, 16, 16  # of the clip; height and width in cells
WARM = 5  # steps that are not counted


class Peer:
    """MotionDirector's step as its users would write it today.

    Args:
        model: whose network is copied.
        latents: of the clip (1, 4, F, h, w).
        text: its sentence (1, 77, D).
        rank, rate: as in the preset.
    """

    def __init__(self, model: IVGModel, latents: Tensor, text: Tensor, rank: int, rate: float):
        assert model.unet is not None
        kept = ("block_out_channels", "layers_per_block", "cross_attention_dim", "attention_head_dim")
        kinds = ("down_block_types", "up_block_types", "norm_num_groups")
        self.unet: Any = UNet3DConditionModel(**{key: model.unet.config[key] for key in (*kept, *kinds)})
        self.unet.load_state_dict(model.unet.state_dict())
        self.unet.requires_grad_(False)
        self.optimizers = {}
        for role in ("spatial", "temporal"):
            config = LoraConfig(
                r=rank,
                lora_alpha=rank,
                lora_dropout=0.1,
                bias="none",
                target_modules=list(lora_sites(model.unet, [role])),
            )
            inject_adapter_in_model(config, self.unet, adapter_name=role)
            own = [p for name, p in self.unet.named_parameters() if f".{role}." in name]
            self.optimizers[role] = torch.optim.AdamW(own, lr=rate, weight_decay=0.01)
        for parameter in self.unet.parameters():  # injecting the second adapter froze the first
            parameter.requires_grad_(False)
        for optimizer in self.optimizers.values():
            for parameter in optimizer.param_groups[0]["params"]:
                parameter.requires_grad_(True)
        self.layers = [m for m in self.unet.modules() if hasattr(m, "set_scale")]
        self.latents, self.text = latents, text
        self.schedule = DDIMScheduler.from_config(model.scheduler_config)

    def step(self) -> None:
        """One step, with 20 % of the looks left out."""
        noise, level = torch.randn_like(self.latents), torch.randint(0, 1000, (1,))
        noisy = self.schedule.add_noise(self.latents, noise, level)
        looks = random.random() >= 0.2
        if looks:
            self._sound(spatial=1.0, temporal=0.0)
            k = random.randrange(FRAMES)
            predicted = self._ask(noisy[:, :, k : k + 1], level)
            mse_loss(predicted[:, :, 0], noise[:, :, k]).backward()
        gradients = [p.grad for p in self.optimizers["spatial"].param_groups[0]["params"]]
        self._sound(spatial=float(looks), temporal=1.0)
        predicted, j = self._ask(noisy, level), random.randrange(FRAMES)
        loss = mse_loss(predicted, noise)
        difference = (2**0.5 * z - z[:, :, j : j + 1] for z in (predicted, noise))
        (loss + mse_loss(*difference)).backward()
        for parameter, gradient in zip(self.optimizers["spatial"].param_groups[0]["params"], gradients, strict=True):
            parameter.grad = gradient
        for optimizer in self.optimizers.values():
            optimizer.step()
            optimizer.zero_grad()

    def _sound(self, **scales: float) -> None:
        for layer in self.layers:
            for role, scale in scales.items():
                if role in layer.active_adapters or role in layer.lora_A:
                    layer.scaling[role] = scale

    def _ask(self, noisy: Tensor, level: Tensor) -> Tensor:
        return self.unet(noisy, level, encoder_hidden_states=self.text).sample


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[record_options()]
    )
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = load_model(MODEL)
    with torch.no_grad():
        text = encode_text(model, ["a person is riding a horse", ""])
    latents = torch.randn(4, FRAMES, HEIGHT, WIDTH)
    clip: Sample = {"latents": latents, "text": text[0], "empty_text": text[1], "caption": "", "name": "clip"}
    with tempfile.TemporaryDirectory() as out:
        asked = {"out": out, "steps": options.steps, "device": "cpu", "precision": "fp32", "checkpointing": False}
        config = read_config("motion-one-video", {**asked, "save_every": 0})
        peer = Peer(model, latents[None], text[:1], config.lora["temporal"].rank, config.learning_rate)
        ours, theirs, began = [], [], time.process_time()

        def turn(step: int, total: int, figures: dict[str, float]) -> None:
            nonlocal began
            ours.append(time.process_time() - began)
            began = time.process_time()
            peer.step()
            theirs.append(time.process_time() - began)
            began = time.process_time()

        train(config, model, ListDataset([clip]), on_step=turn)
    ours, theirs = ours[WARM:], theirs[WARM:]
    report(
        options,
        "motiondirector_speed",
        {
            "ratio_vs_peer": sum(theirs) / sum(ours),
            "seconds_a_step": median(ours),
            "seconds_a_step_peer": median(theirs),
            "steps": options.steps,
        },
    )


if __name__ == "__main__":
    main()
