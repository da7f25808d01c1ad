"""Stable Diffusion with few levels and random weights: core's own networks, and the library's with the same weights.

Only for scripts that ComfyUI's Python runs, after `rom_in_core` has found ComfyUI.
"""

from __future__ import annotations

import comfy.cldm.cldm
import comfy.controlnet
import comfy.ldm.modules.diffusionmodules.openaimodel as openai
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.text_encoders.sd2_clip
import comfy.utils
import torch
from tiny_core import random_weights

from ivg_pack.ivg_core.models.control import InflatedControlNet
from ivg_pack.ivg_core.models.inflated import InflatedUNet

#: Core knows Stable Diffusion by its width and its text's: few levels keep it small, not few channels.
SHAPE = {
    "image_size": 32,
    "in_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 1],
    "use_spatial_transformer": True,
    "transformer_depth": [1, 0],
    "transformer_depth_middle": 1,
    "context_dim": 768,
    "num_heads": 8,
}
#: What Stable Diffusion 2 has otherwise.
TWO = {"context_dim": 1024, "use_linear_in_transformer": True, "num_heads": -1, "num_head_channels": 64}
UNET = {"out_channels": 4, "transformer_depth_output": [1, 1, 0, 0]}
MAKE = {"dtype": torch.float32, "device": "cpu", "operations": comfy.ops.disable_weight_init}


def sd_weights(two: bool = False, **changed) -> dict[str, torch.Tensor]:
    """Of a UNet, in core's names."""
    return random_weights(openai.UNetModel(**(SHAPE | (TWO if two else {}) | UNET | changed), **MAKE))


def text_weights(two: bool = False) -> dict[str, torch.Tensor]:
    """Of a text encoder, in core's names; of full size, as core builds no other."""
    kind = comfy.text_encoders.sd2_clip.SD2ClipModel if two else comfy.sd1_clip.SD1ClipModel
    weights = random_weights(kind(device="cpu", dtype=torch.float32))
    return {key: value for key, value in weights.items() if "logit_scale" not in key}


def clip():
    """Core's CLIP of Stable Diffusion 1.5."""
    prefix = "clip_l.transformer."
    weights = {key.removeprefix(prefix): value for key, value in text_weights().items() if key.startswith(prefix)}
    return comfy.sd.load_text_encoder_state_dicts([weights], clip_type=comfy.sd.CLIPType.STABLE_DIFFUSION)


def sd(weights: dict[str, torch.Tensor]):
    """Core's MODEL of them."""
    return comfy.sd.load_diffusion_model_state_dict(dict(weights))


def control_weights(two: bool = False) -> dict[str, torch.Tensor]:
    """Of a ControlNet, in core's names."""
    shape = SHAPE | (TWO if two else {}) | {"hint_channels": 3}
    return random_weights(comfy.cldm.cldm.ControlNet(**shape, **MAKE), seed=1)


def control_net(weights: dict[str, torch.Tensor]):
    """Core's CONTROL_NET of them."""
    return comfy.controlnet.load_controlnet_state_dict(dict(weights))


def _settings(weights: dict[str, torch.Tensor], two: bool) -> dict:
    return {
        "in_channels": weights["input_blocks.0.0.weight"].shape[1],
        "block_out_channels": [320, 320],
        "layers_per_block": 1,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "cross_attention_dim": 1024 if two else 768,
        "attention_head_dim": [5, 5] if two else 8,  # diffusers' name for the number of heads
        "use_linear_projection": two,
    }


def library_unet(weights: dict[str, torch.Tensor], two: bool = False) -> InflatedUNet:
    """The library's network of the same weights."""
    ups = ["UpBlock2D", "CrossAttnUpBlock2D"]
    network = InflatedUNet.from_config_dict({**_settings(weights, two), "up_block_types": ups})
    names = comfy.utils.unet_to_diffusers(SHAPE | UNET)
    network.load_state_dict({theirs: weights[ours] for theirs, ours in names.items() if ours in weights})
    return network.eval()


def library_control_net(weights: dict[str, torch.Tensor], two: bool = False) -> InflatedControlNet:
    """The same of a ControlNet."""
    network = InflatedControlNet.from_config_dict(_settings(weights, two))
    names = comfy.utils.unet_to_diffusers(SHAPE | UNET)
    found = {theirs: weights[ours] for theirs, ours in names.items() if ours in weights}
    for kind in ("weight", "bias"):
        found[f"controlnet_mid_block.{kind}"] = weights[f"middle_block_out.0.{kind}"]
        for i in range(4):
            found[f"controlnet_down_blocks.{i}.{kind}"] = weights[f"zero_convs.{i}.0.{kind}"]
        hints = ["conv_in", *(f"blocks.{i}" for i in range(6)), "conv_out"]
        for i, name in enumerate(hints):
            found[f"controlnet_cond_embedding.{name}.{kind}"] = weights[f"input_hint_block.{2 * i}.{kind}"]
    network.load_state_dict(found)
    return network.eval()
