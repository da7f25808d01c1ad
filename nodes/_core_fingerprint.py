"""Telling core's models apart by a few values of each weight: of 28 GB, all would take a minute."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

VALUES = 64  # of each weight, spread evenly


@torch.inference_mode(False)
@torch.no_grad()
def fingerprint_of(patcher: Any) -> str:
    """A text that differs when the weights of a core ModelPatcher do, or the LoRAs on it.

    It is the same before and after core has loaded the model and added the LoRAs to its weights.
    """
    digest = hashlib.sha256()
    for name, parts in sorted(patcher.get_key_patches().items()):
        digest.update(name.encode())
        for part in _leaves(parts):
            digest.update(_sample(part) if isinstance(part, Tensor) else repr(part).encode())
    return digest.hexdigest()


def _leaves(value: Any) -> Iterator[Any]:
    """Tensors and plain values of a weight with its patches; functions say nothing."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(one)
    elif hasattr(value, "weights"):  # a LoRA as core keeps it
        yield type(value).__name__
        yield from _leaves(value.weights)
    elif isinstance(value, Tensor | str | int | float | type(None)):
        yield value


def _sample(weight: Tensor) -> bytes:
    flat = weight.detach().reshape(-1)
    flat = flat.view(torch.uint8) if flat.element_size() == 1 else flat  # float8 cannot be indexed
    at = torch.arange(min(VALUES, len(flat))) * len(flat) // VALUES if len(flat) > VALUES else torch.arange(len(flat))
    values = flat[at.to(flat.device)].float().cpu()
    return f"{tuple(weight.shape)} {weight.dtype}".encode() + values.numpy().tobytes()
