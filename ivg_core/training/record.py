"""What a training says about itself: in the weights that it leaves, and in the folder of its run."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
import yaml

from ..errors import shortly
from ..media.files import atomic_write
from ..media.targets import user_path
from ..models.provenance import Part, Provenance
from ..settings import from_mapping, read_json
from ..versions import made_with
from .config import TrainConfig
from .data.settings import DataSettings
from .losses import make_losses

log = logging.getLogger("ivg")

CONFIG, RUN = "config.yaml", "run.json"
SAID = "# All settings of this run, as it was started last; run.json holds those of every start.\n"


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


def write_start(folder: Path, config: TrainConfig, step: int, accelerator: Any, record: Mapping[str, Any]) -> None:
    """Notes in a run's folder with what it was started; every start is added to those before.

    `config.yaml` holds the settings, all of them, as `train --config` reads them. `run.json` holds a list `starts`:
    when, from which step, with which settings, versions, commit and command, in which folder, on what.

    Args:
        folder: of the run.
        config: of this start.
        step: steps that were done before.
        accelerator: accelerate's.
        record: further plain values.

    Raises:
        IVGError: a file cannot be written.
    """
    settings = json.loads(json.dumps(_whole(config)))
    started = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "from_step": step,
        **made_with(),
        "folder": os.getcwd(),  # what relative paths are relative to
        "device": _device(accelerator.device),
        "processes": accelerator.num_processes,
        "distributed": str(getattr(accelerator.distributed_type, "value", accelerator.distributed_type)),
        "config": settings,
        **record,
    }
    starts = [*_starts(folder / RUN), started]
    texts = {
        CONFIG: SAID + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True),
        RUN: json.dumps({"starts": starts}, indent=1, ensure_ascii=False, default=str) + "\n",
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _whole(config: TrainConfig) -> dict[str, Any]:
    """The settings of a training, those in sections too that were left at their defaults."""
    settings = config.to_dict()
    if "source" in settings["data"]:
        settings["data"] = asdict(from_mapping(DataSettings, settings["data"], "data"))
    for place in (settings, *settings["paths"]):
        terms = make_losses(place["losses"], config.stage) if place["losses"] else {}
        place["losses"] = {name: asdict(term) if is_dataclass(term) else term for name, term in terms.items()}
    return settings


def _starts(path: Path) -> list[Any]:
    try:
        return list(read_json(path.read_bytes())["starts"]) if path.exists() else []
    except (KeyError, OSError, TypeError, ValueError) as error:
        log.warning("%s cannot be read (%s): it begins anew.", path, shortly(error))
        return []


def _device(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


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
