"""Clips of noise for the training tests: real shapes at tiny sizes."""

from pathlib import Path

import torch

from ivg_core.media.video import write_video
from ivg_core.models.backbone import UNetBackbone
from ivg_core.training.backbone import TrainableUNet
from ivg_core.training.batches import ListDataset
from ivg_core.training.config import LoRASettings, TrainConfig, TrainingPath
from ivg_core.training.learner import Learner
from ivg_core.training.objective import Denoising
from ivg_core.training.sample import Sample


def clip(seed: int, frames: int = 2, size: tuple[int, int] = (16, 16), text_width: int = 32) -> Sample:
    """One clip whose middle moves.

    From 8 x 8 latents the tiny model's deepest level would be one pixel, its group norm would divide by nearly
    nothing, and rounding alone would turn the gradients.
    """
    rng = torch.Generator().manual_seed(seed)
    height, width = size
    rom = torch.zeros(8 * height, 8 * width)
    rom[:, 2 * width : 6 * width] = 1
    still = torch.randn(4, 1, height, width, generator=rng)
    return {
        "latents": still + 0.3 * torch.randn(4, frames, height, width, generator=rng),
        "mask_latents": torch.randn(4, frames, height, width, generator=rng),
        "rom_mask": rom,
        "frame_masks": rom.expand(frames, -1, -1).clone(),
        "text": torch.randn(77, text_width, generator=rng),
        "empty_text": torch.randn(77, text_width, generator=torch.Generator().manual_seed(-1 % 2**31)),
        "caption": f"cut number {seed}",
        "name": f"clip {seed}",
    }


def clips(count: int = 5, **kwargs) -> ListDataset:
    return ListDataset([clip(seed, **kwargs) for seed in range(count)])


def clips_on_disk(folder: Path) -> Path:
    """Three videos of noise, each with its sentence beside it; the folder."""
    torch.manual_seed(0)
    for name in ("stir", "cut", "pour"):
        write_video(torch.rand(3, 64, 64, 3), folder / f"{name}.mp4", 8)
        (folder / f"{name}.txt").write_text(f"{name} the soup")
    return folder


def denoising(config: TrainConfig, model) -> Denoising:
    """The objective of a training of this model."""
    return Denoising(config, TrainableUNet(model, config))


def learner(model, network=None) -> Learner:
    """The stage-2 network, or another, as a training asks it."""
    return Learner(UNetBackbone(model, 2, network), None)


def small(out, **values) -> TrainConfig:
    """Settings of a few quick steps."""
    few = {"steps": 4, "warmup": 0, "learning_rate": 1e-3, "save_every": 0, "device": "cpu"}
    return TrainConfig(out=str(out), **{**few, **values})


def busy(stage: int) -> dict:
    """Settings with dropout and with losses that are there on some batches only: what processes could get wrong."""
    losses = {
        1: {"noise": 1, "miou": {"weight": 0.1, "frames": 1, "min_snr": 1.4}},
        2: {"noise": {"inside": 3}, "motion": 0.001},
    }
    return {
        "steps": 3,
        "batch_size": 2,
        "stage": stage,
        "ema": 0.5,
        "losses": losses[stage],
        "lora": {"spatial": LoRASettings(4, dropout=0.3), "temporal": LoRASettings(4)},
    }


def busy_paths() -> dict:
    """The same for a training whose LoRAs, one a clip among them, learn in some steps only."""
    return busy(2) | {
        "losses": {},
        "batch_size": 1,
        "steps": 4,
        "lora": {"spatial": LoRASettings(4, per_clip=True), "temporal": LoRASettings(4)},
        "paths": [
            TrainingPath({"noise": 1.0}, ["spatial"], frames="one", chance=0.5, name="looks"),
            TrainingPath({"noise": 1.0, "debiased": 1.0}, ["temporal"], ["spatial"], name="motion"),
        ],
    }
