"""LoRA files: every format that is read, and ours, which is written, and which ComfyUI's own loader reads too.

A few-step LoRA is one like any other: MCM's is peft's, T2V-Turbo's is a list over the plain text-to-video network.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import IVGError
from ..media.files import atomic_write
from ..media.targets import user_path
from ..models.lora import LoRA, layer_of
from ..models.unet import IVGUNet
from .embedded import EMBEDDED_LORAS
from .lora_keys import CORE, TEXT_ENCODER, LayerNames, check_part, other_kind, read_key
from .lora_lists import list_in, read_list
from .lora_scale import HEADER, config_in_header, read_config, scales_of
from .weights import is_safetensors, load_pickle, read_metadata, read_tensors
from .write import save_tensors

log = logging.getLogger("ivg")

PEFT_STEM, PEFT_CONFIG = "adapter_model", "adapter_config.json"
#: what peft and diffusers call the LoRA in a folder of theirs
FOLDER_FILES = tuple(stem + end for stem in (PEFT_STEM, "pytorch_lora_weights") for end in (".safetensors", ".bin"))


def read_lora(path: str | Path, unet: IVGUNet, partial: bool = False, adapter: int | None = None) -> LoRA:
    """Reads a LoRA: ours, peft's, diffusers', kohya's, loralib's (in ModelScope's names too), or a `.pt` list.

    Core's prefix before the names of layers may be there or not: files of ours were once written without it.

    Args:
        path: the file, or the folder of peft, diffusers or MotionDirector, or a name of `EMBEDDED_LORAS`. Beside
            peft's file lies adapter_config.json, which says how strong it is; diffusers' file may say so in its header.
        unet: the network it is meant for; the lists carry no names, so it gives them theirs.
        partial: leave out layers that fit no layer of the network, with a warning, instead of refusing the file.
        adapter: which one, from 1, of a list that holds the spatial adapters of several clips.

    Raises:
        IVGError: no LoRA, a damaged file, one that holds NaN, one for another network, or another kind of adapter; or
            one of several has to be chosen.
    """
    given, path = path, EMBEDDED_LORAS.get(str(path)) or user_path(path)
    path = next((path / name for name in FOLDER_FILES if (path / name).is_file()), path)
    if path.is_dir():
        path = list_in(path)
    if not path.is_file():
        raise IVGError(f"There is no LoRA file at {path}: give a .safetensors or .pt file.")
    stored = None if is_safetensors(path) else load_pickle(path)
    if isinstance(stored, list):
        lora = read_list(path, stored, unet, adapter)
    elif adapter in (None, 1):
        lora = _named_lora(path, unet, partial)
    else:
        raise IVGError(f"{path} has no adapter {adapter}, it holds one LoRA only: choose no adapter.")
    try:
        lora.check(unet)
    except IVGError as error:
        raise IVGError(f"{path}: {error}") from error
    lora.name = str(given) if str(given) in EMBEDDED_LORAS else user_path(given).name
    return lora


def save_lora(lora: LoRA, path: str | Path, metadata: Mapping[str, str] | None = None) -> Path:
    """Writes a LoRA as safetensors: `diffusion_model.<module>.lora_up.weight`, `.lora_down.weight`, `.alpha`.

    So core's LoraLoaderModelOnly knows every layer of a MODEL that holds the network.

    Args:
        lora: what to write.
        path: ends in .safetensors; missing folders are made.
        metadata: further text to carry, beside what the LoRA says of itself.

    Returns:
        The path.

    Raises:
        IVGError: the path cannot be written.
    """
    tensors = {}  # copies: layers may share memory, which the format cannot say
    for name, (up, down) in lora.layers.items():
        tensors[f"{CORE}{name}.lora_up.weight"] = up.detach().cpu().clone(memory_format=torch.contiguous_format)
        tensors[f"{CORE}{name}.lora_down.weight"] = down.detach().cpu().clone(memory_format=torch.contiguous_format)
        if lora.scales.get(name, 1.0) != 1.0:
            tensors[f"{CORE}{name}.alpha"] = torch.tensor(lora.scales[name] * down.shape[0])
    path = user_path(path)
    with atomic_write(path) as temporary:
        save_tensors(tensors, temporary, metadata={"format": "pt", **lora.metadata, **(metadata or {})})
    return path


def _named_lora(path: Path, unet: IVGUNet, partial: bool) -> LoRA:
    tensors = read_tensors(path)
    _refuse_other_kinds(path, list(tensors))
    names = LayerNames(unet)
    parts: dict[str, dict[str, Tensor]] = {}
    strangers: dict[str, None] = {}  # what the file calls the layers that this network has not, in its order
    for key, tensor in tensors.items():
        part = read_key(key)
        name = part and names.find(part.module)
        if part is None or name is None:
            strangers[part.module if part else key] = None
            continue
        check_part(path, key, part.part, tensor)
        if part.part in parts.setdefault(name, {}):
            raise IVGError(f"{path} has the {part.part} part of {name} twice, as {key} too: get the file again.")
        parts[name][part.part] = tensor
    if not parts:
        raise IVGError(f"{path} holds no LoRA for this UNet: give one that was trained on an IVG or ModelScope model.")
    if strangers:
        _leave_out(path, list(strangers), len(parts) + len(strangers), partial)
    odd = [name for name, halves in parts.items() if not {"up", "down"} <= halves.keys()]
    if odd:
        raise IVGError(f"{path} is damaged, {odd[0]} has only half of its LoRA: download the file again.")
    return LoRA(
        layers={
            name: _matrices(halves["up"], halves["down"], layer_of(unet, name).weight) for name, halves in parts.items()
        },
        scales=_scales(path, parts),
        metadata={key: text for key, text in _header(path).items() if key not in ("format", HEADER)},
    )


def _matrices(up: Tensor, down: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The halves of a layer as two matrices whose product is the change, which is all that core's loader reads.

    Only stable_lora's convolutions over time are told otherwise: (out * k, r) x (r, in * k), a kernel of k x k whose
    last side is averaged away. Row p of the k of an output is for the p-th part of what stands in its k * in columns,
    so the same change is a product of rank k * r.
    """
    k = weight.shape[2] if weight.ndim == 5 else 1
    outputs, inputs = weight.shape[:2]
    if k == 1 or (up.shape[0], down[0].numel()) != (outputs * k, inputs * k):
        return up, down
    one = down.float().reshape(-1, inputs, k).mean(-1)
    return up.reshape(outputs, -1), torch.block_diag(*[one] * k).reshape(-1, *weight.shape[1:])


def _refuse_other_kinds(path: Path, keys: list[str]) -> None:
    found = other_kind(keys)
    if found is None:
        return
    kind, theirs = found
    mixed = kind != "DoRA" and any(read_key(key) for key in keys if key not in theirs and not key.endswith(".alpha"))
    what = f"mixes LoRA with {kind} layers" if mixed else f"is a {kind}"
    raise IVGError(
        f"{path} {what} ({len(theirs)} tensors, first {_one_line(theirs[0])}), which cannot be applied to this model: "
        "train it as a plain LoRA, or write it as one with the program that made it."
    )


def _one_line(name: str) -> str:
    """A name as a message shows it: one of a damaged file may hold a line break."""
    return " ".join(name.split())


def _leave_out(path: Path, strangers: list[str], total: int, partial: bool) -> None:
    fit_none = (
        f"{len(strangers)} of the {total} layers of {path} fit no layer of this model (first {_one_line(strangers[0])})"
    )
    of_text = sum(bool(TEXT_ENCODER.match(name)) for name in strangers)
    if of_text:
        fit_none += f"; {of_text} are for the text encoder, which is never changed here"
    if not partial:
        raise IVGError(
            f"{fit_none}: use the model it was trained on, or say that the rest is to be used without them (partial; "
            "--lora-partial on the command line)."
        )
    log.warning("%s: they are left out.", fit_none)


def _scales(path: Path, parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, float]:
    ranks = {name: halves["down"].shape[0] for name, halves in parts.items()}
    by_key = {name: float(halves["alpha"]) / ranks[name] for name, halves in parts.items() if "alpha" in halves}
    if path.stem == PEFT_STEM:
        beside = path.with_name(PEFT_CONFIG)
        return scales_of(read_config(beside), ranks, str(beside))
    config = config_in_header(_header(path), path)
    if config is None:
        return by_key
    scales = scales_of(config, ranks, f"The header of {path}")
    for name, scale in by_key.items():
        if not math.isclose(scale, scales[name], rel_tol=1e-3):  # a tensor of half precision has but 3 digits
            raise IVGError(
                f"{path} says twice how strong {name} is, {scales[name]:g} in its header and {scale:g} beside the "
                "weights: get it from its author again."
            )
    return scales


def _header(path: Path) -> dict[str, str]:
    return read_metadata(path) if is_safetensors(path) else {}
