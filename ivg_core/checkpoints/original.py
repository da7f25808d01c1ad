"""ModelScope's own files of a text-to-video model: one file a part and no configs, so the weights' shapes tell all.

The published folder and A1111's (`zs2_576w`, `zs2_XL`) have these names.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import IVGError, shortly
from .smcd import gates_of
from .weights import TensorInfo

#: part -> the name of its published file
PUBLISHED = {
    "unet": "text2video_pytorch_model.pth",
    "vae": "VQGAN_autoencoder.pth",
    "text_encoder": "open_clip_pytorch_model.bin",
}
#: as in diffusers' folders: safetensors before pickles, full precision before half
ENDINGS = tuple(half + suffix for suffix in (".safetensors", ".pth", ".bin") for half in ("", ".fp16", "_fp16"))
#: The file of the autoencoder can be a whole Stable Diffusion checkpoint, that of CLIP also reads pictures.
VAE_PREFIX, PICTURES = "first_stage_model.", "visual."

FIRST, TEMPORAL_HEADS = "input_blocks.0.0.weight", 8
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def find_part(name: str, folders: Iterable[Path]) -> Path | None:
    """The file of a part (unet, vae, text_encoder) in the first of these folders that has one."""
    files = (folder / file for folder in folders for file in _names(name))
    return next((path for path in files if path.is_file()), None)


def part_of(file: str) -> str:
    """Which part a file of this name is; "" for other names."""
    return next((part for part in PUBLISHED if file in _names(part)), "")


def _names(part: str) -> list[str]:
    return [Path(PUBLISHED[part]).stem + ending for ending in ENDINGS]


def is_unet(names: Iterable[str]) -> bool:
    """Whether tensors of these names are a text-to-video UNet, or SMCD's, under ModelScope's names."""
    return {FIRST, "input_blocks.0.1.proj_in.weight"} <= set(names)


def config_of(part: str, tensors: dict[str, TensorInfo], path: Path) -> dict[str, Any]:
    """The config, as in diffusers' layout, of a network with weights of these shapes.

    Raises:
        IVGError: weights are missing without which that cannot be told.
    """
    shapes = {key: info.shape for key, info in tensors.items()}
    make = {"unet": _unet_config, "vae": _vae_config, "text_encoder": _text_config}[part]
    try:
        return make(shapes)
    except (KeyError, IndexError, ValueError) as error:
        raise IVGError(
            f"{path} is no whole {PUBLISHED[part]} ({shortly(error)}): download it again, or give the right file."
        ) from error


def _unet_config(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    places = {int(key.split(".")[1]) for key in shapes if key.startswith("input_blocks.")}
    first_down = min((i for i in places if f"input_blocks.{i}.op.weight" in shapes), default=len(places))
    levels = range(1, len(places), first_down)  # where they begin; each is its layers and a downsampler
    crossed = [f"input_blocks.{i}.1.proj_in.weight" in shapes for i in levels]
    return {
        **gates_of(shapes),
        "in_channels": shapes[FIRST][1],
        "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": [shapes[f"input_blocks.{i}.0.in_layers.2.weight"][0] for i in levels],
        "layers_per_block": first_down - 1,
        "down_block_types": ["CrossAttnDownBlock3D" if cross else "DownBlock3D" for cross in crossed],
        "up_block_types": ["CrossAttnUpBlock3D" if cross else "UpBlock3D" for cross in reversed(crossed)],
        "cross_attention_dim": shapes["middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1],
        "attention_head_dim": shapes["input_blocks.0.1.proj_in.weight"][0] // TEMPORAL_HEADS,
    }


def _vae_config(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    widths = [shapes["encoder.down.0.block.0.conv1.weight"][0]]
    while (conv := f"encoder.down.{len(widths)}.block.0.conv1.weight") in shapes:
        widths.append(shapes[conv][0])
    layers = sum(key.startswith("encoder.down.0.block.") and key.endswith(".conv1.weight") for key in shapes)
    return {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "latent_channels": shapes["post_quant_conv.weight"][1],
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "sample_size": 512,
        "scaling_factor": 0.18215,
    }


def _text_config(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    vocabulary, width = shapes["token_embedding.weight"]
    layers = sum(key.startswith("transformer.resblocks.") and key.endswith(".ln_1.weight") for key in shapes)
    return {
        "vocab_size": vocabulary,
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "max_position_embeddings": shapes["positional_embedding"][0],
        "hidden_size": width,
        "intermediate_size": shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
        "num_attention_heads": max(1, width // 64),
        # ModelScope reads the state before the last layer, so that one is no part of the network.
        "num_hidden_layers": layers - 1,
        "hidden_act": "gelu",
    }
