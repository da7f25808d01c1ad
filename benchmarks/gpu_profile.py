"""Where the time of a piece of work goes, by kinds of operations."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.clock import elapsed

#: Kinds of operations by their names, the first that fits; what fits none is "other".
KINDS = {
    "convolution": "conv",
    "attention": "attention",
    "linear": r"addmm|mm\b|linear|matmul",
    "normalisation": "norm",
    "elementwise_and_copies": r"add|sub|mul|div|neg|pow|exp|sin|cos|sqrt|silu|gelu|sigmoid|softmax|copy|cat|clone|fill"
    r"|zero|where|index|pad|upsample|arange|mean|sum|to\b",
}


def kind_of(name: str) -> str:
    """Of `KINDS`, or "other".

    Args:
        name: of an operation, such as "aten::addmm".
    """
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), "other")


def shares_of_time(work: Callable[[], object], device: torch.device, listing: Path) -> dict[str, float]:
    """The share of each kind of operations in what `work` takes on the device.

    Args:
        work: is done once to warm up, once by a clock and once to be looked at.
        device: whose time counts.
        listing: file for the longest operations.

    Returns:
        `share_of_time_<kind>`, 1 together. On a GPU also `share_of_clock_busy`, of the time by the clock in which it
        worked: what is missing from 1, it waited for the CPU.
    """
    on_gpu = device.type == "cuda"
    work()
    clock = elapsed(work, device)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=kinds) as seen:
        elapsed(work, device)
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    averages = seen.key_averages()
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text(averages.table(sort_by=key, row_limit=40))
    spent = dict.fromkeys([*KINDS, "other"], 0.0)
    for event in averages:
        if event.key.startswith("aten::"):  # to which the kernels that it started are counted
            spent[kind_of(event.key)] += getattr(event, key)
    total = sum(spent.values())
    figures = {f"share_of_time_{kind}": value / total for kind, value in spent.items()}
    return figures | ({"share_of_clock_busy": total / 1e6 / clock} if on_gpu else {})
