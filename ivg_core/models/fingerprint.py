"""Telling networks apart by their weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def fingerprint(network: nn.Module) -> str:
    """A hash of a network's weights."""
    return _hash(network.state_dict().items())


def base_fingerprint(network: nn.Module) -> str:
    """A hash of the weights that no LoRA changes (norms and biases), so that it is the base's with a LoRA on it too.

    They are rounded to 16 bits first: the same file loaded in another number format is the same network.
    """
    return fingerprint_of_weights(network.state_dict())


def fingerprint_of_weights(weights: Mapping[str, Tensor]) -> str:
    """The `base_fingerprint` of the network that has these weights, by name."""
    vectors = ((name, x) for name, x in weights.items() if x.ndim == 1)
    return _hash((name, x.to(torch.bfloat16)) for name, x in vectors)


def _hash(weights: Iterable[tuple[str, Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(weights, key=lambda pair: pair[0]):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
