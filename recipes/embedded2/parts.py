"""The parts of the second edition: a larger autoencoder and wider UNets than the first, for 256 x 176 and 16 frames."""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKL

from ivg_core.models.unet import IVGUNet
from recipes.embedded.parts import TEXT_WIDTH, PlainAttention

WIDTH, HEIGHT, FRAMES = 256, 176, 16


def build_unet(plain: bool = True) -> IVGUNet:
    """A three-level UNet of 5.3 M parameters; the first level works without attention.

    Args:
        plain: attend by three lines of matrices, which is faster on a CPU.
    """
    unet = IVGUNet(
        sample_size=22,
        block_out_channels=(64, 64, 96),
        down_block_types=("DownBlock3D", "CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D", "UpBlock3D"),
        layers_per_block=1,
        attention_head_dim=8,
        cross_attention_dim=TEXT_WIDTH,
        motion_mask=True,
        motion_strength=True,
    )
    if plain:
        processor: Any = PlainAttention()
        unet.set_attn_processor(processor)
    return unet


def build_vae() -> AutoencoderKL:
    """An autoencoder of 2.2 M parameters with the usual factor 8 and four latent channels."""
    config: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (24, 48, 96, 96),
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 8,
        "sample_size": 256,
    }
    return AutoencoderKL(**config)
