"""Step 3: encode the scenes once, since both stages train in the autoencoder's latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from ivg_core.synthetic.dataset import load_shard
from recipes.embedded.parts import FRAMES, HEIGHT, LATENT_SCALE, WIDTH, to_pixels

SENTENCES = 2


@torch.no_grad()
def encode_shard(vae: Any, shard: Path, target: Path) -> None:
    """Encode one shard's clips, and the mask clips of its first two sentences, to scaled latents (fp16)."""
    frames, rom, _ = load_shard(shard)

    def encode(pixels: np.ndarray) -> Tensor:
        parts = []
        for chunk in to_pixels(pixels.reshape(-1, HEIGHT, WIDTH, 3)).split(16):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                parts.append((vae.encode(chunk).latent_dist.mode().float() * LATENT_SCALE).half())
        return torch.cat(parts)

    count = frames.shape[0]
    clips = encode(frames).unflatten(0, (count, FRAMES))  # (N, F, 4, h, w)
    rgb = np.repeat(rom[:, :SENTENCES, ..., None].astype(np.uint8) * 255, 3, -1)
    masks = encode(rgb).unflatten(0, (count, SENTENCES, FRAMES))  # (N, S, F, 4, h, w)
    partial = target.with_suffix(".part")
    save_file({"clips": clips.contiguous(), "masks": masks.contiguous()}, partial)
    partial.replace(target)
