"""Tiny transformers of Wan with random weights, in the layout of the published files; written without ComfyUI."""

from __future__ import annotations

import pathlib

import torch
from safetensors.torch import save_file

DIM, HIDDEN, TEXT, WAVES = 128, 64, 4096, 256  # one head of core's 128
PATCH = (1, 2, 2)


def wan_weights(channels: int, layers: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    """The tensors of a transformer that reads and makes so many channels: 48 is Wan 2.2 5B, 16 Wan 2.1 T2V."""
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, into: int, out: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, into), (out,)

    shapes["patch_embedding.weight"], shapes["patch_embedding.bias"] = (DIM, channels, *PATCH), (DIM,)
    for name, into, out in (
        ("text_embedding.0", TEXT, DIM),
        ("text_embedding.2", DIM, DIM),
        ("time_embedding.0", WAVES, DIM),
        ("time_embedding.2", DIM, DIM),
        ("time_projection.1", DIM, 6 * DIM),
        ("head.head", DIM, channels * PATCH[1] * PATCH[2]),
    ):
        linear(name, into, out)
    shapes["head.modulation"] = (1, 2, DIM)
    for block in (f"blocks.{k}" for k in range(layers)):
        shapes[f"{block}.modulation"] = (1, 6, DIM)
        linear(f"{block}.norm3", DIM, DIM)
        shapes[f"{block}.norm3.weight"] = (DIM,)
        linear(f"{block}.ffn.0", DIM, HIDDEN)
        linear(f"{block}.ffn.2", HIDDEN, DIM)
        for attention in ("self_attn", "cross_attn"):
            for part in "qkvo":
                linear(f"{block}.{attention}.{part}", DIM, DIM)
            for part in "qk":
                shapes[f"{block}.{attention}.norm_{part}.weight"] = (DIM,)
    draw = torch.Generator().manual_seed(seed)

    def drawn(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        noise = torch.randn(shape, generator=draw)
        if len(shape) > 1:
            return noise / noise[0].numel() ** 0.5
        return 0.1 * noise + ("norm" in name and name.endswith("weight"))

    return {name: drawn(name, shape) for name, shape in shapes.items()}


def write_wan(path: pathlib.Path, channels: int) -> pathlib.Path:
    """Such a transformer as a file for core's Load Diffusion Model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(wan_weights(channels), path)
    return path
