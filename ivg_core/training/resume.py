"""Checkpoints of a training: whole or not there at all, the last few kept, checked before they are taken up again."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from ..checkpoints.write import save_tensors
from ..errors import IVGError, shortly
from ..media.files import to_disk, why_not_written
from ..media.targets import user_path
from ..settings import read_json
from .config import LoRASettings, TrainConfig, TrainingPath
from .ema import Average

log = logging.getLogger("ivg")

# What may change between a checkpoint and its continuation without a word; anything else is said.
FREE_TO_CHANGE = {
    "out", "name", "save_every", "keep_last", "validation", "tensorboard", "log", "device", "model", "plugins",
}  # fmt: skip
# What may not, because the checkpoint would not fit.
FIXED = {"stage", "method", "lora", "trainable", "clip_rank", "optimizer", "prediction"}
WEIGHTS, AVERAGE, PROGRESS = "trained.safetensors", "average.safetensors", "progress.json"
OLD_AVERAGE = "custom_checkpoint_0.pkl"  # of version 0.1, which left it to accelerate
NAME = re.compile(r"checkpoint-(\d+)")


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    found = [(int(match[1]), path) for path in folder.glob("checkpoint-*") if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def checkpoint_to_resume(folder: Path, resume: str | Path | None) -> Path | None:
    """The checkpoint to go on from.

    Args:
        folder: of the run.
        resume: "auto", the latest one if there is any; a checkpoint's path; None, begin anew.

    Raises:
        IVGError: the path is no checkpoint, or a new run would run over an old one.
    """
    found = checkpoints(folder)
    if resume is None:
        if found:
            raise IVGError(
                f"{folder} holds a training already ({found[-1].name}): go on with it (--resume auto), "
                "or give another folder as out."
            )
        return None
    if str(resume) == "auto":
        return found[-1] if found else None
    path = user_path(resume)
    if not (path / PROGRESS).is_file():
        raise IVGError(f"{path} is no checkpoint of a training: give a folder checkpoint-…, or --resume auto.")
    return path


def trained_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """What is learned, by name."""
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def keep_only_what_is_learned(accelerator: Any) -> None:
    """Makes accelerate's checkpoints hold the trained weights in place of the whole network.

    The names are those of the bare network, so that a run goes on with another number of processes too. DeepSpeed
    writes its own files and is left to do so.
    """

    def save(models: list[nn.Module], weights: list[Any], folder: str) -> None:
        if weights and accelerator.is_main_process:
            tensors = trained_parameters(accelerator.unwrap_model(models[0]))
            save_tensors(
                {name: p.detach().cpu().contiguous() for name, p in tensors.items()},
                Path(folder) / WEIGHTS,
                {"format": "pt"},
            )
        weights.clear()

    def load(models: list[nn.Module], folder: str) -> None:
        if not models:
            return
        with torch.no_grad():
            saved = load_file(Path(folder) / WEIGHTS)
            for name, p in trained_parameters(accelerator.unwrap_model(models.pop())).items():
                p.copy_(saved[name])

    accelerator.register_save_state_pre_hook(save)
    accelerator.register_load_state_pre_hook(load)


def save_checkpoint(
    accelerator: Any,
    folder: Path,
    step: int,
    progress: Mapping[str, Any],
    keep_last: int,
    average: Average | None = None,
) -> Path:
    """Writes `<folder>/checkpoint-<step>` and removes the oldest beyond `keep_last`.

    It is written under another name and renamed when it is on the disk: whatever ends the process, every checkpoint
    that has its name is whole.

    Raises:
        IVGError: it could not be written; what was there before stays.
    """
    target = folder / f"checkpoint-{step:06d}"
    partial = folder / f".{target.name}.part"
    reason = ""
    try:
        partial.mkdir(parents=True, exist_ok=True)
        accelerator.save_state(str(partial))
        if accelerator.is_main_process:
            if average is not None:
                average.save(partial / AVERAGE)
            (partial / PROGRESS).write_text(json.dumps(progress, indent=1))
            to_disk(partial)
    except Exception as error:  # a full disk is an OSError, a RuntimeError of torch or a SafetensorError
        reason = why_not_written(error)
        if not reason:
            raise
    # Every process must know before the name is given: a shard that is missing makes the whole worthless.
    failures = accelerator.reduce(torch.tensor(float(bool(reason)), device=accelerator.device), "sum")
    if failures.item():
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        earlier = checkpoints(folder)
        stays = f"{earlier[-1].name} stays" if earlier else "there is no earlier one"
        raise IVGError(
            f"The checkpoint of step {step} could not be written to {folder} ({reason or 'in another process'}); "
            f"{stays}: make room on the disk, then go on with --resume auto."
        )
    if accelerator.is_main_process:
        if target.exists():  # of an earlier run that was taken up further back
            shutil.rmtree(target)
        os.replace(partial, target)
        for old in checkpoints(folder)[:-keep_last]:
            shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()
    return target


def load_checkpoint(accelerator: Any, path: Path, average: Average | None = None) -> None:
    """Puts weights, optimiser, average and generators back as they were. No file of it can run code.

    Raises:
        IVGError: the checkpoint is damaged or of another training.
    """
    try:
        if average is not None:
            if accelerator.is_main_process and (path / OLD_AVERAGE).exists():
                _renew_average(path, average)
            accelerator.wait_for_everyone()
            average.load(path / AVERAGE)
        accelerator.load_state(str(path))
    except Exception as error:  # torch's and accelerate's readers raise whatever a damaged file makes of them
        raise IVGError(
            f"{path} cannot be taken up ({shortly(error)}): it is damaged or belongs to a training with "
            "other layers; remove it to go on from the one before."
        ) from error


def _renew_average(path: Path, average: Average) -> None:
    """Write the average of an older checkpoint as it is written today: accelerate would unpickle the old file."""
    saved = torch.load(path / OLD_AVERAGE, map_location="cpu", weights_only=True)
    average.take_up(saved, int(saved["steps"]))
    average.save(path / AVERAGE)
    (path / OLD_AVERAGE).unlink()


def read_progress(path: Path) -> dict[str, Any]:
    """What a checkpoint says about itself.

    Raises:
        IVGError: it says nothing.
    """
    try:
        progress = read_json((path / PROGRESS).read_text(encoding="utf-8"))
        kinds = {"config": dict, "base": str, "step": int, "processes": int}
        if not isinstance(progress, dict) or not all(isinstance(progress.get(key), kinds[key]) for key in kinds):
            raise ValueError(f"{PROGRESS} describes no training")
    except (OSError, ValueError) as error:
        raise IVGError(f"{path} is damaged ({error}): remove it to go on from the one before.") from error
    return progress


def compare(
    progress: Mapping[str, Any],
    path: Path,
    config: TrainConfig,
    base_hash: str,
    processes: int,
    clips: list[str] | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Says what is different from the settings a checkpoint was made with.

    Args:
        progress: what the checkpoint says about itself.
        path: of the checkpoint.
        config, base_hash, processes: of this run.
        clips: what each clip is, where each has a LoRA of its own.
        about: what the network says of itself, see `TrainableBackbone.about`.

    Raises:
        IVGError: the difference is one with which the checkpoint cannot be taken up.
    """
    if progress.get("clips") != clips:
        raise IVGError(
            f"{path} holds a LoRA for each of its clips, and these are other clips, or in another order, or cut at "
            "another stride: give those that it began with, or begin anew with another name."
        )
    now, then = (json.loads(json.dumps(s)) for s in (config.to_dict(), _with_new_settings(progress["config"])))
    changed = [key for key in now if key not in FREE_TO_CHANGE and now[key] != then[key]]
    for key in filter(FIXED.__contains__, changed):
        name, new, old = _differences(key, now[key], then[key])[0]
        raise IVGError(f"{path} was trained with {name} {old!r}, now it is {new!r}: set it back.")
    if progress["base"] != base_hash:
        raise IVGError(f"{path} was trained on another model: load the one it began with.")
    now, then = now | json.loads(json.dumps(about or {})), then | progress.get("about", {})
    changed += [key for key in about or {} if key not in changed and now[key] != then.get(key, now[key])]
    for key in changed:
        for name, new, old in _differences(key, now[key], then[key]):
            log.warning("%s is now %s; the run up to here had %s.", name, new, old)
    if progress["processes"] * then["accumulation"] != processes * config.accumulation:
        log.warning("Processes x accumulation has changed: the order of the clips goes on at another place.")


def _differences(key: str, now: Any, then: Any) -> list[tuple[str, Any, Any]]:
    """Name, new and old value of what differs; of a section, each that does."""
    if not (isinstance(now, dict) and isinstance(then, dict)):
        return [(key, now, then)]
    told = [name for name in dict.fromkeys([*then, *now]) if now.get(name) != then.get(name)]
    return [(f"{key}.{name}", now.get(name, "its default"), then.get(name, "its default")) for name in told]


def _with_new_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's settings, with those that an older version did not know at their defaults."""
    known = {**TrainConfig().to_dict(), **config}
    roles = {role: asdict(LoRASettings()) | settings for role, settings in known["lora"].items()}
    paths = [asdict(TrainingPath({}, [])) | path for path in known["paths"]]
    return known | {"lora": roles, "paths": paths}


def remove_leftovers(folder: Path) -> None:
    """Removes what a run that was killed had not finished writing."""
    for path in folder.glob(".checkpoint-*.part"):
        shutil.rmtree(path, ignore_errors=True)
