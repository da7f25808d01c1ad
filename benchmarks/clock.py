"""How long things take, turn by turn, and how fast a matrix product can be."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long `work` takes; on a CPU in processor seconds of all threads, so that other programs do not count."""
    if device.type != "cpu":
        return elapsed(work, device)
    began = time.process_time()
    work()
    return time.process_time() - began


def elapsed(work: Callable[[], object], device: torch.device) -> float:
    """How long `work` takes on a clock, until a GPU has done all of it."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda _: None
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began


def alternate(
    runs: Mapping[str, Callable[[], float]], rounds: int, warm_up: Mapping[str, Callable[[], object]] | None = None
) -> dict[str, float]:
    """Lets all take turns, each round beginning with another one, after a round that does not count.

    Args:
        runs: name -> a run that returns its seconds.
        rounds: >= 1.
        warm_up: runs for the round that does not count, where there are shorter ones; None: the same.

    Returns:
        name -> median seconds.
    """
    names = list(runs)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        (warm_up or runs)[name]()
    for number in range(1, rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(runs[name]())
    return {name: statistics.median(spent) for name, spent in taken.items()}


def matmul_ceiling(device: torch.device, dtype: torch.dtype, side: int = 2048, rounds: int = 5) -> float:
    """FLOP/s of a large square `torch.matmul`, by the same clock as `seconds`: what no network can pass."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / alternate({"matmul": lambda: seconds(lambda: a @ b, device)}, rounds)["matmul"]
