"""A folder in SMCD's released layout with the numbers of its code, made of tests/golden/smcd; and a tiny ModelScope."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from original_files import ldm_vae, open_clip
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from ivg_core.checkpoints.original import PUBLISHED

GOLDEN = Path(__file__).parent / "golden" / "smcd"
sys.path.insert(0, str(GOLDEN.parent))  # check_smcd and what it imports


def released(folder: Path) -> Path:
    """The three files of the checkpoint, as accelerate writes them."""
    parts = {key: tensor.float() for key, tensor in load_file(GOLDEN / "smcd_parts.safetensors").items()}

    def of(prefix: str) -> dict[str, Tensor]:
        return {key[len(prefix) :]: tensor for key, tensor in parts.items() if key.startswith(prefix)}

    folder.mkdir(parents=True)
    unet = {key: tensor.float() for key, tensor in load_file(GOLDEN / "smcd_unet.safetensors").items()}
    torch.save(unet, folder / "pytorch_model.bin")
    torch.save(of("position_net."), folder / "pytorch_model_1.bin")
    torch.save(of("visual_encoder."), folder / "pytorch_model_2.bin")
    return folder


def base(folder: Path) -> Path:
    """ModelScope's autoencoder and text encoder, tiny and random."""
    torch.manual_seed(0)
    levels = 4
    blocks = {f"{way.lower()}_block_types": [f"{way}{kind}Block2D"] * levels
              for way, kind in (("Down", "Encoder"), ("Up", "Decoder"))}  # fmt: skip
    vae = AutoencoderKL(block_out_channels=[32, 32, 64, 64], layers_per_block=2, latent_channels=4, **blocks)
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=1,
        hidden_act="gelu", eos_token_id=49407, bos_token_id=49406,
    )  # fmt: skip
    folder.mkdir(parents=True)
    torch.save(ldm_vae(vae.state_dict(), levels), folder / PUBLISHED["vae"])
    torch.save(open_clip(CLIPTextModel(config).state_dict()), folder / PUBLISHED["text_encoder"])
    return folder


def numbers(folder: Path) -> Path:
    """What `check_relatives.py smcd` reads: the training, and the checkpoint that it began with."""
    released(folder / "checkpoint-60000")
    shutil.copy(GOLDEN / "smcd2_io.safetensors", folder / "smcd_io.safetensors")
    shutil.copy(GOLDEN / "smcd2_meta.json", folder / "smcd_meta.json")
    return folder


def calls() -> dict[str, Tensor]:
    """The first file's tensors, with the clips' axis that the second has."""
    io = load_file(GOLDEN / "smcd_io.safetensors")
    return io | {name: io[name][None] for name in ("boxes", "masks", "positive_embeddings")}
