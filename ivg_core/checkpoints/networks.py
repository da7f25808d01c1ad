"""Networks from their configs and weights: built empty, filled strictly, older names understood."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from ..errors import IVGError, shortly
from ..models.adapter import FrameAdapter
from ..models.control import InflatedControlNet
from ..models.follow_pose import PoseUNet
from ..models.inflated import InflatedUNet
from ..models.one_shot import OneShotUNet
from ..models.unet import IVGUNet
from .adapters import SKELETON, from_released
from .convert import from_ldm, from_modelscope, from_open_clip
from .image_models import ONE_SHOT_UNET, follows_pose, is_image_model
from .layout import IVG_KEYS
from .original import FIRST

log = logging.getLogger("ivg")

LAYER_COUNTS = ("num_hidden_layers", "layers_per_block", "transformer_layers_per_block", "num_res_blocks", "clips")
LEGACY_VAE_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def empty_network(name: str, config: dict[str, Any], shapes: dict[str, tuple[int, ...]], where: str) -> nn.Module:
    """The network of a component on the meta device: all shapes, no memory, no time spent on random weights.

    Args:
        name: unet, rom_unet, vae, text_encoder, controlnet or adapter.
        config: its config.json.
        shapes: of its weights; they decide where published configs are known to be wrong.
        where: what to call the place in an error.

    Raises:
        IVGError: the config describes no such network.
    """
    for key in LAYER_COUNTS:
        count = config.get(key)
        if isinstance(count, int) and count > len(shapes):  # building them would never end
            raise IVGError(f"{where} has {key} {count}, and there are {len(shapes)} weights: download it again.")
    try:
        with torch.device("meta"):
            if name == "vae":
                vae: Any = AutoencoderKL.from_config(config)
                return vae
            if name == "text_encoder":
                return CLIPTextModel(CLIPTextConfig.from_dict(config))
            if name == "controlnet":
                return InflatedControlNet.from_config_dict(config)
            if name == "adapter":
                return FrameAdapter.from_config_dict(config)
            if follows_pose(shapes):
                return PoseUNet.from_config_dict(config)
            if is_image_model(config):
                one_shot = config["_class_name"] == ONE_SHOT_UNET
                return (OneShotUNet if one_shot else InflatedUNet).from_config_dict(config)
            photo = config.get("photo", any(key in shapes for key in IVG_KEYS))
            plain: dict[str, Any] = {} if photo else {"motion_mask": False, "motion_strength": False}
            config = {**_true_input_channels(config, shapes, where), "photo": photo, **plain}
            return IVGUNet.from_config_dict(config)
    except IVGError:
        raise
    except Exception as error:  # the classes of both libraries raise whatever an odd value makes of them
        raise IVGError(
            f"{where} describes no network that can be built ({shortly(error)}): download it again."
        ) from error


def fill_network(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> nn.Module:
    """Gives an empty network its weights, without a copy, and puts it into evaluation mode.

    Raises:
        IVGError: a weight is missing, left over, or of another shape; the sentence names them.
    """
    report = compare_keys(network, tensors)
    if report:
        raise IVGError(f"{path} does not fit its config ({report}): take weights and config from the same checkpoint.")
    network.load_state_dict(tensors, assign=True)
    _fill_position_ids(network, next(iter(tensors.values())).device)
    return network.eval()


@dataclass(frozen=True)
class KeyReport:
    """How a set of weights differs from the network its config describes; false if it does not."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshaped: tuple[str, ...] = ()
    not_float: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshaped or self.not_float)

    def __str__(self) -> str:
        parts = (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("of another shape", self.misshaped),
            ("not floating point", self.not_float),
        )
        return "; ".join(f"{len(names)} {word}: {_shorten(names)}" for word, names in parts if names)


def compare_keys(network: nn.Module, tensors: dict[str, Tensor]) -> KeyReport:
    """Compares names, shapes and kinds of weights with what a network needs; neither needs to hold data."""
    state = network.state_dict()
    needed = {key: tuple(tensor.shape) for key, tensor in state.items()}
    floats = [key for key, tensor in state.items() if key in tensors and tensor.is_floating_point()]
    given = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    differing = [key for key in needed if key in given and needed[key] != given[key]]
    return KeyReport(
        missing=tuple(key for key in needed if key not in given),
        unexpected=tuple(key for key in given if key not in needed),
        misshaped=tuple(f"{key} is {given[key]}, should be {needed[key]}" for key in differing),
        not_float=tuple(f"{key} is {tensors[key].dtype}" for key in floats if not tensors[key].is_floating_point()),
    )


def adapt_weights(name: str, tensors: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Brings the weights of a component, written by whichever program and version, to the form that `network` has."""
    if name == "vae":
        tensors = from_ldm(tensors, cast(Any, network)) if "encoder.norm_out.weight" in tensors else tensors
        return dict(_modern_vae_weight(key, tensor) for key, tensor in tensors.items())
    if name == "text_encoder":
        tensors = from_open_clip(tensors, cast(Any, network)) if "positional_embedding" in tensors else tensors
        needed = network.state_dict()
        prefix = "text_model." if next(iter(needed)).startswith("text_model.") else ""
        named = {prefix + key.removeprefix("text_model."): tensor for key, tensor in tensors.items()}
        return {key: tensor for key, tensor in named.items() if key in needed or not key.endswith(".position_ids")}
    tensors = from_modelscope(tensors, cast(Any, network)) if FIRST in tensors else from_released(tensors, SKELETON)
    # No forward pass ever reads motion_embedding, so a file may do without it.
    like = next(iter(tensors.values()), torch.empty(0))
    unused = {key: t.shape for key, t in network.state_dict().items() if key.startswith("motion_embedding.")}
    return {key: like.new_zeros(shape) for key, shape in unused.items()} | tensors


def _true_input_channels(config: dict[str, Any], shapes: dict[str, tuple[int, ...]], where: str) -> dict[str, Any]:
    stated = config.get("in_channels", 4)
    true = shapes["conv_in.weight"][1] if "conv_in.weight" in shapes else stated
    if stated != true:
        log.warning("%s says in_channels %s but its weights have %s: using %s.", where, stated, true, true)
    return {**config, "in_channels": true}


def _modern_vae_weight(key: str, tensor: Tensor) -> tuple[str, Tensor]:
    if ".mid_block.attentions." not in key:
        return key, tensor
    head, layer, kind = key.rsplit(".", 2)
    layer = LEGACY_VAE_NAMES.get(layer, layer)
    return f"{head}.{layer}.{kind}", tensor.flatten(1) if tensor.ndim == 4 else tensor  # some are 1x1 convolutions


def _fill_position_ids(network: nn.Module, device: torch.device) -> None:
    # The one buffer that no file holds: 0, 1, 2, … in CLIP's embeddings.
    for module in network.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_meta:
                setattr(module, name, torch.arange(buffer.shape[-1], device=device).expand(buffer.shape))


def _shorten(names: tuple[str, ...], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
