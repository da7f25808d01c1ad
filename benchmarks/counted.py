"""How much one pass of the network computes and moves, counted without doing it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ivg_core.models.unet import IVGUNet


def count_work(config: Mapping[str, Any], batch: int, frames: int, height: int, width: int) -> tuple[int, int]:
    """FLOP and bytes of one pass of the network that a config describes; nothing is computed and no memory taken.

    Args:
        config: of unet/config.json.
        batch, frames, height, width: of the latents; guidance makes the batch twice the number of clips.

    Returns:
        (FLOP, bytes read and written by all operations in float32).
    """
    with torch.device("meta"), torch.no_grad():
        unet = IVGUNet.from_config_dict(dict(config)).eval()
        told = {
            "sample": torch.empty(batch, 4, frames, height, width),
            "timestep": torch.empty(batch),
            "encoder_hidden_states": torch.empty(batch, 77, unet.config["cross_attention_dim"]),
            "condition_latent": torch.empty(batch, 4, 1, height, width),
            "mask": torch.empty(1, 1, 1, height, width),
            "motion": torch.empty(batch),
        }
        with FlopCounterMode(display=False) as flops, _Traffic() as traffic:
            unet(**told)
    return flops.get_total_flops(), traffic.total


class _Traffic(TorchDispatchMode):
    """Adds up the bytes that operations read and write; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = itertools.chain(_tensors(args), _tensors(result))
            self.total += sum(x.numel() * x.element_size() for x in tensors)
        return result


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, (tuple, list)):
        return [tensor for value in values for tensor in _tensors(value)]
    return []
