"""Frozen layers of a core network that keep no weight for the backward pass: they fetch it again from core.

Autograd would keep the weight that a layer computed with. In core that may be a copy cast from float8, which costs the
memory that float8 saved, or a view into one buffer through which all layers that are not on the GPU pass in turn, which
holds another layer's weight by the time of the backward pass. What is no linear layer is small and is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.ops
import torch
from torch import Tensor, nn

from ._compat import supported

#: Empty where core is older than the buffer, and nothing has to be given back.
OFFLOADABLE = supported(comfy.ops.cast_bias_weight, offloadable=True)


@contextmanager
def weightless(network: nn.Module) -> Iterator[None]:
    """Inside the `with` block core's own layers in a network keep no weights."""
    changed = [layer for layer in network.modules() if isinstance(layer, comfy.ops.CastWeightBiasOp)]
    try:
        for layer in changed:
            layer.forward = _linear(layer) if hasattr(layer, "in_features") else _small(layer)
        yield
    finally:
        for layer in changed:
            vars(layer).pop("forward", None)


def _linear(layer: nn.Module) -> Callable:
    forward = layer.forward
    return lambda x: _Linear.apply(x, layer, forward)


def _small(layer: nn.Module) -> Callable:
    forward = layer.forward
    return lambda x: _Small.apply(x, forward)


class _Linear(torch.autograd.Function):
    """A linear layer: the gradient of its input needs its weight and not the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: nn.Module, forward: Callable) -> Tensor:
        ctx.layer = layer
        return _run(forward, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        with _weight(ctx.layer, gradient) as weight:
            return gradient @ weight.to(gradient.dtype), None, None


class _Small(torch.autograd.Function):
    """A layer that keeps its input and is run again: norms above all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: Callable) -> Tensor:
        ctx.save_for_backward(x)
        ctx.run = forward
        return _run(forward, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        with torch.enable_grad():
            x = kept.detach().requires_grad_()
            return torch.autograd.grad(ctx.run(x), x, gradient)[0], None


def _run(forward: Callable, x: Tensor) -> Tensor:
    with torch.no_grad():
        made = forward(x)
    return made.clone() if made._is_view() else made  # autograd lets nobody write into a view that came from here


@contextmanager
def _weight(layer: nn.Module, like: Tensor) -> Iterator[Tensor]:
    """The weight as the layer would compute with it: cast, patched, on the device."""
    weight, bias, *stream = comfy.ops.cast_bias_weight(layer, like, **OFFLOADABLE)
    try:
        yield weight.dequantize() if hasattr(weight, "_layout_cls") else weight
    finally:
        if OFFLOADABLE:
            comfy.ops.uncast_bias_weight(layer, weight, bias, *stream)
