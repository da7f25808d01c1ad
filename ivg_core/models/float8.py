"""Weights kept in 8 bits: a quarter of float32's memory, half of bfloat16's; computed in the network's own type."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import IVGError
from .inflated import InflatedUNet
from .unet import IVGUNet

# What lies outside these, the ends and the time embedding, is small.
BLOCKS = ("transformer_in", "down_blocks", "mid_block", "up_blocks")
FLOAT8 = torch.float8_e4m3fn


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
    layers: list[Any] = [
        layer
        for name, layer in unet.named_modules()
        if name.partition(".")[0] in BLOCKS and isinstance(layer, (nn.Linear, nn.Conv2d, nn.Conv3d))
    ]
    if any(layer.weight.dtype == FLOAT8 for layer in layers):
        raise IVGError("This network's weights are in float8 already: load the model anew to convert it again.")
    for layer in layers:
        weight = layer.weight.data
        most = weight.abs().flatten(1).amax(dim=1).float().clamp(min=1e-12)  # (outputs,)
        scale = (most / torch.finfo(FLOAT8).max).view(-1, *[1] * (weight.ndim - 1))
        layer.weight.requires_grad_(False)
        layer.weight.data = (weight / scale).to(FLOAT8)
        layer.register_buffer("float8_scale", scale.to(weight.dtype), persistent=False)
        layer.register_forward_pre_hook(_widen)
        layer.register_forward_hook(_narrow, always_call=True)


def _widen(layer: Any, _inputs: object) -> None:
    layer.stored = layer.weight.data
    layer.weight.data = layer.stored.to(layer.float8_scale.dtype) * layer.float8_scale


def _narrow(layer: Any, _inputs: object, _output: object) -> None:
    layer.weight.data = layer.stored
    del layer.stored
