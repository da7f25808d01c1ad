"""What a path leads to that is no checkpoint: one sentence for people, with what to give instead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .adapters import is_released
from .image_models import is_image_model, other_image_model
from .original import PUBLISHED, part_of
from .smcd import PARTS
from .weights import find_weights, list_tensors


def what_is_this_folder(folder: Path) -> str:
    """Of a folder without a UNet."""
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
        f"unet/, vae/, text_encoder/, tokenizer/ and scheduler/, or ModelScope's {PUBLISHED['unet']}."
    )


def what_is_this_unet(config: Mapping[str, Any], name: str, path: Path) -> str:
    """Of a checkpoint by the config.json of one of its UNets, `name`; "" if it can be one."""
    kind = config.get("_class_name", "UNet3DConditionModel")
    if is_image_model(config):
        other = other_image_model(config) or ("" if name == "unet" else f"an image model where {name} belongs")
        return other and (
            f"{path} is {other}, and of image models only Stable Diffusion 1.5, 2, 2-depth and 2-inpainting make "
            "videos: give the folder of one of these, or of an IVG or animate-anything checkpoint."
        )
    if kind != "UNet3DConditionModel":
        return (
            f"{path} is another kind of model ({kind}), not IVG: "
            "give the folder of an IVG or animate-anything checkpoint."
        )
    return ""


def what_is_this_file(path: Path) -> str:
    """Of a file that, by its ending, holds no weights of a model."""
    ending = path.suffix.lower()
    if ending in (".tar", ".gz", ".tgz", ".zip", ".7z", ".rar"):
        return f"{path} is an archive: unpack it and give the folder that holds unet/, vae/ and text_encoder/."
    if ending == ".pt":
        return f"{path} is not a model but, by its name, a LoRA: load an IVG checkpoint and give the LoRA beside it."
    return f"{path} is no IVG checkpoint: give the folder that holds unet/ and vae/, or a one-file IVG .safetensors."


def what_are_these_tensors(path: Path) -> str:
    """Of a file of weights.

    Raises:
        IVGError: it is damaged, or holds code.
    """
    keys = list(list_tensors(path))
    if part_of(path.name) in ("vae", "text_encoder"):
        return f"{path} is only one part of a text-to-video model: give the folder that also holds {PUBLISHED['unet']}."
    if any(mark in keys for mark in PARTS.values()):
        return f"{path} is only one part of SMCD: give the folder that also holds its UNet, pytorch_model.bin."
    if "position_net.null_position_feature" in keys and "conv_in.weight" not in keys:
        return (
            f"{path} holds gates for boxes alone: load the model that they were made for, and give this as boxes_model "
            "(--boxes-model)."
        )
    if is_released(keys):
        return f"{path} is a T2I-Adapter: load a model of Stable Diffusion, and give this with a control video."
    if any("lora" in key for key in keys):
        return f"{path} is a LoRA, not a model: load an IVG checkpoint and give the LoRA beside it."
    if any(key.startswith(("model.diffusion_model.", "first_stage_model.", "cond_stage_model.")) for key in keys):
        return f"{path} is a Stable Diffusion checkpoint, which IVG cannot use: give an IVG checkpoint folder."
    if "conv_in2.weight" in keys or "transformer_in.norm.weight" in keys:
        return f"{path} is only the UNet of a checkpoint: give the folder that also holds vae/ and text_encoder/."
    return f"{path} holds weights of another kind: give an IVG checkpoint folder or a one-file IVG .safetensors."
