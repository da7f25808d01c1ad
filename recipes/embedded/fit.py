"""A small training loop: seeded per step, with an average of the weights, stopped and resumed at any step."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

#: The modules reach the loss by name, as whatever class they are.
Loss = Callable[[Any, torch.Generator], tuple[Tensor, dict[str, float]]]


def fit(
    name: str,
    modules: nn.ModuleDict,
    loss_of: Loss,
    *,
    folder: Path,
    steps: int,
    learning_rate: float,
    warmup: int = 100,
    ema_decay: float = 0.995,
    weight_decay: float = 0.01,
    clip: float = 1.0,
    save_every: int = 100,
    log: Callable[[str], None] = print,
) -> Any:
    """Train ``modules`` and give back the average of their weights.

    Every step draws from a generator seeded by its own number, so a run that was stopped goes on as if it had not been.

    Args:
        name: of the checkpoint file ``<name>.pt`` in ``folder``.
        modules: what is trained; parameters without ``requires_grad`` stay as they are.
        loss_of: given the modules and the step's generator, draws a batch and gives the loss and the figures to log.
        folder: where the checkpoint lives; one that is there is resumed.
        steps: in all, those of an earlier run included.
        learning_rate: peak; linear warm-up over ``warmup`` steps, then a half cosine to a tenth.
        ema_decay: of the averaged weights.
        clip: largest norm of the gradient.
        save_every: steps between checkpoints.
        log: receives one line now and then.

    Returns:
        The averaged modules by name (an ``nn.ModuleDict``), in eval mode.
    """
    average = copy.deepcopy(modules).eval().requires_grad_(False)
    trained = [p for p in modules.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, betas=(0.9, 0.99), weight_decay=weight_decay)
    checkpoint = folder / f"{name}.pt"
    start, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        modules.load_state_dict(state["modules"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        start, spent = state["step"], state["seconds"]
        log(f"{name}: resumed at step {start}")
    began = time.monotonic() - spent
    running: dict[str, float] = {}
    for step in range(start, steps):
        rate = learning_rate * min(1.0, (step + 1) / warmup) * (0.55 + 0.45 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, figures = loss_of(modules, torch.Generator().manual_seed(step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, clip)
        optimizer.step()
        with torch.no_grad():
            decay = min(ema_decay, (step + 1) / (step + 10))
            for kept, new in zip(average.parameters(), modules.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
        for key, value in {"loss": loss.item(), **figures}.items():
            running[key] = value if key not in running else 0.98 * running[key] + 0.02 * value
        if (step + 1) % 50 == 0 or step + 1 == steps:
            shown = "  ".join(f"{key} {value:.4f}" for key, value in running.items())
            log(f"{name}: step {step + 1}/{steps}  {shown}  {time.monotonic() - began:.0f} s")
        if (step + 1) % save_every == 0 or step + 1 == steps:
            _save(checkpoint, modules, average, optimizer, step + 1, time.monotonic() - began)
    return average


def _save(path: Path, modules, average, optimizer, step: int, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    state = {
        "modules": modules.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "seconds": seconds,
    }
    torch.save(state, partial)
    os.replace(partial, path)
