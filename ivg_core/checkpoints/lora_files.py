"""LoRA files: every format that is read, and ours, which is written.

A few-step LoRA is one like any other: MCM's is peft's, T2V-Turbo's is a list over the plain text-to-video network.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file as save_tensors
from torch import Tensor

from ..errors import IVGError
from ..media.files import atomic_write
from ..models.lora import LAYER_TYPES, LoRA, lora_sites
from ..models.unet import IVGUNet
from .weights import load_pickle, read_metadata, read_tensors

if TYPE_CHECKING:
    from ..models.unet import IVGUNet

log = logging.getLogger("ivg")

# The released network registers its parts in this order, and its LoRA files are lists in that order.
RELEASED_ORDER = (
    "conv_in", "conv_in2", "time_embedding", "motion_embedding", "transformer_in", "down_blocks", "up_blocks",
    "mid_block", "conv_out",
)  # fmt: skip
PEFT_FILE, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
GUIDANCE = "guidance"  # T2V-Turbo's network is told how strong to guide, ours is not
KEY_PATTERN = re.compile(r"(?P<module>.+)\.lora_(?P<half>up|down|A|B)(\.default)?(\.weight)?")


def read_lora(path: str | Path, unet: IVGUNet) -> LoRA:
    """Reads a LoRA: our safetensors, peft's, kohya's, loralib's (in ModelScope's names too), or a `.pt` list.

    Args:
        path: the file, or peft's folder. Beside peft's file lies adapter_config.json, which says how strong it is.
        unet: the network it is meant for; the lists carry no names, so it gives them theirs.

    Raises:
        IVGError: no LoRA, a damaged file, or one for another network.

    Source: cloneofsimo/lora (the lists), their order as in the released code and in T2V-Turbo.
    """
    path = Path(path).expanduser()
    if (path / PEFT_FILE).is_file():
        path = path / PEFT_FILE
    if not path.is_file():
        raise IVGError(f"There is no LoRA file at {path}: give a .safetensors or .pt file.")
    if path.suffix == ".safetensors":
        return _named_lora(path, unet)
    return _listed_lora(path, unet)


def save_lora(lora: LoRA, path: str | Path, metadata: Mapping[str, str] | None = None) -> Path:
    """Writes a LoRA as safetensors with named keys: `<module>.lora_up.weight`, `.lora_down.weight`, `.alpha`.

    Raises:
        IVGError: the path cannot be written.
    """
    tensors = {}
    for name, (up, down) in lora.layers.items():
        tensors[f"{name}.lora_up.weight"] = up.detach().cpu().contiguous()
        tensors[f"{name}.lora_down.weight"] = down.detach().cpu().contiguous()
        if lora.scales.get(name, 1.0) != 1.0:
            tensors[f"{name}.alpha"] = torch.tensor(lora.scales[name] * down.shape[0])
    path = Path(path).expanduser()
    with atomic_write(path) as temporary:
        save_tensors(tensors, temporary, metadata={"format": "pt", **lora.metadata, **(metadata or {})})
    return path


def _named_lora(path: Path, unet: IVGUNet) -> LoRA:
    layers = [name for name, module in unet.named_modules() if isinstance(module, LAYER_TYPES)]
    known = {
        alias: name
        for name in layers
        for alias in (modelscope_name(name, unet), "lora_unet_" + name.replace(".", "_"), name)
    }
    halves: dict[str, dict[str, Tensor]] = {}
    alphas: dict[str, float] = {}
    strangers = []
    for key, tensor in read_tensors(path).items():
        match = KEY_PATTERN.fullmatch(key)
        stem = match["module"] if match else key.removesuffix(".alpha")
        name = known.get(stem.removeprefix("base_model.model.").removeprefix("unet."))
        if name is None:
            strangers.append(key)
        elif match:
            halves.setdefault(name, {})["up" if match["half"] in ("up", "B") else "down"] = tensor
        else:
            alphas[name] = float(tensor)
    if not halves:
        raise IVGError(f"{path} holds no LoRA for this UNet: give one that was trained on an IVG or ModelScope model.")
    if strangers:
        log.warning("%d tensors of %s fit no layer and are left out: %s …", len(strangers), path, strangers[0])
    odd = [name for name, pair in halves.items() if len(pair) != 2]
    if odd:
        raise IVGError(f"{path} is damaged, {odd[0]} has only half of its LoRA: download the file again.")
    ranks = {name: pair["down"].shape[0] for name, pair in halves.items()}
    scales = {name: alpha / ranks[name] for name, alpha in alphas.items() if name in halves}
    return LoRA(
        layers={name: (pair["up"], pair["down"]) for name, pair in halves.items()},
        scales=_peft_scales(path.with_name(PEFT_CONFIG), ranks) if path.name == PEFT_FILE else scales,
        metadata={key: text for key, text in read_metadata(path).items() if key != "format"},
    )


def _peft_scales(path: Path, ranks: Mapping[str, int]) -> dict[str, float]:
    if not path.is_file():
        raise IVGError(f"{path} is missing: it belongs beside {PEFT_FILE} and says how strong the LoRA is.")
    try:
        config = json.loads(path.read_text("utf-8"))
        usual, special = float(config["lora_alpha"]), dict(config.get("alpha_pattern") or {})
        by_root = bool(config.get("use_rslora"))
    except (ValueError, KeyError, TypeError) as error:
        raise IVGError(f"{path} is no adapter_config.json of a LoRA ({error}): download it again.") from error
    scales = {}
    for name, rank in ranks.items():
        alpha = next((alpha for end, alpha in special.items() if f".{name}".endswith(f".{end}")), usual)
        scales[name] = alpha / (rank**0.5 if by_root else rank)
    return scales


def _listed_lora(path: Path, unet: IVGUNet) -> LoRA:
    tensors = load_pickle(path)
    if not isinstance(tensors, list) or len(tensors) % 2 or not all(isinstance(item, Tensor) for item in tensors):
        raise IVGError(f"{path} is no LoRA ([up, down, up, down, …]): give a training's *_unet.pt or a .safetensors.")
    lists = _released_lists(unet)
    names = next((names for names in lists.values() if 2 * len(names) == len(tensors)), None)
    if names is None:
        lengths = ", ".join(f"{2 * len(names)} ({kind})" for kind, names in lists.items())
        raise IVGError(
            f"{path} is a LoRA for another network, it has {len(tensors)} tensors; for this one a list has {lengths}: "
            "use the model it was trained on."
        )
    pairs = zip(tensors[::2], tensors[1::2], strict=True)
    named = {name: (up.detach(), down.detach()) for name, (up, down) in zip(names, pairs, strict=True)}
    if named.pop(GUIDANCE, None):
        log.warning("%s was also trained to be told how strong to guide, which this network cannot be.", path)
    lora = LoRA(named)
    lora.check(unet)  # a list of the right length may still be of another network
    return lora


def _released_lists(unet: IVGUNet) -> dict[str, list[str]]:
    layers = [name for name, module in unet.named_modules() if isinstance(module, LAYER_TYPES)]
    layers.sort(key=lambda name: RELEASED_ORDER.index(name.split(".")[0]))
    ours = ("conv_in2", "motion_embedding", "time_embedding.cond_proj")
    plain = [name for name in layers if not name.startswith(ours)]
    behind = plain.index("time_embedding.linear_1") + 1
    return {
        "released training": [name for name in layers if _trained_without_peft(name)],
        "released training with peft installed": layers,
        "text-to-video": plain,
        "T2V-Turbo": [*plain[:behind], GUIDANCE, *plain[behind:]],
        "MotionDirector, temporal": list(lora_sites(unet, ["temporal"])),
        "MotionDirector, spatial": list(lora_sites(unet, ["spatial"])),
    }


def _trained_without_peft(name: str) -> bool:
    # diffusers 0.24 had made every other layer a class of its own, which the released LoRA code does not know.
    if name.endswith((".proj_in", ".proj_out")):
        return ".temp_attentions." in name or name.startswith("transformer_in.")
    whole = ("conv_in", "conv_in2", "conv_out", "time_embedding.cond_proj")
    return name in whole or name.startswith("motion_embedding.") or ".temp_convs." in name


#: parts of a spatial residual layer
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
#: where the layers of one position stand in its run
PLACES = {"resnets": "0", "temp_convs": "0.temopral_conv", "attentions": "1", "temp_attentions": "2"}  # as spelt there
LAYER = re.compile(
    r"(?P<side>down_blocks|up_blocks|mid_block)\.((?P<level>\d+)\.)?(?P<kind>[a-z_]+)\.(?P<i>\d+)\.(?P<rest>.+)"
)


def modelscope_name(name: str, unet: IVGUNet) -> str:
    """The ModelScope name of a layer; one that has no other name there keeps its own.

    Args:
        name: of the module in diffusers' layout, e.g. `down_blocks.0.attentions.1.proj_in`.
        unet: the network; how many layers a level has decides the numbers.
    """
    if name.startswith("transformer_in."):
        return name.replace("transformer_in", "input_blocks.0.1", 1)
    match = LAYER.fullmatch(name)
    if match is None:
        return name
    kind, i, rest, level = match["kind"], int(match["i"]), match["rest"], int(match["level"] or 0)
    if kind == "resnets":
        rest = RESNET[rest]
    layers = unet.config["layers_per_block"]
    if match["side"] == "mid_block":
        place = {"resnets": f"{3 * i}", "temp_convs": f"{3 * i}.temopral_conv", "attentions": "1"}.get(kind, "2")
        return f"middle_block.{place}.{rest}"
    if match["side"] == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{(layers + 1) * (level + 1)}.{rest.replace('conv', 'op', 1)}"
        return f"input_blocks.{(layers + 1) * level + i + 1}.{PLACES[kind]}.{rest}"
    if kind == "upsamplers":  # stands behind the attentions, where the level has any
        place = "3" if "CrossAttn" in unet.config["up_block_types"][level] else "1"
        return f"output_blocks.{(layers + 1) * level + layers}.{place}.{rest}"
    return f"output_blocks.{(layers + 1) * level + i}.{PLACES[kind]}.{rest}"
