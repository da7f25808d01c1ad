"""Weights that autograd takes, of networks that ComfyUI loads."""

from __future__ import annotations

import torch
from torch import nn


@torch.inference_mode(False)
def make_ordinary(network: nn.Module) -> None:
    """Gives a network weights that autograd takes: those that ComfyUI moved or patched in inference mode are not."""
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.is_inference():
                setattr(module, name, nn.Parameter(parameter.clone(), requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_inference():
                setattr(module, name, buffer.clone())
