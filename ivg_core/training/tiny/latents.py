"""Step 3: encode the scenes once, since both stages train in the autoencoder's latents."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...synthetic.clips import CUTTING_VERBS
from ...synthetic.dataset import load_shard
from .parts import FRAMES, HEIGHT, LATENT_SCALE, WIDTH, to_pixels

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


class LatentScenes:
    """All encoded scenes in memory, drawn from so that every action comes equally often."""

    def __init__(self, latents: list[Path], shards: list[Path]):
        clips, masks, unions, self.texts = [], [], [], []
        for latent, shard in zip(latents, shards, strict=True):
            state = load_file(latent)
            clips.append(state["clips"])
            masks.append(state["masks"])
            _, rom, texts = load_shard(shard)
            unions.append(torch.from_numpy(rom[:, 0].any(1)))
            self.texts += texts
        self.clips = torch.cat(clips)  # (N, F, 4, h, w)
        self.masks = torch.cat(masks)  # (N, S, F, 4, h, w)
        self.unions = torch.cat(unions)  # (N, H, W) bool: the exact Region of Motion of the rendered clip
        self._by_action: dict[str, list[tuple[int, int]]] = {}  # (scene, sentence) pairs; sentence 0 is the clip's
        for scene, sentences in enumerate(self.texts):
            for row, sentence in enumerate(sentences[:SENTENCES]):
                if sentence:
                    verb = sentence.split()[0]
                    action = "cut" if verb in CUTTING_VERBS else verb
                    self._by_action.setdefault(action, []).append((scene, row))

    def draw(self, count: int, rng: random.Random, clips_only: bool = False) -> tuple[list[int], list[int]]:
        """Scenes and sentences to train on: stirring is ten times rarer than picking up, and not ten times easier.

        Args:
            count: of the pairs.
            rng: decides.
            clips_only: only sentences that a clip was rendered of.

        Returns:
            Indices of the scenes, and of one sentence about each.
        """
        scenes, rows = [], []
        while len(scenes) < count:
            scene, row = rng.choice(self._by_action[rng.choice(sorted(self._by_action))])
            if row == 0 or not clips_only:
                scenes.append(scene)
                rows.append(row)
        return scenes, rows
