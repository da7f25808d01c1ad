"""What a training leaves behind: a LoRA file that says where it comes from, or a model folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..models.lora import LoRA
from ..models.unet import IVGUNet
from .config import TrainConfig
from .diffusion import NoiseSchedule
from .learner import geometry


@dataclass
class Trained:
    """What a training gives back."""

    lora: LoRA | None  # method "lora"
    unet: IVGUNet | None  # method "full": the trained network, averaged if `ema` is on
    step: int  # steps done
    finished: bool  # False: stopped before `steps`
    path: Path | None  # the LoRA file or model folder; None for a full training that was stopped
    checkpoint: Path | None  # to go on from
    history: list[dict[str, float]] = field(default_factory=list)  # figures of each step of the whole run


def lora_metadata(
    config: TrainConfig,
    unet: IVGUNet,
    schedule: NoiseSchedule,
    base: Mapping[str, str],
    data: Mapping[str, object],
    history: list[dict[str, float]],
) -> dict[str, str]:
    """What a LoRA file says about itself; keys begin with `ivg_`, values that are no text are JSON.

    Args:
        config: of the training.
        unet: the network it was trained on.
        schedule: of the training.
        base: `base`, the model's name, and `base_hash`, its weights' fingerprint.
        data: see `sample.describe`.
        history: the figures of all steps.
    """
    recent = [figures["loss"] for figures in history[-50:]]
    heldout = [figures["heldout"] for figures in history if "heldout" in figures]
    about: dict[str, Any] = {
        "stage": config.stage,
        "steps": len(history),
        "rank": {role: settings.rank for role, settings in config.lora.items()},
        **base,
        "base_geometry": geometry(unet),
        "prediction_type": schedule.prediction_type,
        "zero_terminal_snr": schedule.zero_terminal_snr,
        "loss": sum(recent) / len(recent) if recent else None,
        "heldout_loss": heldout[-1] if heldout else None,
        "seed": config.seed,
        **data,
    }
    return {f"ivg_{key}": value if isinstance(value, str) else json.dumps(value) for key, value in about.items()}
