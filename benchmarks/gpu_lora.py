"""What a training step of a LoRA takes at 256 x 256 x 16, by the presets."""

from __future__ import annotations

import tempfile
from statistics import median

import torch

from benchmarks.gpu import Figures, Setting, free, model_of, peak_gib
from benchmarks.hands import drawn_clip
from ivg_core.models.bundle import IVGModel
from ivg_core.models.text import encode_text
from ivg_core.training.batches import ListDataset
from ivg_core.training.config import read_config
from ivg_core.training.sample import Sample
from ivg_core.training.trainer import train

STEPS = 8


def lora_step(setting: Setting, _told: Figures) -> Figures:
    """Memory and seconds of a step of stage 2, by the preset without the hand loss and the one with it."""
    figures: Figures = {}
    for preset, end in (("small-vram", ""), ("stage2-lora-hands", "_hands")):
        figures |= one(setting, preset, end)
        free()
    return figures


def one(setting: Setting, preset: str, end: str) -> Figures:
    """Trains a few steps on a drawn clip by a preset."""
    side, frames = (64, 3) if setting.tiny else (256, 16)
    model = model_of(setting)
    free()
    with tempfile.TemporaryDirectory() as out:
        asked = {"out": out, "steps": STEPS, "save_every": 0, "validation": {"every": 0, "draws": 1}}
        asked |= {"device": "auto", "precision": "bf16"} if setting.device.type == "cuda" else {"device": "cpu"}
        asked |= {} if setting.device.type == "cuda" else {"precision": "fp32"}
        done = train(read_config(preset, asked), model, ListDataset([clip_of(model, side, frames)]))
    spent = median(step["seconds"] for step in done.history[1:])
    with_hands = {"steps_with_hand_loss": sum("hands" in step for step in done.history)} if end else {}
    return {**with_hands, f"seconds_a_lora_step{end}": spent, **peak_gib(setting, f"peak_gib_lora_step{end}")}


@torch.no_grad()
def clip_of(model: IVGModel, side: int, frames: int) -> Sample:
    """A drawn clip with a hand in it, as training reads it; its latents are noise."""
    text = encode_text(model, ["the person stirs the pan", ""]).float().cpu()
    cells = side // model.vae_scale_factor
    return {
        "latents": torch.randn(4, frames, cells, cells),
        "text": text[0],
        "empty_text": text[1],
        "rom_mask": torch.ones(side, side),
        "frames": (drawn_clip(1, side, side, frames) * 255).byte(),
        "caption": "the person stirs the pan",
        "name": "drawn",
    }
