"""Writing a model: as a folder in the published layout, or as one safetensors file; never half a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import torch
import yaml
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn
from transformers import CLIPTextModel

from ..media.files import atomic_folder, atomic_write
from ..media.targets import user_path
from ..models.bundle import IVGModel
from ..models.follow_pose import PoseUNet, blocks_named
from ..models.inflated import InflatedUNet
from ..models.one_shot import OneShotUNet
from ..models.provenance import KEY
from ..models.unet import IVGUNet
from .adapters import SKELETON, as_released
from .image_models import IMAGE_UNET, ONE_SHOT_UNET, image_pipeline
from .layout import FILE_FORMAT
from .tokenizer import tokenizer_files
from .write import save_tensors

UNET_KEYS = (
    "act_fn", "attention_head_dim", "block_out_channels", "cross_attention_dim", "down_block_types",
    "downsample_padding", "in_channels", "layers_per_block", "mid_block_scale_factor", "motion_mask",
    "motion_strength", "norm_eps", "norm_num_groups", "out_channels", "sample_size", "up_block_types",
)  # fmt: skip
# Keys that diffusers has added since, at the values that change nothing.
VAE_LATER_KEYS = {
    "latents_mean": None, "latents_std": None, "mid_block_add_attention": True, "shift_factor": None,
    "use_post_quant_conv": True, "use_quant_conv": True,
}  # fmt: skip
TEXT_KEYS = (
    "attention_dropout", "bos_token_id", "eos_token_id", "hidden_act", "hidden_size", "initializer_factor",
    "initializer_range", "intermediate_size", "layer_norm_eps", "max_position_embeddings", "num_attention_heads",
    "num_hidden_layers", "pad_token_id", "projection_dim", "vocab_size",
)  # fmt: skip


def save_folder(model: IVGModel, folder: str | Path) -> Path:
    """Writes a checkpoint folder that the released code, diffusers and transformers can read.

    A stage-1 UNet goes to `rom_unet/` beside `unet/`, where the released code does not look.

    Args:
        model: what to write, in the dtype it has.
        folder: made if need be; files of the same names are replaced, once all are written.

    Returns:
        The folder.

    Raises:
        IVGError: the folder cannot be written.

    Source: the layout of the released code's save_pipe.
    """
    folder = user_path(folder)
    with atomic_folder(folder) as partial:
        for name, network in _components(model).items():
            stem = "model" if name == "text_encoder" else "diffusion_pytorch_model"
            _write_json(partial / name / "config.json", component_config(network))
            with atomic_write(partial / name / f"{stem}.safetensors") as path:
                save_tensors(_named_weights(network), path, {"format": "pt"})
        for name, text in tokenizer_files(model.tokenizer).items():
            _write_text(partial / "tokenizer" / name, text)
        _write_json(partial / "scheduler" / "scheduler_config.json", model.scheduler_config)
        _write_text(partial / "config.yaml", yaml.safe_dump(_run_config(model, folder), sort_keys=False))
        _write_json(partial / "model_index.json", _model_index(model))
    return folder


def save_file(
    model: IVGModel,
    path: str | Path,
    dtype: torch.dtype = torch.float16,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Writes a model as one safetensors file, everything included, that `load_model` reads.

    Args:
        model: what to write.
        path: ends in .safetensors.
        dtype: of the weights in the file.
        metadata: further text to carry, such as `licence` and `card`.

    Returns:
        The path.

    Raises:
        IVGError: the path cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    texts = {"format": FILE_FORMAT}
    for name, network in _components(model).items():
        texts[f"{name}_config"] = json.dumps(component_config(network))
        tensors |= {f"{name}.{key}": tensor.to(dtype) for key, tensor in _named_weights(network).items()}
    texts["tokenizer"] = json.dumps(tokenizer_files(model.tokenizer))
    texts["scheduler_config"] = json.dumps(model.scheduler_config)
    texts["defaults"] = json.dumps(asdict(model.defaults))
    texts["licence"] = model.licence
    if model.provenance:
        texts[KEY] = model.provenance.to_json()
    if model.domain:
        texts["domain"] = model.domain.to_json()
    path = user_path(path)
    with atomic_write(path) as temporary:
        save_tensors(tensors, temporary, {**texts, **(metadata or {})})
    return path


def component_config(network: nn.Module) -> dict[str, Any]:
    """The config.json of a network, with the keys and class names of the published checkpoints."""
    config: Any = network.config
    if isinstance(network, IVGUNet):
        plain = () if config["photo"] else ("motion_mask", "motion_strength")
        values = {key: config[key] for key in UNET_KEYS if key not in plain}
        values |= {key: config[key] for key in ("gates", "visual_widths") if config[key]}
        return {"_class_name": "UNet3DConditionModel", "_diffusers_version": diffusers.__version__, **values}
    if isinstance(network, PoseUNet):
        values = {key: value for key, value in dict(config).items() if not key.startswith("_")}
        head = {"_class_name": "UNet3DConditionModel", "_diffusers_version": diffusers.__version__}
        return head | blocks_named(values, "2D", "3D")
    if isinstance(network, InflatedUNet):
        values = {key: value for key, value in dict(config).items() if not key.startswith("_")}
        kind = ONE_SHOT_UNET if isinstance(network, OneShotUNet) else IMAGE_UNET
        return {"_class_name": kind, "_diffusers_version": diffusers.__version__, **values}
    if isinstance(network, AutoencoderKL):
        values = {key: value for key, value in dict(config).items() if not key.startswith("_")}
        values = {key: value for key, value in values.items() if VAE_LATER_KEYS.get(key, ...) != value}
        return {"_class_name": "AutoencoderKL", "_diffusers_version": diffusers.__version__, **values}
    values = config.to_dict()
    head = {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model"}
    return head | {key: values[key] for key in TEXT_KEYS if key in values}


def _components(model: IVGModel) -> dict[str, nn.Module]:
    networks = {
        "unet": model.unet, "rom_unet": model.rom_unet, "vae": model.vae, "text_encoder": model.text_encoder,
    }  # fmt: skip
    return {name: network for name, network in networks.items() if network is not None}


def _named_weights(network: nn.Module) -> dict[str, Tensor]:
    # transformers 5 dropped the prefix that every published text encoder has.
    prefix = "text_model." if isinstance(network, CLIPTextModel) else ""
    weights = as_released(network.state_dict(), SKELETON) if isinstance(network, PoseUNet) else network.state_dict()
    return {prefix + key.removeprefix(prefix): tensor.detach().cpu().contiguous() for key, tensor in weights.items()}


def _model_index(model: IVGModel) -> dict[str, Any]:
    scheduler = model.scheduler_config.get("_class_name", "DDIMScheduler")
    pipeline, unet, kind = "LatentToVideoPipeline", "models.unet_3d_condition_mask", "UNet3DConditionModel"
    if isinstance(model.unet, PoseUNet):  # no other program knows it
        pipeline, unet = "IVGPipeline", "ivg_core.models.follow_pose"
    elif isinstance(model.unet, OneShotUNet):  # likewise
        pipeline, unet, kind = "IVGPipeline", "ivg_core.models.one_shot", ONE_SHOT_UNET
    elif isinstance(model.unet, InflatedUNet):
        pipeline, unet, kind = image_pipeline(model.unet.beside_channels), "diffusers", IMAGE_UNET
    elif model.takes_boxes:  # likewise
        pipeline, unet = "IVGPipeline", "ivg_core.models.unet"
    elif not model.takes_photo:
        pipeline, unet = "TextToVideoSDPipeline", "diffusers"
    return {
        "_class_name": pipeline,
        "_diffusers_version": diffusers.__version__,
        "scheduler": ["diffusers", scheduler],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": [unet, kind],
        "vae": ["diffusers", "AutoencoderKL"],
    }


def _run_config(model: IVGModel, folder: Path) -> dict[str, Any]:
    # The keys that the released code's `--eval --config` asks for.
    unet: Any = model.unet or model.rom_unet
    run = {
        "pretrained_model_path": str(folder),
        **{key: unet.config[key] for key in ("in_channels", "motion_mask", "motion_strength") if key in unet.config},
        "enable_xformers_memory_efficient_attention": False,
        "enable_torch_2_attn": True,
        "seed": None,
        "validation_data": asdict(model.defaults),
    }
    run |= {"licence": model.licence} if model.licence else {}
    run |= {KEY: model.provenance.to_dict()} if model.provenance else {}
    return run | ({"domain": model.domain.to_json()} if model.domain else {})


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    _write_text(path, json.dumps(dict(sorted(values.items())), indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
