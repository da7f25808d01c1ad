"""The optimiser with its groups, and the learning rate over the steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..errors import IVGError
from .config import TrainConfig


def make_optimizer(config: TrainConfig, groups: dict[str, tuple[list[nn.Parameter], float]]) -> torch.optim.Optimizer:
    """AdamW, in float32 or with 8-bit moments.

    Args:
        config: optimizer, betas, weight_decay.
        groups: name -> (parameters, peak learning rate); a group's `peak` and `name` stay readable in `param_groups`.

    Raises:
        IVGError: 8 bits were asked for and bitsandbytes is not there.
    """
    kind: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW
    if config.optimizer == "adamw8bit":
        try:
            import bitsandbytes  # type: ignore[import-not-found]
        except ImportError as error:
            raise IVGError(
                "optimizer adamw8bit needs the package bitsandbytes, which is not installed: "
                "`pip install bitsandbytes`, or set optimizer: adamw."
            ) from error
        kind = bitsandbytes.optim.AdamW8bit
    listed: list[dict[str, Any]] = [
        {"params": parameters, "lr": rate, "peak": rate, "name": name} for name, (parameters, rate) in groups.items()
    ]
    return kind(listed, betas=config.betas, eps=1e-8, weight_decay=config.weight_decay)


def rate_factor(config: TrainConfig, step: int) -> float:
    """What the peak rate is multiplied by in step 0, 1, …: a linear warm-up, then constant or half a cosine to 0.1."""
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    if config.schedule == "constant":
        return 1.0
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.55 + 0.45 * math.cos(math.pi * done)
