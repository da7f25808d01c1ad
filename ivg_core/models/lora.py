"""LoRAs: which layers they may sit on, reading every file format, adding them to a UNet and taking them off again."""

from __future__ import annotations

import copy
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file as save_tensors
from torch import Tensor, nn

from ..errors import IVGError
from ..media.files import atomic_write
from .modelscope_names import modelscope_name
from .unet import IVGUNet
from .weights import load_pickle, read_metadata, read_tensors

if TYPE_CHECKING:
    from .bundle import IVGModel

log = logging.getLogger("ivg")

ROLES = ("spatial", "text", "temporal", "conv")
LAYER_TYPES = (nn.Linear, nn.Conv2d, nn.Conv3d)

# The released network registers its parts in this order, and its LoRA files are lists in that order.
RELEASED_ORDER = (
    "conv_in", "conv_in2", "time_embedding", "motion_embedding", "transformer_in", "down_blocks", "up_blocks",
    "mid_block", "conv_out",
)  # fmt: skip
KEY_PATTERN = re.compile(r"(?P<module>.+)\.lora_(?P<half>up|down|A|B)(\.default)?(\.weight)?")


@dataclass
class LoRA:
    """Low-rank changes of layers: weight += strength * scale * up @ down.

    Args:
        layers: module name -> (up, down); for a convolution `up` is (out, r, 1, …) and `down` (r, in, kernel…).
        scales: module name -> factor, 1 where a file names none.
        metadata: text from the file.
    """

    layers: dict[str, tuple[Tensor, Tensor]]
    scales: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def stage(self) -> int:
        """Which network it is for: what the file says, else stage 2."""
        return int(self.metadata.get("ivg_stage", 2))

    def change(self, name: str, weight: Tensor) -> Tensor:
        """What strength 1 adds to the weight of a layer, in float32, in its shape.

        Raises:
            IVGError: the LoRA was made for a layer of another size.
        """
        self._check_layer(name, weight)
        up, down = (half.to(weight.device, torch.float32).flatten(1) for half in self.layers[name])
        change = up @ down
        if change.numel() != weight.numel():  # stable_lora's temporal convolutions: k x k, one k averaged away
            change = change.reshape(*weight.shape[:3], weight.shape[2], 1).mean(-2)
        return self.scales.get(name, 1.0) * change.reshape(weight.shape)

    def check(self, unet: IVGUNet) -> None:
        """Sees whether it fits a network.

        Raises:
            IVGError: a layer is of another size.
        """
        for name in self.layers:
            self._check_layer(name, _layer(unet, name).weight)

    def scheduler_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A model's scheduler_config once this LoRA is on it."""
        if json.loads(self.metadata.get("ivg_zero_terminal_snr", "false")):
            # it learned to begin at pure noise, so sampling has to
            return {**config, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        return dict(config)

    def _check_layer(self, name: str, weight: Tensor) -> None:
        up, down = (half.flatten(1).shape for half in self.layers[name])
        sizes = {weight.numel()} | ({weight.numel() * weight.shape[2]} if weight.ndim == 5 else set())
        if up[1] != down[0] or up[0] * down[1] not in sizes:
            raise IVGError(
                f"This LoRA does not fit the model: {name} is {tuple(weight.shape)} in the model, "
                f"{tuple(up)} x {tuple(down)} in the LoRA; use the model it was trained on."
            )


def lora_sites(unet: IVGUNet, roles: Iterable[str] = ("spatial", "temporal")) -> dict[str, nn.Module]:
    """The layers that play the given roles, by module name, in the order of the network.

    Args:
        unet: the network.
        roles: any of "spatial" (what a frame looks like: self-attention and feed-forward within frames),
            "text" (cross-attention), "temporal" (how pixels change over the frames), "conv" (every convolution).

    Raises:
        IVGError: an unknown role.
    """
    wanted = set(roles)
    unknown = wanted - set(ROLES)
    if unknown:
        raise IVGError(f"Unknown LoRA role {', '.join(sorted(unknown))}: use {', '.join(ROLES)}.")
    return {name: module for name, module in unet.named_modules() if _role(name, module) in wanted}


def read_lora(path: str | Path, unet: IVGUNet) -> LoRA:
    """Reads a LoRA: our safetensors, peft's, kohya's, loralib's (in ModelScope's names too), the released `.pt` list.

    Args:
        path: the file.
        unet: the network it is meant for; the lists carry no names, so it gives them theirs.

    Raises:
        IVGError: no LoRA, a damaged file, or one for another network.

    Source: cloneofsimo/lora (the lists), its order as in the released code.
    """
    path = Path(path).expanduser()
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


@torch.no_grad()
def merge_lora(unet: IVGUNet, lora: LoRA, strength: float = 1.0) -> dict[str, Tensor]:
    """Adds a LoRA to the weights of a UNet.

    Args:
        unet: changed in place.
        lora: what to add.
        strength: 0 changes nothing, 1 is what was trained; any number goes.

    Returns:
        The weights as they were, for `unmerge_lora`.

    Raises:
        IVGError: the LoRA is for another network; nothing is changed then.
    """
    weights = {name: _layer(unet, name).weight for name in lora.layers}
    changed = {name: weight + strength * lora.change(name, weight) for name, weight in weights.items()}
    before = {name: weight.clone() for name, weight in weights.items()}
    for name, weight in weights.items():
        weight.copy_(changed[name])
    return before


@torch.no_grad()
def unmerge_lora(unet: IVGUNet, before: Mapping[str, Tensor]) -> None:
    """Puts back, bit for bit, the weights that `merge_lora` returned."""
    for name, weight in before.items():
        _layer(unet, name).weight.copy_(weight)


@contextmanager
def applied_lora(unet: IVGUNet, lora: LoRA, strength: float = 1.0) -> Iterator[IVGUNet]:
    """A LoRA that is on the UNet inside the `with` block only."""
    before = merge_lora(unet, lora, strength)
    try:
        yield unet
    finally:
        unmerge_lora(unet, before)


def model_with_lora(model: IVGModel, lora: LoRA, strength: float = 1.0, stage: int | None = None) -> IVGModel:
    """A model with a LoRA added for good; the one that is given stays as it is.

    Args:
        model: the checkpoint.
        lora: what to add.
        strength: see `merge_lora`.
        stage: whose network it changes; None: what the file says, else 2. A stage-1 LoRA on a model without stage 1 was
            trained on the stage-2 network, and makes a stage 1 of it.

    Raises:
        IVGError: the LoRA is for another network.
    """
    stage = stage or lora.stage
    base = model.rom_unet if stage == 1 and model.rom_unet is not None else model.for_stage(2)
    unet = copy.deepcopy(base)
    merge_lora(unet, lora, strength)
    changed: dict[str, Any] = {"rom_unet" if stage == 1 else "unet": unet}
    return replace(model, scheduler_config=lora.scheduler_config(model.scheduler_config), **changed)


def _role(name: str, module: nn.Module) -> str | None:
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        return "conv"
    if not isinstance(module, nn.Linear) or ".transformer_blocks." not in name:
        return None
    if ".temp_attentions." in name or name.startswith("transformer_in."):
        return "temporal"
    return "text" if ".attn2." in name else "spatial"


def _layer(unet: IVGUNet, name: str) -> Any:
    return unet.get_submodule(name)


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
    return LoRA(
        layers={name: (pair["up"], pair["down"]) for name, pair in halves.items()},
        scales={name: alpha / halves[name]["down"].shape[0] for name, alpha in alphas.items() if name in halves},
        metadata={key: text for key, text in read_metadata(path).items() if key != "format"},
    )


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
    lora = LoRA({name: (up.detach(), down.detach()) for name, (up, down) in zip(names, pairs, strict=True)})
    for name in names:
        lora.change(name, _layer(unet, name).weight)  # a list of the right length may still be of another network
    return lora


def _released_lists(unet: IVGUNet) -> dict[str, list[str]]:
    layers = [name for name, module in unet.named_modules() if isinstance(module, LAYER_TYPES)]
    layers.sort(key=lambda name: RELEASED_ORDER.index(name.split(".")[0]))
    return {
        "released training": [name for name in layers if _trained_without_peft(name)],
        "released training with peft installed": layers,
        "MotionDirector, temporal": list(lora_sites(unet, ["temporal"])),
        "MotionDirector, spatial": list(lora_sites(unet, ["spatial"])),
    }


def _trained_without_peft(name: str) -> bool:
    # diffusers 0.24 had made every other layer a class of its own, which the released LoRA code does not know.
    if name.endswith((".proj_in", ".proj_out")):
        return ".temp_attentions." in name or name.startswith("transformer_in.")
    whole = ("conv_in", "conv_in2", "conv_out", "time_embedding.cond_proj")
    return name in whole or name.startswith("motion_embedding.") or ".temp_convs." in name
