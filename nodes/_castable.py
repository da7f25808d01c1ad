"""Layers that ComfyUI can leave off the device one by one, and bring there while they run."""

from __future__ import annotations

import weakref
from functools import cache
from typing import Any

import comfy.ops
import torch
from torch import Tensor, nn

from ..ivg_core.models.unet import TemporalConvolution

OPS = comfy.ops.disable_weight_init


class _Layer:
    """One of core's layers that is the plain layer as long as all of its weights are in place.

    Core's own ask at every call whether the user cancelled, which would end a training inside of a step.
    """

    def forward(self: Any, *inputs: Any, **named: Any) -> Tensor:
        if self.comfy_cast_weights or self.weight_function or self.bias_function:
            return self.forward_comfy_cast_weights(*inputs, **named)
        return self._plain.forward(self, *inputs, **named)


class _OverTime(OPS.Conv3d):
    """Core's layer, computed as the library's `TemporalConvolution` is."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None, autopad: None = None) -> Tensor:
        return TemporalConvolution._conv_forward(self, input, weight, bias)  # type: ignore[arg-type]


#: Kind of layer -> core's of it. Only exactly these: a layer that does something of its own stays what it is.
KINDS: dict[type[nn.Module], Any] = {
    nn.Linear: OPS.Linear,
    nn.Conv2d: OPS.Conv2d,
    nn.Conv3d: OPS.Conv3d,
    nn.GroupNorm: OPS.GroupNorm,
    nn.LayerNorm: OPS.LayerNorm,
    nn.Embedding: OPS.Embedding,
    TemporalConvolution: _OverTime,
}


@cache
def _kind_for(plain: type[nn.Module]) -> type[nn.Module]:
    return type(plain.__name__, (_Layer, KINDS[plain]), {"_plain": plain, "__module__": plain.__module__})


def make_castable(network: nn.Module) -> None:
    """Exchanges the class of a network's layers for core's: the same weights, names and results."""
    for layer in network.modules():
        if type(layer) in KINDS:
            layer.__class__ = _kind_for(type(layer))
            if not hasattr(layer, "bias"):  # core's embeddings have none by name
                layer.bias = None  # type: ignore[assignment]


def moves_by_layers(network: nn.Module) -> bool:
    """Whether core may leave any part of a network off the device: each of its weights is in a layer of core's.

    Core passes over the weights of what holds layers itself, and knows nothing of weights in float8.
    """
    from ..ivg_core.models.float8 import InFloat8

    return all(
        hasattr(module, "comfy_cast_weights") and not isinstance(module, InFloat8)
        for module in network.modules()
        if next(module.parameters(recurse=False), None) is not None
    )


def settle_buffers(network: nn.Module, device: torch.device) -> None:
    """Brings to the device what belongs to no layer, which core leaves behind where it loads a part of a network."""
    for module in network.modules():
        if next(module.parameters(recurse=False), None) is None:
            for name, buffer in module.named_buffers(recurse=False):
                module._buffers[name] = buffer.to(device)


def tell_device(network: nn.Module, holder: nn.Module) -> None:
    """Has a network say that it is where core computes with it, whatever layers of it are elsewhere.

    Args:
        network: of diffusers or transformers, which go by the first weight.
        holder: the module on which core writes `device`.
    """
    if "_holder" not in network.__dict__:
        network.__class__ = _placed(type(network))
    network.__dict__["_holder"] = weakref.ref(holder)  # a copy of the network is not what the holder holds


@cache
def _placed(kind: type[nn.Module]) -> type[nn.Module]:
    # under the same name, by which diffusers and transformers go
    return type(kind.__name__, (kind,), {"device": property(_device), "__module__": kind.__module__})


def _device(network: Any) -> torch.device:
    holder = network.__dict__["_holder"]()
    held = holder is not None and any(child is network for child in holder.children())
    return holder.device if held else next(network.parameters()).device
