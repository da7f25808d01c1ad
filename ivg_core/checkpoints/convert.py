"""Weights under ModelScope's, Latent Diffusion's and OpenCLIP's names, in those of our networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint, convert_open_clip_checkpoint
from torch import Tensor

from ..errors import IVGError, shortly
from .lora_keys import modelscope_name
from .original import PUBLISHED
from .smcd import GATE

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from transformers import CLIPTextModel

    from ..models.unet import IVGUNet


def from_modelscope(tensors: dict[str, Tensor], unet: IVGUNet) -> dict[str, Tensor]:
    """A text-to-video UNet, or SMCD's; names that the network lacks stay as they are."""
    state = unet.state_dict()
    ours = {}
    for key in state:
        layer, leaf = key.rsplit(".", 1)
        ours[f"{modelscope_name(layer, unet)}.{leaf}".replace(".fuser.", GATE)] = key
    renamed = {ours.get(key, key): tensor for key, tensor in tensors.items()}
    # There a projection over time is a convolution of width 1, (out, in, 1); here it is linear, (out, in).
    thin = {key for key, tensor in renamed.items() if key in state and tensor.ndim == 3 and state[key].ndim == 2}
    return {key: tensor.squeeze(-1) if key in thin else tensor for key, tensor in renamed.items()}


def from_ldm(tensors: dict[str, Tensor], vae: AutoencoderKL) -> dict[str, Tensor]:
    """An autoencoder; what is no part of it (a discriminator, averages) is left out."""
    return _converted("vae", convert_ldm_vae_checkpoint, tensors, vae.config)


def from_open_clip(tensors: dict[str, Tensor], encoder: CLIPTextModel) -> dict[str, Tensor]:
    """A text encoder; layers beyond those of the network, and the projection to pictures, are left out."""
    layers = tuple(f"transformer.resblocks.{i}." for i in range(encoder.config.num_hidden_layers))
    kept = {
        key: tensor
        for key, tensor in tensors.items()
        if key != "text_projection" and (key.startswith(layers) or not key.startswith("transformer."))
    }
    return _converted("text_encoder", convert_open_clip_checkpoint, encoder, kept, prefix="")


def _converted(part: str, convert: Callable[..., dict[str, Tensor]], *given: Any, **options: Any) -> dict[str, Tensor]:
    try:
        return convert(*given, **options)
    except (IndexError, KeyError, RuntimeError, ValueError) as error:  # of shapes that no such weight has
        raise IVGError(
            f"{PUBLISHED[part]} holds weights of shapes that cannot be ({shortly(error)}): download it again."
        ) from error
