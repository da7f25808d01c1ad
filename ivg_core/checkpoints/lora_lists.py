"""LoRA lists, `[up, down, up, down, …]` without names: those of the released training, of MotionDirector, of T2V-Turbo.

Only the order says what belongs to which layer: that in which the network registers its parts.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import IVGError
from ..finite import check_read
from ..media.files import atomic_write
from ..media.targets import user_path
from ..models.lora import LoRA, fits, layer_of, lora_sites, said_roles
from ..models.unet import IVGUNet
from .lora_keys import LayerNames, check_part

log = logging.getLogger("ivg")

# The released network registers its parts in this order, and its LoRA files are lists in that order.
RELEASED_ORDER = (
    "conv_in", "conv_in2", "time_embedding", "motion_embedding", "transformer_in", "down_blocks", "up_blocks",
    "mid_block", "conv_out",
)  # fmt: skip
MOTION_DIRECTOR = {role: f"MotionDirector, {role}" for role in ("temporal", "spatial")}
GUIDANCE = "guidance"  # T2V-Turbo's network is told how strong to guide, ours is not

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Reading:
    """What a list can be."""

    kind: str
    names: list[str]  # of its layers
    adapters: int = 1  # MotionDirector has a spatial one for each clip, all of a layer side by side

    def pairs_of(self, pairs: Sequence[Pair], adapter: int) -> dict[str, Pair]:
        """Layer -> (up, down) of one adapter, counted from 0."""
        return dict(zip(self.names, pairs[adapter :: self.adapters], strict=True))

    def holds(self, pairs: Sequence[Pair], unet: IVGUNet) -> bool:
        """Whether all of a list has the sizes that it should."""
        named = [(name, pair) for n in range(self.adapters) for name, pair in self.pairs_of(pairs, n).items()]
        return all(name == GUIDANCE or fits(pair, layer_of(unet, name).weight) for name, pair in named)


def list_in(folder: Path) -> Path:
    """The list in a folder of MotionDirector's, such as `checkpoint-300/temporal/lora`.

    Raises:
        IVGError: there is none, or more than one.
    """
    lists = sorted(path for path in folder.glob("*unet*.pt") if path.is_file())
    if not lists:
        raise IVGError(f"There is no LoRA file in {folder}: give the file itself, or the folder that holds it.")
    if len(lists) > 1:
        raise IVGError(f"{folder} holds {len(lists)} LoRA files, {lists[0].name} the first: give one of them.")
    return lists[0]


def read_list(path: Path, tensors: list[Any], unet: IVGUNet, adapter: int | None = None) -> LoRA:
    """Gives the layers of a list their names.

    Args:
        path: its file.
        tensors: what the file holds.
        unet: the network that it is for.
        adapter: which one, from 1, where the list holds the spatial adapters of several clips.

    Raises:
        IVGError: it is no such list, damaged, for another network, or holds several adapters and none is chosen.

    Source: cloneofsimo/lora; the order as in the released code, in MotionDirector and in T2V-Turbo.
    """
    if len(tensors) % 2 or not all(isinstance(item, Tensor) for item in tensors):
        raise IVGError(f"{path} is no LoRA ([up, down, up, down, …]): give a training's *_unet.pt or a .safetensors.")
    for number, tensor in enumerate(tensors):
        check_part(path, f"tensor {number}", "half", tensor)
    check_read({f"number {number}": tensor for number, tensor in enumerate(tensors)}, path)
    pairs = list(zip((up.detach() for up in tensors[::2]), (down.detach() for down in tensors[1::2]), strict=True))
    reading = _reading_of(path, pairs, unet)
    named = reading.pairs_of(pairs, _chosen(path, reading, adapter))
    _check_ranks(path, named)
    if named.pop(GUIDANCE, None):
        log.warning("%s was also trained to be told how strong to guide, which this network cannot be.", path)
    return LoRA(named)


def save_list(lora: LoRA, path: str | Path, unet: IVGUNet) -> Path:
    """Writes a LoRA as the list that MotionDirector reads: its strength is in the weights, layers that it lacks are 0.

    Args:
        lora: of temporal or of spatial layers only, see `LoRA.of_role`.
        path: of the `.pt` file.
        unet: the network that it is for.

    Raises:
        IVGError: it has layers of another role, does not fit the network, or the path cannot be written.
    """
    lora.check(unet)
    role = next((role for role in MOTION_DIRECTOR if lora.layers.keys() <= lora_sites(unet, [role]).keys()), None)
    if role is None or not lora.layers:
        raise IVGError(
            f"This LoRA has {said_roles(lora, unet)} layers, and a list of MotionDirector's holds temporal or spatial "
            "ones only: choose one (--role temporal or --role spatial), or write a .safetensors file."
        )
    most = max(down.shape[0] for _, down in lora.layers.values())
    tensors: list[nn.Parameter] = []
    for name in lora_sites(unet, [role]):
        outputs, inputs = layer_of(unet, name).weight.shape
        up, down = lora.layers.get(name) or (torch.zeros(outputs, 0), torch.zeros(0, inputs))
        more = max(0, min(most, outputs, inputs) - down.shape[0])  # one rank for all, as far as the layer has it
        up = nn.functional.pad(up.detach().cpu().float() * lora.scales.get(name, 1.0), (0, more))
        down = nn.functional.pad(down.detach().cpu().float(), (0, 0, 0, more))
        tensors += [nn.Parameter(half.contiguous()) for half in (up, down)]
    written = io.BytesIO()  # into a file, torch would write the file's passing name too
    torch.save(tensors, written)
    path = user_path(path)
    with atomic_write(path) as temporary:
        temporary.write_bytes(written.getvalue())
    return path


def _reading_of(path: Path, pairs: list[Pair], unet: IVGUNet) -> Reading:
    lists = {kind: names for kind, names in _released_lists(unet).items() if names}
    possible = [Reading(kind, names) for kind, names in lists.items() if len(names) == len(pairs)]
    spatial = lists.get(MOTION_DIRECTOR["spatial"], [])
    if spatial and len(pairs) > len(spatial) and len(pairs) % len(spatial) == 0:
        possible.append(Reading(MOTION_DIRECTOR["spatial"], spatial, len(pairs) // len(spatial)))
    if not possible:
        lengths = ", ".join(f"{2 * len(names)} ({kind})" for kind, names in lists.items())
        width = unet.config["block_out_channels"][0]
        raise IVGError(
            f"{path} is a LoRA for another network{_seen(pairs)}, it has {2 * len(pairs)} tensors; for this one, of "
            f"width {width}, a list has "
            f"{lengths}, or several times the last: use the model it was trained on."
        )
    found = next((reading for reading in possible if reading.holds(pairs, unet)), None)
    if found:
        return found
    kind, names = possible[0].kind, possible[0].names
    said = f"{path}, by its length a list of {2 * len(pairs)} tensors ({kind})"
    if any(reading.holds([(up, down) for down, up in pairs], unet) for reading in possible):
        raise IVGError(f"{said}, has down before up in each layer, and a list has up first: write it in that order.")
    first = possible[0].pairs_of(pairs, 0)
    first.pop(GUIDANCE, None)
    try:
        LoRA(first).check(unet)
    except IVGError as error:
        raise IVGError(f"{said}: {error}") from error
    raise IVGError(f"{said}, does not fit the model in {names[0]} of a later adapter: get the file again.")


def _seen(pairs: list[Pair]) -> str:
    """What MotionDirector's list of an unknown network shows of itself by its sizes; "" if it is none.

    A block has eight square layers over time or four within frames, and two of its feed-forward.
    """
    sizes = [(up.shape[0], *down.shape[1:]) for up, down in pairs]
    square = next((number for number, size in enumerate(sizes) if len(set(size)) > 1), 0)
    for role, squares, clips in (("temporal", 8, 1), ("spatial", 4, square // 4)):
        length = (squares + 2) * clips
        blocks = [sizes[start : start + length] for start in range(0, len(sizes), length)] if clips else []
        widths = [block[0][0] for block in blocks]
        meant = [[(w, w)] * squares * clips + [(8 * w, w)] * clips + [(w, 4 * w)] * clips for w in widths]
        if blocks and blocks == meant:
            width = widths[1:2] if role == "temporal" else widths[:1]  # the first over time stands before the levels
            of = f", of width {width[0]}" if width else ""
            return f", by its sizes MotionDirector's {role} list{of}" + (f" from {clips} clips" if clips > 1 else "")
    return ""


def _chosen(path: Path, reading: Reading, adapter: int | None) -> int:
    """The adapter, from 0."""
    count = reading.adapters
    if adapter is None and count > 1:
        raise IVGError(
            f"{path} holds the spatial adapters of {count} clips: choose one, adapter 1 to {count} (--lora-adapter on "
            "the command line)."
        )
    if adapter is not None and not 1 <= adapter <= count:
        has = f"adapters 1 to {count}" if count > 1 else "one LoRA only"
        raise IVGError(f"{path} has no adapter {adapter}, it holds {has}: choose another.")
    return (adapter or 1) - 1


def _check_ranks(path: Path, named: dict[str, Pair]) -> None:
    """Its trainer gives all linear layers one rank, less only where a layer has fewer rows or columns."""
    linear = {name: (up.shape[0], *down.shape) for name, (up, down) in named.items() if up.ndim == down.ndim == 2}
    most = max((rank for _, rank, _ in linear.values()), default=0)
    odd = [name for name, (rows, rank, columns) in linear.items() if rank != min(most, rows, columns)]
    if odd:
        raise IVGError(
            f"{path} has rank {linear[odd[0]][1]} at {odd[0]} and rank {most} elsewhere, where a list has one rank: it "
            "is damaged or put together from others; get it again."
        )


def _released_lists(unet: IVGUNet) -> dict[str, list[str]]:
    layers = LayerNames(unet).layers
    layers.sort(key=lambda name: RELEASED_ORDER.index(name.split(".")[0]))
    ours = ("conv_in2", "motion_embedding", "time_embedding.cond_proj")
    plain = [name for name in layers if not name.startswith(ours)]
    behind = plain.index("time_embedding.linear_1") + 1
    return {
        "released training": [name for name in layers if _trained_without_peft(name)],
        "released training with peft installed": layers,
        "text-to-video": plain,
        "T2V-Turbo": [*plain[:behind], GUIDANCE, *plain[behind:]],
        **{kind: list(lora_sites(unet, [role])) for role, kind in MOTION_DIRECTOR.items()},
    }


def _trained_without_peft(name: str) -> bool:
    # diffusers 0.24 had made every other layer a class of its own, which the released LoRA code does not know.
    if name.endswith((".proj_in", ".proj_out")):
        return ".temp_attentions." in name or name.startswith("transformer_in.")
    whole = ("conv_in", "conv_in2", "conv_out", "time_embedding.cond_proj")
    return name in whole or name.startswith("motion_embedding.") or ".temp_convs." in name
