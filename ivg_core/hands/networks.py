"""The layers that both networks are made of, and reading their weights.

The published networks were trained in TensorFlow. Where a layer halves an even side, TensorFlow's padding is a pixel
longer at the end than at the beginning, so it is written out here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import pad

ASSETS = Path(__file__).parents[1] / "assets"
#: The files of the networks that a `HandTracker` looks through.
TRACKING = tuple(ASSETS / f"hands-mediapipe-{name}.safetensors" for name in ("palm", "landmark"))
Network = TypeVar("Network", bound=nn.Module)


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding, for stride 1 and for stride 2 on even sides."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(
            inputs, outputs, kernel, stride, padding=(kernel - 1) // 2 if stride == 1 else 0, groups=groups
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 2:
            before, after = (self.kernel_size[0] - 2) // 2, (self.kernel_size[0] - 1) // 2
            x = pad(x, (before, after, before, after))
        return super().forward(x)


def depthwise(channels: int, kernel: int, stride: int = 1) -> SameConv:
    """Every channel for itself."""
    return SameConv(channels, channels, kernel, stride, groups=channels)


def pointwise(inputs: int, outputs: int) -> SameConv:
    """Every pixel for itself."""
    return SameConv(inputs, outputs, 1)


def read_weights(network: Network, name: str, device: torch.device | str, dtype: torch.dtype) -> Network:
    """Fill a network with the weights that ship in `ivg_core/assets`, frozen; gradients still flow through it."""
    network.load_state_dict(load_file(ASSETS / name))
    return network.requires_grad_(False).eval().to(device, dtype)
