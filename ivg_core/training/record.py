"""What a training says about itself: in the weights that it leaves, and in the folder of its run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..media.targets import user_path
from ..models.provenance import Part, Provenance
from .config import TrainConfig


def after_training(made_of: Provenance, config: TrainConfig) -> Provenance:
    """What weights are made of after a training.

    Args:
        made_of: what they were made of before.
        config: of the training; its data's `name` and `licence` are told as the user gave them.
    """
    data = config.data
    source = data.get("source")
    name = data.get("name") or (user_path(source).resolve().name if source else "")
    return made_of.and_([Part("data", str(name), str(data.get("licence") or ""))]).then("train")


def lora_metadata(
    config: TrainConfig,
    base: Mapping[str, Any],
    data: Mapping[str, object],
    history: list[dict[str, float]],
    made_of: Provenance,
) -> dict[str, str]:
    """What a LoRA file says about itself; keys begin with `ivg_`, values that are no text are JSON.

    Args:
        config: of the training.
        base: `base`, the model's name, `base_hash`, its weights' fingerprint, and what the backbone says of itself.
        data: see `batches.describe`.
        history: the figures of all steps.
        made_of: what it is made of; its licence is told under `licence`, where other programs look for it.
    """
    recent = [figures["loss"] for figures in history[-50:]]
    heldout = [figures["heldout"] for figures in history if "heldout" in figures]
    about: dict[str, Any] = {
        "stage": config.stage,
        "steps": len(history),
        "rank": {role: settings.rank for role, settings in config.lora.items()},
        **base,
        "loss": sum(recent) / len(recent) if recent else None,
        "heldout_loss": heldout[-1] if heldout else None,
        "seed": config.seed,
        **data,
    }
    told = {f"ivg_{key}": value if isinstance(value, str) else json.dumps(value) for key, value in about.items()}
    return told | made_of.in_header()
