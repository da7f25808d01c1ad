"""Weights under ModelScope's, Latent Diffusion's and OpenCLIP's names, in those of our networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint, convert_open_clip_checkpoint
from torch import Tensor

from .lora_keys import modelscope_name

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from transformers import CLIPTextModel

    from ..models.unet import IVGUNet


def from_modelscope(tensors: dict[str, Tensor], unet: IVGUNet) -> dict[str, Tensor]:
    """A text-to-video UNet; names that the network lacks stay as they are."""
    state = unet.state_dict()
    ours = {}
    for key in state:
        layer, leaf = key.rsplit(".", 1)
        ours[f"{modelscope_name(layer, unet)}.{leaf}"] = key
    renamed = {ours.get(key, key): tensor for key, tensor in tensors.items()}
    # There a projection over time is a convolution of width 1, (out, in, 1); here it is linear, (out, in).
    thin = {key for key, tensor in renamed.items() if key in state and tensor.ndim == 3 and state[key].ndim == 2}
    return {key: tensor.squeeze(-1) if key in thin else tensor for key, tensor in renamed.items()}


def from_ldm(tensors: dict[str, Tensor], vae: AutoencoderKL) -> dict[str, Tensor]:
    """An autoencoder; what is no part of it (a discriminator, averages) is left out."""
    renamed: dict[str, Tensor] = convert_ldm_vae_checkpoint(tensors, vae.config)
    return renamed


def from_open_clip(tensors: dict[str, Tensor], encoder: CLIPTextModel) -> dict[str, Tensor]:
    """A text encoder; layers beyond those of the network, and the projection to pictures, are left out."""
    layers = encoder.config.num_hidden_layers
    kept = {
        key: tensor
        for key, tensor in tensors.items()
        if key != "text_projection"
        and not (key.startswith("transformer.resblocks.") and int(key.split(".")[2]) >= layers)
    }
    renamed: dict[str, Tensor] = convert_open_clip_checkpoint(encoder, kept, prefix="")
    return renamed
