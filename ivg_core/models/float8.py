"""Weights kept in 8 bits: a quarter of float32's memory, half of bfloat16's; computed in the network's own type."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ..errors import IVGError
from .inflated import InflatedUNet
from .unet import IVGUNet

# What lies outside these, the ends and the time embedding, is small.
BLOCKS = ("transformer_in", "down_blocks", "mid_block", "up_blocks")
FLOAT8 = torch.float8_e4m3fn
UNet = TypeVar("UNet", IVGUNet, InflatedUNet)


class InFloat8:
    """A layer whose weight is float8, with a scale for each output channel; it is widened while the layer runs."""

    # A forward of its own, and no hooks that put another weight into the layer: a compiler can see through it.
    def forward(self: Any, input: Tensor) -> Tensor:
        weight = self.weight.to(self.float8_scale.dtype) * self.float8_scale
        if isinstance(self, nn.Linear):
            return linear(input, weight, self.bias)
        return self._conv_forward(input, weight, self.bias)


@cache
def _kind_in_float8(kind: Any) -> Any:
    return type(f"Float8{kind.__name__}", (InFloat8, kind), {})


@torch.no_grad()
def store_in_float8(unet: IVGUNet | InflatedUNet) -> None:
    """Stores weights as float8; each layer is widened while it runs. Sampling only; cannot be undone.

    Every output channel has a scale of its own, so that small weights do not vanish. Merge LoRAs before; afterwards the
    network may be moved to a device, but not to another type.

    Args:
        unet: in the type to compute in; changed in place.

    Raises:
        IVGError: it is stored so already.
    """
    for layer in _layers(unet).values():
        _narrow(layer, layer.weight)


@torch.no_grad()
def copy_in_float8(unet: UNet, weight: Callable[[str], Tensor] | None = None) -> UNet:
    """A copy of a network, stored as `store_in_float8` does it; at no time is there a second whole copy.

    Args:
        unet: stays as it is.
        weight: gives a weight by its name, with what is to be merged into it; None: the network's own.

    Raises:
        IVGError: it is stored so already.
    """
    weight = weight or unet.get_parameter
    narrowed = {f"{name}.weight": layer.weight for name, layer in _layers(unet).items()}
    made = copy.deepcopy(unet, {id(shared): shared for shared in narrowed.values()})
    for name, _ in unet.named_parameters():
        owner, _, own_name = name.rpartition(".")
        layer: Any = made.get_submodule(owner)
        if name in narrowed:
            _narrow(layer, weight(name))
        else:
            setattr(layer, own_name, nn.Parameter(weight(name).clone(), requires_grad=False))
    return made


def is_in_float8(unet: nn.Module) -> bool:
    """Whether weights of a network are stored so."""
    return any(isinstance(module, InFloat8) for module in unet.modules())


def _layers(unet: nn.Module) -> dict[str, Any]:
    if is_in_float8(unet):
        raise IVGError("This network's weights are in float8 already: load the model anew to convert it again.")
    return {
        name: layer
        for name, layer in unet.named_modules()
        if name.partition(".")[0] in BLOCKS and isinstance(layer, (nn.Linear, nn.Conv2d, nn.Conv3d))
    }


def _narrow(layer: Any, weight: Tensor) -> None:
    most = weight.abs().flatten(1).amax(dim=1).float().clamp(min=1e-12)  # (outputs,)
    scale = (most / torch.finfo(FLOAT8).max).view(-1, *[1] * (weight.ndim - 1))
    layer.weight = nn.Parameter((weight / scale).to(FLOAT8), requires_grad=False)
    layer.register_buffer("float8_scale", scale.to(weight.dtype), persistent=False)
    layer.__class__ = _kind_in_float8(type(layer))  # type: ignore[arg-type]
