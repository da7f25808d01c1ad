"""Find the parts of a checkpoint, or say what the path is instead."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import IVGError
from ..media.targets import user_path
from ..media.text import read_text
from ..models.bundle import ModelDefaults
from ..models.domain import Domain
from ..models.grounding import sees_photo
from ..models.provenance import KEY, Provenance
from ..settings import read_yaml
from .config_files import json_object, read_config
from .embedded import EMBEDDED
from .image_models import follows_pose, image_defaults, is_image_model, pose_defaults
from .mistaken import what_are_these_tensors, what_is_this_file, what_is_this_folder, what_is_this_unet
from .original import PICTURES, PUBLISHED, SCHEDULER, VAE_PREFIX, config_of, find_part, is_unet, part_of
from .smcd import find_smcd, is_gated, parts_beside
from .tokenizer import FILE_NAMES, clip_files
from .weights import TensorInfo, find_weights, is_safetensors, list_tensors, read_metadata, read_tensors

log = logging.getLogger("ivg")

FILE_FORMAT = "ivg-1"
PICKLES = (".pth", ".bin")
CLIP_TOKENS = 49408
COMPONENTS = ("unet", "rom_unet", "vae", "text_encoder")
# What IVG adds to a text-to-video UNet; a file with none of it is one.
IVG_KEYS = ("conv_in2.weight", "conv_in2.bias", "time_embedding.cond_proj.weight")
PARTS = (*COMPONENTS, "tokenizer", "scheduler")
SMCD_DEFAULTS = ModelDefaults(256, 256, 8, num_inference_steps=50, guidance_scale=7.5)


@dataclass
class Layout:
    """A checkpoint that was looked at, not yet read.

    Args:
        path: the folder or file.
        configs: component -> its config.json.
        weights: component -> (file, prefix of its tensors in that file).
        joined: component -> what the names of its further tensors begin with -> their file.
        tokenizer_files: file name -> text.
        scheduler_config: scheduler_config.json as it is, None if there is none.
        defaults: from config.yaml's validation_data or the one-file metadata.
        licence: as the checkpoint states it, "" if it does not.
        domain: the pictures it knows, None if it does not say.
        provenance: what its weights are made of, None if it does not say.
        metadata: further text of a one-file checkpoint (card, training record).
        belongs: of ModelScope's own files, part -> the file that it would be.
    """

    path: Path
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    weights: dict[str, tuple[Path, str]] = field(default_factory=dict)
    joined: dict[str, dict[str, Path]] = field(default_factory=dict)
    tokenizer_files: dict[str, str] = field(default_factory=dict)
    scheduler_config: dict[str, Any] | None = None
    defaults: ModelDefaults = field(default_factory=ModelDefaults)
    licence: str = ""
    domain: Domain | None = None
    provenance: Provenance | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    belongs: dict[str, str] = field(default_factory=dict)

    def tensors(self, component: str) -> dict[str, TensorInfo]:
        """Name (without prefix), shape and dtype of the tensors of a component."""
        path, prefix = self.weights[component]
        stored = {key: info for key, info in list_tensors(path).items() if not key.startswith(PICTURES)}
        found = {key[len(prefix) :]: info for key, info in stored.items() if key.startswith(prefix)}
        for start, file in self.joined.get(component, {}).items():
            found |= {start + key: info for key, info in list_tensors(file).items()}
        return found

    def read(self, component: str, dtype: torch.dtype, device: torch.device | str) -> dict[str, Tensor]:
        """The weights of a component, as `weights.read_tensors`."""
        path, prefix = self.weights[component]
        found = read_tensors(path, prefix, dtype, device, skip=(PICTURES,))
        for start, file in self.joined.get(component, {}).items():
            found |= {start + key: tensor for key, tensor in read_tensors(file, "", dtype, device).items()}
        return found

    @property
    def takes_photo(self) -> bool:
        """Whether it makes videos of a photo; a UNet that cannot be read is taken for one that does."""
        with suppress(IVGError):
            if "rom_unet" not in self.networks() and "unet" in self.networks():
                config, names = self.configs["unet"], set(self.tensors("unet"))
                return config.get("photo", bool(set(IVG_KEYS) & names)) or sees_photo(config)
        return True

    @property
    def is_image_model(self) -> bool:
        """Whether its UNet is Stable Diffusion's, or was made of it."""
        return is_image_model(self.configs.get("unet", {})) or self.follows_pose

    @property
    def follows_pose(self) -> bool:
        """Whether its UNet is Follow-Your-Pose's; one that cannot be read is not."""
        with suppress(IVGError):
            return "unet" in self.weights and follows_pose(self.tensors("unet"))
        return False

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
        return is_safetensors(path) and any(key.startswith("rom_unet.") for key in list_tensors(path))
    except (IVGError, OSError, ValueError):
        return False


def read_layout(path: Path, beside: Sequence[str | Path] = ()) -> Layout:
    """Looks into a checkpoint without reading its weights.

    Args:
        path: of the folder or file.
        beside: see `load_model`.

    Raises:
        IVGError: it is no checkpoint of a model that makes videos (the sentence says what it is instead), or a small
            file of it is damaged.
    """
    if not path.is_dir():
        return _file_layout(path, beside)
    if (path / "unet").is_dir() or (path / "rom_unet").is_dir():
        return _folder_layout(path)
    unet = find_smcd(path) or find_part("unet", [path])
    if unet is None:
        raise IVGError(what_is_this_folder(path))
    return _original_layout(path, unet, beside)


def _folder_layout(folder: Path) -> Layout:
    layout = Layout(folder)
    for name in COMPONENTS:
        if (folder / name / "config.json").is_file():
            layout.configs[name] = read_config(folder / name / "config.json")
        weights = find_weights(folder / name)
        if weights is not None:
            layout.weights[name] = (weights, "")
    _check_unets(layout)
    layout.tokenizer_files = _tokenizer_files(folder)
    if (folder / "scheduler" / "scheduler_config.json").is_file():
        layout.scheduler_config = read_config(folder / "scheduler" / "scheduler_config.json")
    if (folder / "config.yaml").is_file():
        _read_run_config(folder / "config.yaml", layout)
    elif layout.is_image_model:
        defaults = pose_defaults if layout.follows_pose else image_defaults
        layout.defaults = defaults(layout.configs.get("unet", {}), layout.configs.get("vae", {}))
    elif not layout.takes_photo:
        layout.defaults = _text_to_video_defaults(folder)
    return layout


def _check_unets(layout: Layout) -> None:
    for name in ("unet", "rom_unet"):
        if wrong := what_is_this_unet(layout.configs.get(name, {}), name, layout.path):
            raise IVGError(wrong)


def _tokenizer_files(folder: Path) -> dict[str, str]:
    files = (folder / "tokenizer" / name for name in FILE_NAMES)
    return {path.name: path.read_text(encoding="utf-8") for path in files if path.is_file()}


def _text_to_video_defaults(path: Path) -> ModelDefaults:
    name = path.resolve().name.lower()
    zeroscope = "zeroscope" in name or "zs2" in name
    size = {"576w": (576, 320, 24), "xl": (1024, 576, 24)} if zeroscope else {}
    width, height, frames = next((made_for for word, made_for in size.items() if word in name), (256, 256, 16))
    return ModelDefaults(width, height, frames, num_inference_steps=30)


def _original_layout(path: Path, unet: Path, beside: Sequence[str | Path]) -> Layout:
    names = list(list_tensors(unet))
    if not is_unet(names):
        raise IVGError(what_are_these_tensors(unet))
    gated = is_gated(names)
    folders = [unet.parent, *map(Path, beside)]
    layout = Layout(
        path,
        belongs=PUBLISHED,
        joined={"unet": parts_beside(unet)} if gated else {},
        tokenizer_files=_tokenizer_files(unet.parent),
        scheduler_config=dict(SCHEDULER),
        defaults=SMCD_DEFAULTS if gated else _text_to_video_defaults(unet.parent if part_of(unet.name) else unet),
    )
    for name in PUBLISHED:
        file = unet if name == "unet" else find_part(name, folders)
        if file is None:
            continue
        whole = name == "vae" and any(key.startswith(VAE_PREFIX) for key in list_tensors(file))
        layout.weights[name] = (file, VAE_PREFIX if whole else "")
        layout.configs[name] = config_of(name, layout.tensors(name), file)
    if not layout.tokenizer_files and layout.configs.get("text_encoder", {}).get("vocab_size") == CLIP_TOKENS:
        layout.tokenizer_files = clip_files()
    return layout


def _read_run_config(path: Path, layout: Layout) -> None:
    # Its pretrained_model_path names the base the training began with, not this folder: it is left aside.
    try:
        run = read_yaml(read_text(path)) or {}
        settings = run.get("validation_data") or (run.get("kwargs") or {}).get("validation_data") or {}
        layout.defaults = ModelDefaults.from_dict(settings)
        layout.licence = str(run.get("licence") or "")
        layout.domain = _domain(run.get("domain"))
        layout.provenance = Provenance.from_dict(run.get(KEY))
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        log.warning("%s cannot be read (%s): using 512x512, 16 frames, 25 steps, guidance 9.", path, reason)


def _file_layout(path: Path, beside: Sequence[str | Path]) -> Layout:
    if not is_safetensors(path) and path.suffix.lower() not in PICKLES:
        raise IVGError(what_is_this_file(path))
    metadata = read_metadata(path) if is_safetensors(path) else {}
    if metadata.get("format") != FILE_FORMAT:
        return _original_layout(path, path, beside)
    try:
        layout = Layout(
            path,
            tokenizer_files=json_object(metadata.pop("tokenizer")),
            scheduler_config=json_object(metadata.pop("scheduler_config")),
            defaults=ModelDefaults.from_dict(json_object(metadata.pop("defaults"))),
            licence=metadata.pop("licence", ""),
            domain=_domain(metadata.pop("domain", None)),
            provenance=Provenance.from_json(metadata.pop(KEY, None)),
        )
        for name in COMPONENTS:
            config = metadata.pop(f"{name}_config", None)
            if config is not None:
                layout.configs[name] = json_object(config)
                layout.weights[name] = (path, f"{name}.")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise IVGError(f"{path} is an IVG file whose description is damaged ({error!r}): download it again.") from error
    _check_unets(layout)
    layout.metadata = metadata
    return layout


def _domain(text: str | None) -> Domain | None:
    return Domain.from_json(text) if text else None
