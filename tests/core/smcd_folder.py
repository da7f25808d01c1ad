"""A folder in SMCD's released layout with the numbers of its code, made of tests/golden/smcd."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden" / "smcd"
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
