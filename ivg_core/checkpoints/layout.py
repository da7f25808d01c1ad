"""Find the parts of a checkpoint, or say what the path is instead."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import IVGError
from ..media.targets import user_path
from ..media.text import read_text
from ..models.bundle import ModelDefaults
from ..models.domain import Domain
from ..settings import read_json, read_yaml
from .tokenizer import FILE_NAMES
from .weights import TensorInfo, find_weights, is_safetensors, list_tensors, read_metadata

log = logging.getLogger("ivg")

EMBEDDED = Path(__file__).parents[1] / "assets" / "ivg-tiny.safetensors"
FILE_FORMAT = "ivg-1"
COMPONENTS = ("unet", "rom_unet", "vae", "text_encoder")
PARTS = (*COMPONENTS, "tokenizer", "scheduler")


@dataclass
class Layout:
    """A checkpoint that was looked at, not yet read.

    Args:
        path: the folder or file.
        configs: component -> its config.json.
        weights: component -> (file, prefix of its tensors in that file).
        tokenizer_files: file name -> text.
        scheduler_config: scheduler_config.json as it is, None if there is none.
        defaults: from config.yaml's validation_data or the one-file metadata.
        licence: as the checkpoint states it, "" if it does not.
        domain: the pictures it knows, None if it does not say.
        metadata: further text of a one-file checkpoint (card, training record).
    """

    path: Path
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    weights: dict[str, tuple[Path, str]] = field(default_factory=dict)
    tokenizer_files: dict[str, str] = field(default_factory=dict)
    scheduler_config: dict[str, Any] | None = None
    defaults: ModelDefaults = field(default_factory=ModelDefaults)
    licence: str = ""
    domain: Domain | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    def tensors(self, component: str) -> dict[str, TensorInfo]:
        """Name (without prefix), shape and dtype of the tensors of a component."""
        path, prefix = self.weights[component]
        return {key[len(prefix) :]: info for key, info in list_tensors(path).items() if key.startswith(prefix)}

    def networks(self) -> list[str]:
        """The networks that have both a config and weights."""
        return [name for name in COMPONENTS if name in self.configs and name in self.weights]

    def missing_parts(self) -> list[str]:
        """The parts that generating a video needs and this checkpoint lacks."""
        found = set(self.networks())
        found |= {"tokenizer"} if self.tokenizer_files else set()
        found |= {"scheduler"} if self.scheduler_config is not None else set()
        optional = "unet" if "rom_unet" in found else "rom_unet"
        return [name for name in PARTS if name not in found and name != optional]


def find_checkpoint(source: str | Path) -> Path:
    """The path behind a source: "embedded", a folder or a file.

    Raises:
        IVGError: there is nothing there.
    """
    if str(source) == "embedded":
        if not EMBEDDED.is_file():
            raise IVGError(
                f"The embedded model is not in this installation ({EMBEDDED} is missing): "
                "install Comfy-IVG again, or build the file with `make embedded-model`."
            )
        return EMBEDDED
    path = user_path(source)
    if not path.exists():
        raise IVGError(
            f"There is no checkpoint at {path}: give the folder that holds unet/, vae/, text_encoder/, tokenizer/ and "
            'scheduler/, a one-file IVG .safetensors, or "embedded".'
        )
    return path


def has_stage1(path: str | Path) -> bool:
    """Whether a checkpoint folder or file holds weights that predict masks; False where it cannot be read."""
    path = Path(path)
    if path.is_dir():
        return find_weights(path / "rom_unet") is not None
    try:
        return any(key.startswith("rom_unet.") for key in list_tensors(path))
    except (IVGError, OSError, ValueError):
        return False


def read_layout(path: Path) -> Layout:
    """Looks into a checkpoint without reading its weights.

    Raises:
        IVGError: it is no IVG checkpoint (the sentence says what it is instead), or a small file of it is damaged.
    """
    return _folder_layout(path) if path.is_dir() else _file_layout(path)


def _folder_layout(folder: Path) -> Layout:
    if not (folder / "unet").is_dir() and not (folder / "rom_unet").is_dir():
        raise IVGError(_what_is_this_folder(folder))
    layout = Layout(folder)
    for name in COMPONENTS:
        if (folder / name / "config.json").is_file():
            layout.configs[name] = _read_json(folder / name / "config.json")
        weights = find_weights(folder / name)
        if weights is not None:
            layout.weights[name] = (weights, "")
    for name in ("unet", "rom_unet"):
        _check_unet_class(layout.configs.get(name, {}), folder)
    for name in FILE_NAMES:
        if (folder / "tokenizer" / name).is_file():
            layout.tokenizer_files[name] = (folder / "tokenizer" / name).read_text(encoding="utf-8")
    if (folder / "scheduler" / "scheduler_config.json").is_file():
        layout.scheduler_config = _read_json(folder / "scheduler" / "scheduler_config.json")
    if (folder / "config.yaml").is_file():
        _read_run_config(folder / "config.yaml", layout)
    return layout


def _read_run_config(path: Path, layout: Layout) -> None:
    # Its pretrained_model_path names the base the training began with, not this folder: it is left aside.
    try:
        run = read_yaml(read_text(path)) or {}
        settings = run.get("validation_data") or (run.get("kwargs") or {}).get("validation_data") or {}
        layout.defaults = ModelDefaults.from_dict(settings)
        layout.licence = str(run.get("licence") or "")
        layout.domain = _domain(run.get("domain"))
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        log.warning("%s cannot be read (%s): using 512x512, 16 frames, 25 steps, guidance 9.", path, reason)


def _file_layout(path: Path) -> Layout:
    if not is_safetensors(path):
        raise IVGError(_what_is_this_file(path))
    metadata = read_metadata(path)
    if metadata.get("format") != FILE_FORMAT:
        raise IVGError(_what_are_these_tensors(path))
    try:
        layout = Layout(
            path,
            tokenizer_files=json_object(metadata.pop("tokenizer")),
            scheduler_config=json_object(metadata.pop("scheduler_config")),
            defaults=ModelDefaults.from_dict(json_object(metadata.pop("defaults"))),
            licence=metadata.pop("licence", ""),
            domain=_domain(metadata.pop("domain", None)),
        )
        for name in COMPONENTS:
            config = metadata.pop(f"{name}_config", None)
            if config is not None:
                layout.configs[name] = json_object(config)
                layout.weights[name] = (path, f"{name}.")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise IVGError(f"{path} is an IVG file whose description is damaged ({error!r}): download it again.") from error
    layout.metadata = metadata
    return layout


def _domain(text: str | None) -> Domain | None:
    return Domain.from_json(text) if text else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json_object(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise IVGError(f"{path} is half-downloaded or damaged ({error}): download it again.") from error


def json_object(text: str) -> dict[str, Any]:
    """A JSON object. Diffusers would take a string in its place for a repository's name, and ask the hub for it."""
    found = read_json(text)
    if not isinstance(found, dict):
        raise ValueError(f"it holds {type(found).__name__} where an object belongs")
    return found


def _check_unet_class(config: dict[str, Any], folder: Path) -> None:
    kind = config.get("_class_name", "UNet3DConditionModel")
    if kind == "UNet2DConditionModel":
        raise IVGError(
            f"{folder} is an image model (Stable Diffusion, a 2D UNet), which cannot make videos: "
            "give the folder of an IVG or animate-anything checkpoint."
        )
    if kind != "UNet3DConditionModel":
        raise IVGError(
            f"{folder} is another kind of model ({kind}), not IVG: "
            "give the folder of an IVG or animate-anything checkpoint."
        )


def _what_is_this_folder(folder: Path) -> str:
    names = {path.name for path in folder.iterdir()}
    inner = [path.name for path in sorted(folder.iterdir()) if (path / "unet").is_dir()]
    if inner:
        return f"{folder} is not itself a checkpoint but holds some: give {folder / inner[0]} instead."
    if "config.json" in names and find_weights(folder) is not None:
        return f"{folder} is only one part of a checkpoint: give the folder above it, {folder.resolve().parent}."
    if "adapter_config.json" in names or any("lora" in name.lower() or name.endswith(".pt") for name in names):
        return f"{folder} holds a LoRA, not a model: load an IVG checkpoint and give the LoRA beside it."
    return (
        f"{folder} is no IVG checkpoint, it has no unet/ folder: give the folder that holds "
        "unet/, vae/, text_encoder/, tokenizer/ and scheduler/."
    )


def _what_is_this_file(path: Path) -> str:
    ending = path.suffix.lower()
    if ending in (".tar", ".gz", ".tgz", ".zip", ".7z", ".rar"):
        return f"{path} is an archive: unpack it and give the folder that holds unet/, vae/ and text_encoder/."
    if ending == ".pt":
        return f"{path} is not a model but, by its name, a LoRA: load an IVG checkpoint and give the LoRA beside it."
    return f"{path} is no IVG checkpoint: give the folder that holds unet/ and vae/, or a one-file IVG .safetensors."


def _what_are_these_tensors(path: Path) -> str:
    keys = list(list_tensors(path))
    if any("lora" in key for key in keys):
        return f"{path} is a LoRA, not a model: load an IVG checkpoint and give the LoRA beside it."
    if any(key.startswith(("model.diffusion_model.", "first_stage_model.", "cond_stage_model.")) for key in keys):
        return f"{path} is a Stable Diffusion checkpoint, which IVG cannot use: give an IVG checkpoint folder."
    if "conv_in2.weight" in keys:
        return f"{path} is only the UNet of an IVG checkpoint: give the folder that also holds vae/ and text_encoder/."
    return f"{path} holds weights of another kind: give an IVG checkpoint folder or a one-file IVG .safetensors."
