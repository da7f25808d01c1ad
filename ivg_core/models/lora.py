"""LoRAs: which layers they may sit on, adding them to a UNet and taking them off again. Their files: lora_files.py."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import IVGError
from ..finite import count_of, not_finite
from .unet import IVGUNet

if TYPE_CHECKING:
    from .bundle import IVGModel

ROLES = ("spatial", "text", "temporal", "conv")
LAYER_TYPES = (nn.Linear, nn.Conv2d, nn.Conv3d)


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
        """Which network it is for: what the file says, else stage 2.

        Raises:
            IVGError: the file says something else.
        """
        said = self.metadata.get("ivg_stage", "2")
        if said not in ("1", "2"):
            raise IVGError(f"The LoRA says that it is for stage {said!r}, and there are 1 and 2: get the file again.")
        return int(said)

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
            IVGError: a layer is of another size, or its metadata makes no sense.
        """
        for name in self.layers:
            self._check_layer(name, layer_of(unet, name).weight)
        _ = self.stage
        self.scheduler_config({})

    def scheduler_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A model's scheduler_config once this LoRA is on it.

        Raises:
            IVGError: the metadata does not say plainly what it should be.
        """
        said = self.metadata.get("ivg_zero_terminal_snr", "false")
        if said not in ("true", "false"):
            raise IVGError(f"The LoRA says ivg_zero_terminal_snr {said!r}, not true or false: get the file again.")
        if said == "true":
            # it learned to begin at pure noise, so sampling has to
            return {**config, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        return dict(config)

    def _check_layer(self, name: str, weight: Tensor) -> None:
        up, down = (half.flatten(1).shape for half in self.layers[name])
        outputs, inputs = weight.flatten(1).shape
        fitting = {(outputs, inputs)}
        if weight.ndim > 2:  # stable_lora's convolutions: a kernel of k x k is spread over rows and columns
            fitting.add((outputs * weight.shape[2], weight.shape[1] * weight.shape[2]))
        if up[1] != down[0] or (up[0], down[1]) not in fitting:
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
        IVGError: the LoRA is for another network, or so strong that the weights overflow; nothing is changed then.
    """
    weights = {name: layer_of(unet, name).weight for name in lora.layers}
    changed = {
        name: (weight + strength * lora.change(name, weight)).to(weight.dtype) for name, weight in weights.items()
    }
    if spoilt := not_finite(changed.items()):
        raise IVGError(
            f"With strength {strength} the LoRA makes {count_of(spoilt, len(changed))}: lower the strength, or take an "
            "earlier state of its training."
        )
    before = {name: weight.clone() for name, weight in weights.items()}
    for name, weight in weights.items():
        weight.copy_(changed[name])
    return before


@torch.no_grad()
def unmerge_lora(unet: IVGUNet, before: Mapping[str, Tensor]) -> None:
    """Puts back, bit for bit, the weights that `merge_lora` returned."""
    for name, weight in before.items():
        layer_of(unet, name).weight.copy_(weight)


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


def layer_of(unet: IVGUNet, name: str) -> Any:
    """A layer by its name; typed for its weight."""
    return unet.get_submodule(name)
