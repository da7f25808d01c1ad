"""Train stage 2, photo, sentence, mask and motion strength to the video; at last it looks at hands."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ivg_core.hands.landmarks import load_landmark_net
from ivg_core.training.asked import freeze_outside
from ivg_core.training.losses import latent_motion_score, motion_loss, noise_loss
from recipes.embedded.parts import TEXT_WIDTH
from recipes.embedded2.draw import GROWN, HANDS, Drawn, Folder, Size, unpack
from recipes.embedded2.hands import look, structure
from recipes.embedded2.loop import begin, half
from recipes.embedded2.stages import (
    SAYINGS,
    Encoder,
    LossOf,
    Noising,
    fill,
    new_network,
    pick,
    text_of,
    train_parts,
    wait_for,
)
from recipes.embedded2.vae import draw_index, regions

#: What the nodes say when nobody chooses a motion strength; half of the clips are told it, whatever their own.
USUAL_STRENGTH = 5.0


class Clips:
    """What stage 2 learns from: every clip as it is and mirrored."""

    def __init__(self, capacity: int, encoder: Encoder):
        width, height, frames = encoder.size
        self.encoder, self.capacity, self.filled = encoder, capacity, 0
        new, h, w = encoder.empty.new_zeros, height // 8, width // 8
        self.clip = new(capacity, frames, 4, h, w, dtype=torch.half)
        self.moving = new(capacity, frames, h, w, dtype=torch.half)
        self.rom = new(capacity, len(GROWN) + 1, h, w, dtype=torch.half)  # the last one is white
        self.text = new(capacity, SAYINGS, 77, TEXT_WIDTH, dtype=torch.half)
        self.rois = torch.full((capacity, frames, HANDS, 4), torch.nan, device=encoder.device)
        self.joints = new(capacity, frames, HANDS, 21, 2)
        self.count = new(())
        self.net = load_landmark_net(device=encoder.device)
        self.rng = random.Random(2)

    def take(self, scenes: list[Drawn]) -> None:
        """Encode scenes, each as it is and mirrored."""
        device, (width, _, _) = self.encoder.device, self.encoder.size
        for start in range(0, len(scenes), 32):
            some = scenes[start : start + min(32, (self.capacity - self.filled) // 2)]
            if not some:
                return
            frames = torch.from_numpy(np.stack([scene.frames for scene in some])).to(device)  # (N, F, H, W, 3)
            moving = unpack(torch.from_numpy(np.stack([scene.rom[0] for scene in some])).to(device))
            grown = unpack(torch.from_numpy(np.stack([scene.grown for scene in some])).to(device))
            rois, joints = self._hands(frames, torch.from_numpy(np.stack([scene.rois for scene in some])).to(device))
            texts = [scene.texts[0] for scene in some]
            self._put(frames, moving, grown, rois, joints, texts)
            rois, joints = rois.clone(), joints.clone()
            rois[..., 0], rois[..., 3] = width - rois[..., 0], -rois[..., 3]
            joints[..., 0] = width - joints[..., 0]
            swap = {"left": "right", "right": "left"}
            texts = [" ".join(swap.get(word, word) for word in text.split()) for text in texts]
            self._put(frames.flip(3), moving.flip(3), grown.flip(3), rois, joints, texts)

    @torch.no_grad()
    def _hands(self, frames: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """Joints where the network sees them in the true frames; a hand it does not see there teaches nothing."""
        joints = rois.new_zeros(*rois.shape[:-1], 21, 2)
        places = rois.isfinite().all(-1).nonzero()  # (M, 3): clip, frame, hand
        for some in places.split(256):
            n, f, k = some.T
            found, presence = look(self.net, frames[n, f].permute(0, 3, 1, 2).float() / 255, rois[n, f, k])
            joints[n, f, k] = found
            rois[n, f, k] = torch.where((presence > 0)[:, None], rois[n, f, k], torch.nan)
        return rois, joints

    @torch.no_grad()
    def _put(
        self, frames: Tensor, moving: Tensor, grown: Tensor, rois: Tensor, joints: Tensor, texts: list[str]
    ) -> None:
        at, cells, count = slice(self.filled, self.filled + len(frames)), self.clip.shape[-2:], len(frames)
        pixels = frames.flatten(0, 1).permute(0, 3, 1, 2)
        self.clip[at] = self.encoder.pictures(pixels).unflatten(0, frames.shape[:2])
        self.moving[at] = interpolate(moving.float(), cells, mode="area").half()
        sized = interpolate(grown.float(), cells, mode="bilinear", align_corners=False)
        self.rom[at] = torch.cat([(sized >= 0.5).half(), sized.new_ones(count, 1, *cells).half()], 1)
        self.text[at] = self.encoder.say(texts, self.rng).half()
        self.rois[at], self.joints[at] = rois, joints
        self.filled += count
        self.count.fill_(self.filled)


class Asked(NamedTuple):
    """A batch as the network is asked for it."""

    item: Tensor  # (B,) rows of the clips
    x0: Tensor  # (B, 4, F, h, w), still outside the mask
    photo: Tensor  # (B, 4, 1, h, w)
    mask: Tensor  # (B, 1, 1, h, w)
    text: Tensor  # (B, 77, D)
    motion: Tensor  # (B,) motion score of x0
    strength: Tensor  # (B,) that the network is told


def ask(items: Clips, item: Tensor) -> Asked:
    """Clips with a mask each, grown by chance or white, and a wording of their sentence."""
    batch, device = len(item), item.device
    clip = items.clip[item].float().transpose(1, 2)
    photo = clip[:, :, :1]
    white = (torch.rand(batch, device=device) < 0.05).long()
    kind = draw_index(len(GROWN), batch, device) * (1 - white) + len(GROWN) * white
    mask = items.rom[item, kind].float()[:, None, None]
    x0 = freeze_outside(clip, photo, mask)
    motion = latent_motion_score(x0)
    strength = motion + (USUAL_STRENGTH - motion) * (torch.rand(batch, device=device) < 0.5).float()
    return Asked(item, x0, photo, mask, text_of(items, item), motion, strength)


def stage2_loss(items: Clips) -> LossOf:
    """What stage 2 minimises.

    Args:
        items: to learn from.

    Returns:
        Of a network, the clips of a batch, the frames that it sees (None: all) and how many of the clips are looked
        at for hands, in one frame each: the loss and figures to log.
    """
    encoder, size, device = items.encoder, items.encoder.size, items.encoder.device
    noising = Noising(device)

    def loss_of(network: Any, batch: int, frames: list[int] | None, hands: int) -> tuple[Tensor, dict[str, Tensor]]:
        item, x0, photo, mask, text, motion, strength = ask(items, draw_index(items.count, batch, device))
        moving = items.moving[item].float()[:, None]
        if frames is not None:
            x0 = torch.stack([x0[:, :, f] for f in frames], 2)
            moving = torch.stack([moving[:, :, f] for f in frames], 2)
        t, noisy, target = noising(x0, photo, 0.25, hands, 0.5)
        with half(device):
            output = network(noisy, t, text, photo, mask, strength).float()
        weight = 1 + 2 * moving
        noise = noise_loss(output, target, weight / weight.mean())
        x0_pred = noising.x0(noisy, output, t)
        loss, figures = noise, {"noise": noise, "motion": motion.mean()}
        if frames is None:
            loss = loss + 0.001 * motion_loss(x0_pred, motion)
        if hands:
            rows, frame = item[:hands], draw_index(size.frames, hands, device)
            acting = items.rois[rows, frame, 0].isfinite().all(-1) & (torch.rand(hands, device=device) < 0.8)
            hand = 1 - acting.long()
            hand = torch.where(items.rois[rows, frame, hand].isfinite().all(-1), hand, 1 - hand)
            rois, there = regions(items.rois[rows, frame, hand], size)
            weight = there * noising.schedule.signal(t[:hands])
            shown = encoder.decode(pick(x0_pred[:hands], frame))
            apart, off, presence = structure(items.net, shown, rois, items.joints[rows, frame, hand], weight)
            loss = loss + 4 * weight.mean() * apart
            figures |= {"hands": apart, "off": off, "presence": presence}
        return loss, figures

    return loss_of


def train_stage2(folder: Path, out: Path, device: str, size: Size, batch: int, start: float, end: float) -> None:
    """Teach a network to turn photo, sentence, mask and motion strength into the video; at last it looks at hands."""
    begin(device, 3)
    network = new_network(device, size, batch, True)
    wait_for(folder / "text.safetensors")
    wait_for(folder / "vae.safetensors")
    encoder = Encoder(folder, device, size)
    items = Clips(14000 if device == "cuda" else 8, encoder)
    source = Folder(folder / "scenes", "clip-*.npz")
    fill("stage2", items, source, 4 if device == "cpu" else 200)
    loss_of, early = stage2_loss(items), max(3 * batch // 8, 1)
    train_parts("stage2", network, items, source, 48, loss_of, early, batch, folder, out, end)
