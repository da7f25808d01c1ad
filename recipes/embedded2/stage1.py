"""Train stage 1, photo and sentence to the mask video, in the autoencoder's latents, in a process of its own."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ivg_core.training.losses import noise_loss
from ivg_core.training.pixel_losses import soft_iou_loss
from recipes.embedded.parts import TEXT_WIDTH
from recipes.embedded2.draw import Drawn, Folder, Size, unpack
from recipes.embedded2.loop import begin, half
from recipes.embedded2.stages import (
    SAYINGS,
    Encoder,
    Noising,
    fill,
    new_network,
    pick,
    text_of,
    train_parts,
    wait_for,
)
from recipes.embedded2.text import train_text
from recipes.embedded2.vae import draw_index


class Masks:
    """What stage 1 learns from: one item a sentence, in arrays of a fixed size that fill up."""

    def __init__(self, capacity: int, encoder: Encoder):
        width, height, frames = encoder.size
        self.encoder, self.capacity, self.filled = encoder, capacity, 0
        new, h, w = encoder.empty.new_zeros, height // 8, width // 8
        self.photo = new(capacity, 4, 1, h, w, dtype=torch.half)
        self.masks = new(capacity, frames, 4, h, w, dtype=torch.half)
        self.bits = new(capacity, frames, height, width // 8, dtype=torch.uint8)
        self.text = new(capacity, SAYINGS, 77, TEXT_WIDTH, dtype=torch.half)
        self.count = new(())
        self.rng = random.Random(1)

    def take(self, scenes: list[Drawn]) -> None:
        """Encode scenes."""
        device = self.encoder.device
        rows = [(scene, row) for scene in scenes for row in range(len(scene.texts))][: self.capacity - self.filled]
        if not rows:
            return
        at = slice(self.filled, self.filled + len(rows))
        photos = torch.from_numpy(np.stack([scene.frames[0] for scene, _ in rows])).to(device)
        self.photo[at] = self.encoder.pictures(photos.permute(0, 3, 1, 2))[:, :, None]
        bits = torch.from_numpy(np.stack([scene.rom[row] for scene, row in rows])).to(device)  # (N, F, H, W / 8)
        self.bits[at] = bits
        masks = torch.cat(
            [self.encoder.pictures(unpack(part)[:, None] * 255) for part in bits.flatten(0, 1).split(256)]
        )
        self.masks[at] = masks.unflatten(0, bits.shape[:2])
        self.text[at] = self.encoder.say([scene.texts[row] for scene, row in rows], self.rng).half()
        self.filled += len(rows)
        self.count.fill_(self.filled)

    def moving(self, item: Tensor, frame: Tensor) -> Tensor:
        """Frame masks (N, H, W) of 0 and 1."""
        return unpack(self.bits[item, frame]).float()


def train_stage1(folder: Path, out: Path, device: str, size: Size, batch: int, start: float, end: float) -> None:
    """Teach a network to turn photo and sentence into the mask video; the second half looks at pixels too."""
    begin(device, 2)
    if not (folder / "text.safetensors").exists():
        train_text(folder, out, device, 500 if device == "cuda" else 5)
    network = new_network(device, size, batch, False)
    wait_for(folder / "vae.safetensors")
    encoder = Encoder(folder, device, size)
    items = Masks(24000 if device == "cuda" else 12, encoder)
    source = Folder(folder / "scenes", "*.npz")
    fill("stage1", items, source, 4 if device == "cpu" else 200)
    noising = Noising(device)
    mask = torch.ones(1, 1, 1, size.height // 8, size.width // 8, device=device)
    early = max(batch // 4, 1)

    def loss_of(network: Any, batch: int, frames: list[int] | None, pixels: int) -> tuple[Tensor, dict[str, Tensor]]:
        item = draw_index(items.count, batch, device)
        x0 = items.masks[item].float().transpose(1, 2)
        x0 = x0 if frames is None else torch.stack([x0[:, :, f] for f in frames], 2)
        photo = items.photo[item].float()
        text = text_of(items, item)
        t, noisy, target = noising(x0, photo, 0.5, pixels, 0.7)
        with half(device):
            output = network(noisy, t, text, photo, mask).float()
        loss = noise_loss(output, target)
        figures = {"noise": loss}
        if pixels:
            frame = draw_index(size.frames, pixels, device)
            shown = encoder.decode(pick(noising.x0(noisy, output, t)[:pixels], frame)).mean(1, keepdim=True)
            figures["iou"] = soft_iou_loss(shown, items.moving(item[:pixels], frame)[:, None])
            loss = loss + 0.1 * figures["iou"]
        return loss, figures

    train_parts("stage1", network, items, source, 40, loss_of, early, batch, folder, out, end)
