"""Timing that is fair: peers take turns, the middle of several runs counts, and it is set against what is possible."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ..models.unet import IVGUNet


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long `work` takes; on a CPU in processor seconds of all threads, so that other programs do not count."""
    if device.type == "cpu":
        began = time.process_time()
        work()
        return time.process_time() - began
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - began


def alternate(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Lets all take turns, each round beginning with another one, after a round that does not count.

    Args:
        runs: name -> a run that returns its seconds.
        rounds: >= 1.

    Returns:
        name -> median seconds.
    """
    names = list(runs)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            spent = runs[name]()
            if number:
                taken[name].append(spent)
    return {name: statistics.median(spent) for name, spent in taken.items()}


def matmul_ceiling(device: torch.device, dtype: torch.dtype, side: int = 2048, rounds: int = 5) -> float:
    """FLOP/s of a large square `torch.matmul`, by the same clock as `seconds`: what no network can pass."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / alternate({"matmul": lambda: seconds(lambda: a @ b, device)}, rounds)["matmul"]


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


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, (tuple, list)):
        return [tensor for value in values for tensor in _tensors(value)]
    return []
