"""LoRAs: which layers they may sit on, adding them to a UNet and taking them off again. Their files: lora_files.py."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import IVGError
from ..finite import count_of, not_finite
from .provenance import Provenance
from .unet import IVGUNet

if TYPE_CHECKING:
    from .bundle import IVGModel

ROLES = ("spatial", "text", "temporal", "conv")
OTHER = "other"  # what the layers of no role are counted as
LAYER_TYPES = (nn.Linear, nn.Conv2d, nn.Conv3d)
OVER_TIME = (".temp_attentions.", ".temp_convs.", ".transformer_in.")


@dataclass
class LoRA:
    """Low-rank changes of layers: weight += strength * scale * up @ down.

    Args:
        layers: module name -> (up, down); for a convolution `up` is (out, r, 1, …) and `down` (r, in, kernel…).
        scales: module name -> factor, 1 where a file names none.
        metadata: text from the file.
        name: of the file, for people; "" of one that lies in none.
    """

    layers: dict[str, tuple[Tensor, Tensor]]
    scales: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    name: str = ""

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

    def balanced(self, spatial: float = 1.0, temporal: float = 1.0) -> LoRA:
        """The same LoRA with its two parts at strengths of their own; a part at 0 is left out.

        Args:
            spatial: factor of what things look like: of all layers that look at one frame at a time.
            temporal: factor of how things move: of the layers over time.

        Raises:
            IVGError: a factor is no finite number.
        """
        for factor in (spatial, temporal):
            if not math.isfinite(factor):
                raise IVGError(f"A part of a LoRA cannot have strength {factor}: give a number, such as 1.")
        factors = {name: temporal if is_over_time(name) else spatial for name in self.layers}
        return LoRA(
            {name: halves for name, halves in self.layers.items() if factors[name]},
            {name: self.scales.get(name, 1.0) * factor for name, factor in factors.items() if factor},
            self.metadata,
            self.name,
        )

    def of_role(self, role: str, unet: IVGUNet) -> LoRA:
        """Its layers of one role alone, see `lora_sites`.

        Raises:
            IVGError: it has none.
        """
        sites = lora_sites(unet, [role])
        layers = {name: halves for name, halves in self.layers.items() if name in sites}
        if not layers:
            raise IVGError(f"This LoRA has no {role} layers, it has {said_roles(self, unet)}: choose another role.")
        scales = {name: scale for name, scale in self.scales.items() if name in sites}
        return LoRA(layers, scales, self.metadata, self.name)

    def change(self, name: str, weight: Tensor) -> Tensor:
        """What strength 1 adds to the weight of a layer, in float32, in its shape.

        Raises:
            IVGError: the LoRA was made for a layer of another size.
        """
        self._check_layer(name, weight)
        up, down = (half.to(weight.device, torch.float32).flatten(1) for half in self.layers[name])
        return self.scales.get(name, 1.0) * (up @ down).reshape(weight.shape)

    def check(self, unet: IVGUNet) -> None:
        """Sees whether it fits a network.

        Raises:
            IVGError: a layer is of another size, or its metadata makes no sense.
        """
        try:
            for name in self.layers:
                self._check_layer(name, layer_of(unet, name).weight)
        except IVGError as error:
            width, theirs = unet.config["block_out_channels"][0], self._width(unet)
            if theirs in (None, width):
                raise
            raise IVGError(
                f"This LoRA does not fit the model: it was trained on a network of width {theirs}, and this one has "
                f"width {width}; use the model it was trained on."
            ) from error
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

    def _width(self, unet: IVGUNet) -> int | None:
        """Channels of the first level of the network that it was trained on; None if it has no layer to tell by."""
        width = unet.config["block_out_channels"][0]
        told = (
            up.shape[0]
            for name, (up, _) in self.layers.items()
            if name.startswith("down_blocks.0.") and layer_of(unet, name).weight.shape == (width, width)
        )
        return next(told, None)

    def _check_layer(self, name: str, weight: Tensor) -> None:
        if not fits(self.layers[name], weight):
            up, down = (half.flatten(1).shape for half in self.layers[name])
            raise IVGError(
                f"This LoRA does not fit the model: {name} is {tuple(weight.shape)} in the model, "
                f"{tuple(up)} x {tuple(down)} in the LoRA; use the model it was trained on."
            )


def fits(halves: tuple[Tensor, Tensor], weight: Tensor) -> bool:
    """Whether (up, down) are a change of a weight of this shape."""
    up, down = (half.flatten(1).shape for half in halves)
    outputs, inputs = weight.flatten(1).shape
    fitting = {(outputs, inputs)}
    if weight.ndim == 4:  # stable_lora's convolutions: a kernel of k x k is spread over rows and columns
        fitting.add((outputs * weight.shape[2], weight.shape[1] * weight.shape[2]))
    return up[1] == down[0] and (up[0], down[1]) in fitting


def is_over_time(name: str) -> bool:
    """Whether a layer mixes frames, by its name."""
    return any(part in f".{name}" for part in OVER_TIME)


def said_roles(lora: LoRA, unet: IVGUNet) -> str:
    """How many layers a LoRA has of each role, in words."""
    counts = Counter(_role(name, layer_of(unet, name)) or OTHER for name in lora.layers)
    return " and ".join(f"{count} {role}" for role, count in counts.items()) or "none"


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
        IVGError: the LoRA is for another network, or so strong that the weights overflow, or the weights are kept in
            8 bits; nothing is changed then.
    """
    weights = {name: layer_of(unet, name).weight for name in lora.layers}
    if any(weight.dtype.itemsize == 1 for weight in weights.values()):
        raise IVGError("No LoRA can be added to weights in float8: load the model without, add it, then store them so.")
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

    Returns:
        The model with a changed network, which shares all others with the one that is given.

    Raises:
        IVGError: the LoRA is for another network.
    """
    stage = stage or lora.stage
    if not strength or not lora.layers:
        return model
    unet = copy.deepcopy(network_for(model, stage))
    merge_lora(unet, lora, strength)
    changed: dict[str, Any] = {"rom_unet" if stage == 1 else "unet": unet}
    made_of = Provenance.of_model(model).and_(Provenance.of_lora(lora, strength).parts)
    scheduler_config = lora.scheduler_config(model.scheduler_config)
    return made_of.onto(replace(model, scheduler_config=scheduler_config, **changed))


@contextmanager
def model_wearing(model: IVGModel, lora: LoRA, strength: float = 1.0) -> Iterator[IVGModel]:
    """A model with a LoRA on its own weights, inside the `with` block only; see `model_with_lora`."""
    alone = lora.stage == 1 and model.rom_unet is None
    if alone or not strength or not lora.layers:
        yield model_with_lora(model, lora, strength)
        return
    with applied_lora(network_for(model, lora.stage), lora, strength):
        yield replace(model, scheduler_config=lora.scheduler_config(model.scheduler_config))


def network_for(model: IVGModel, stage: int) -> IVGUNet:
    """The network that a LoRA of a stage is for: without stage 1, the only one; an IVGError without stage 2."""
    if stage == 1 and model.rom_unet is not None:
        return model.rom_unet
    if model.unet is None:
        said = f"The LoRA is for stage 2, the video, and the model {model.name} has stage 1 alone"
        raise IVGError(f"{said}: take a LoRA for stage 1, or load a whole checkpoint.")
    return model.for_stage(2)


def _role(name: str, module: nn.Module) -> str | None:
    if ".fuser." in name or name.startswith(("visual_encoder.", "position_net.", "skeleton_adapter.")):
        return None  # what follows boxes or poses is no place for a LoRA of looks or motion
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        return "conv"
    if not isinstance(module, nn.Linear) or ".transformer_blocks." not in name:
        return None
    if ".temp_attentions." in name or ".attn_temp." in name or name.startswith("transformer_in."):
        return "temporal"
    return "text" if ".attn2." in name else "spatial"


def layer_of(unet: IVGUNet, name: str) -> Any:
    """A layer by its name; typed for its weight."""
    return unet.get_submodule(name)
