"""SMCD's released layout: the files that accelerate writes, of a UNet with gates, of box tokens and of photo tokens.

Source: Animate Your Motion (arXiv 2403.10179). Its UNet has ModelScope's names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import IVGError
from .weights import list_tensors

FILES = re.compile(r"(pytorch_)?model(_\d)?\.(bin|safetensors)")
GATE = ".gate_attn."
#: what a part of the network is called in it -> a tensor that its file, and no other, holds
PARTS = {"position_net": "null_position_feature", "visual_encoder": "body.0.in_conv.weight"}
#: a tensor that only this kind of gate has -> what our configs call it; the first that is found counts
KINDS = {
    "visual_attn.to_q.weight": "double",
    "beta_g": "parallel",
    "cross_attn.to_q.weight": "boxes_photo",
    "v_linear.weight": "merged",
    "alpha_attn": "boxes",
}


def is_gated(names: Iterable[str]) -> bool:
    """Whether tensors of these names are SMCD's UNet."""
    return any(GATE in name for name in names)


def looks_like_smcd(names: Iterable[str]) -> bool:
    """Whether a folder of files with these names may be such a checkpoint; they are not opened."""
    return any((match := FILES.fullmatch(name)) and match[2] for name in names)


def find_smcd(folder: Path) -> Path | None:
    """The file of SMCD's UNet in a folder."""
    return next((file for file in _files(folder) if is_gated(list_tensors(file))), None)


def parts_beside(unet: Path) -> dict[str, Path]:
    """The files that belong to a UNet of SMCD: what they are called in our network, with a dot -> the file.

    Raises:
        IVGError: one is missing, or there is one that belongs to a variant that cannot be loaded.
    """
    found: dict[str, Path] = {}
    for file in _files(unet.parent):
        names = set(list_tensors(file))
        kind = next((name for name, mark in PARTS.items() if mark in names), None)
        if kind is not None:
            found[f"{kind}."] = file
        elif not is_gated(names):
            raise IVGError(
                f"{file} is neither SMCD's UNet, nor its box tokens, nor its photo tokens. If it is the ControlNet of "
                "its experiments: that variant cannot be loaded; give the released checkpoint, or move the file away."
            )
    if "position_net." not in found:
        raise IVGError(
            f"{unet.parent} lacks the box tokens of SMCD (pytorch_model_1.bin): put all files of the checkpoint there."
        )
    return found


def gates_of(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """The keys of the config that tell which gates a network has, from the weights of UNet and parts.

    Args:
        shapes: of the weights under ModelScope's names.

    Raises:
        IVGError: they are of a variant that cannot be loaded, or the photo tokens are missing.
    """
    gates = {name.partition(GATE)[2] for name in shapes if GATE in name}
    kind = next((kind for mark, kind in KINDS.items() if mark in gates), "")
    encoder = [name for name in shapes if name.startswith("visual_encoder.body.") and name.endswith("block1.weight")]
    if not kind or kind == "boxes":
        return {"gates": kind}
    if not encoder:
        raise IVGError(
            "The gates of this SMCD checkpoint see the photo, and its photo tokens (pytorch_model_2.bin) are missing: "
            "put all files of the checkpoint into one folder. The variants that see it by CLIP (clip_vision) have none "
            "and cannot be loaded."
        )
    blocks = sorted(encoder, key=lambda name: int(name.split(".")[2]))
    return {"gates": kind, "visual_widths": [shapes[name][0] for name in blocks[::3]]}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if FILES.fullmatch(path.name) and path.is_file())
