"""Train stage 1 (the mask video) and stage 2 (the video), each in its own process, in the autoencoder's latents."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import interpolate

from ivg_core.hands.landmarks import load_landmark_net
from ivg_core.models.schedule import DiffusionSchedule
from ivg_core.training.asked import freeze_outside
from ivg_core.training.losses import (
    latent_motion_score,
    motion_loss,
    noise_loss,
)
from ivg_core.training.objective import START_OF_SAMPLING
from ivg_core.training.pixel_losses import soft_iou_loss
from recipes.embedded.parts import LATENT_SCALE, SCHEDULER_CONFIG, TEXT_WIDTH, PlainAttention
from recipes.embedded.sentences import paraphrase
from recipes.embedded2.draw import GROWN, HANDS, Drawn, Folder, Size, unpack
from recipes.embedded2.hands import look, structure
from recipes.embedded2.loop import begin, fit, half, in_half, untried
from recipes.embedded2.parts import build_unet, build_vae
from recipes.embedded2.text import read_texts, texts, train_text
from recipes.embedded2.vae import draw_index, regions

#: Ways in which each sentence is said.
SAYINGS = 3
#: Seconds for which a stage encodes what lies there before it begins to learn.
FILLING = 10.0
#: Frames that the first part of a stage sees: enough to learn where, at a quarter of the cost of learning when.
FEW = (3, 7, 11, 15)
#: What the nodes say when nobody chooses a motion strength; half of the clips are told it, whatever their own.
USUAL_STRENGTH = 5.0


class Encoder:
    """The frozen autoencoder and text encoder on the device."""

    def __init__(self, folder: Path, device: str, size: Size):
        self.device, self.size = device, size
        vae = build_vae()
        vae.load_state_dict(load_file(folder / "vae.safetensors"))
        self.vae: Any = in_half(vae.to(device).eval().requires_grad_(False))
        self.tokenizer, text = texts(folder)
        text.load_state_dict(load_file(folder / "text.safetensors"))
        self.text = text.to(device).eval()
        self.empty = read_texts(self.text, self.tokenizer, [""], device)  # (1, 77, D)

    @torch.no_grad()
    def pictures(self, pixels: Tensor) -> Tensor:
        """(N, 1 or 3, H, W) uint8 → scaled latents (N, 4, h, w)."""
        parts = []
        for chunk in pixels.split(256):
            with half(self.device):
                shown = (chunk.float() / 127.5 - 1).expand(-1, 3, -1, -1)
                latent = self.vae.encode(shown).latent_dist.mode()
            parts.append((latent.float() * LATENT_SCALE).half())
        return torch.cat(parts)

    def say(self, sentences: list[str], rng: random.Random) -> Tensor:
        """Sentences in several wordings (N, SAYINGS, 77, D)."""
        said = [paraphrase(sentence, rng) for sentence in sentences for _ in range(SAYINGS)]
        return read_texts(self.text, self.tokenizer, said, self.device).unflatten(0, (-1, SAYINGS))

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (N, 4, h, w) → pixels (N, 3, H, W), 0..1, with gradient."""
        with half(self.device):
            shown = self.vae.decode(latents / LATENT_SCALE).sample
        return (shown.float() * 0.5 + 0.5).clamp(0, 1)


class Noising:
    """What chance decides about a batch, as in :class:`ivg_core.training.objective.Denoising`, all on the device."""

    def __init__(self, device: str):
        self.schedule = DiffusionSchedule(SCHEDULER_CONFIG)
        self.schedule.scheduler.alphas_cumprod = self.schedule.alphas_cumprod.to(device)
        self.device = device

    def __call__(self, x0: Tensor, photo: Tensor, from_photo: float, early: int, below: float):
        """Draw timesteps and noise.

        Args:
            x0, photo: (B, 4, F, h, w), (B, 4, 1, h, w).
            from_photo: share of the clips that begin as sampling begins, from the photo's latents in much noise.
            early: the first so many clips of the batch get a timestep below a share of the schedule,
            below: this one, where losses on pixels make sense.

        Returns:
            timesteps (B,), noisy latents, target.
        """
        count, total = len(x0), len(self.schedule)
        t = draw_index(total, count, self.device)
        begins = torch.rand(count, device=self.device) < from_photo
        begins[:early] = False
        first = START_OF_SAMPLING * total
        t = torch.where(begins, (first + torch.rand(count, device=self.device) * (total - first)).long(), t)
        if early:
            t[:early] = draw_index(below * total, early, self.device)
        noise = torch.randn_like(x0)
        shown = begins.reshape(-1, 1, 1, 1, 1)
        noisy = self.schedule.add_noise(torch.where(shown, photo, x0), noise, t)
        a = self.schedule.signal(t).reshape(-1, 1, 1, 1, 1)
        noise = torch.where(shown, (noisy - a.sqrt() * x0) / (1 - a).sqrt(), noise)  # what would lead back to x0
        return t, noisy, self.schedule.target(x0, noise, t)

    def x0(self, noisy: Tensor, output: Tensor, t: Tensor) -> Tensor:
        return self.schedule.to_x0(output, noisy, t)


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


def new_network(device: str, size: Size, batch: int, strength: bool) -> Any:
    """A UNet on the device; on a GPU with the attention that proves fastest for batches of that size."""
    if device == "cpu":
        return in_half(build_unet().train())
    network = in_half(build_unet(plain=False).to(device).train())
    usual: dict[str, Any] = dict(network.attn_processors)
    h, w = size.height // 8, size.width // 8

    def run(clips: int, frames: int) -> float:
        x = torch.randn(clips, 4, frames, h, w, device=device)
        t = torch.zeros(clips, dtype=torch.long, device=device)
        mask = torch.ones(clips if strength else 1, 1, 1, h, w, device=device)
        text = torch.randn(clips, 77, TEXT_WIDTH, device=device)
        torch.cuda.synchronize()
        began = time.time()
        with half(device):
            output = network(x, t, text, x[:, :, :1], mask, torch.ones(clips, device=device) if strength else None)
        output.float().square().mean().backward()
        network.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        return time.time() - began

    def choose(kernel: str, plain: str) -> None:
        for name in ("cudnn", "flash", "mem_efficient"):
            getattr(torch.backends.cuda, f"enable_{name}_sdp")(name == kernel)
        chosen = {
            name: PlainAttention()
            if plain == "all" or (plain == "time" and ("temp_" in name or "transformer_in" in name))
            else p
            for name, p in usual.items()
        }
        network.set_attn_processor(chosen)

    found: dict[tuple[str, str], float] = {}
    for way in (
        ("cudnn", ""),
        ("flash", ""),
        ("mem_efficient", ""),
        ("flash", "time"),
        ("cudnn", "time"),
        ("flash", "all"),
    ):
        try:
            choose(*way)
            run(batch, size.frames)
            found[way] = min(run(batch, size.frames) for _ in range(4))
        except RuntimeError as error:
            print(f"attention {way}: {str(error)[:100]}", flush=True)
    best = min(found, key=lambda way: found[way])
    choose(*best)
    run(3 * batch, len(FEW))  # the first part's convolutions are tried out here, too
    print("attention: " + ", ".join(f"{' '.join(way)} {1000 * took:.0f} ms" for way, took in found.items()), flush=True)
    return network


def go_on(network: Any, path: Path) -> float:
    """Take up weights of an earlier run, if there are any; how long the part that sees few frames should last."""
    if not path.exists():
        return 0.35
    network.load_state_dict(load_file(path))
    print(f"goes on from {path}", flush=True)
    return 0.1


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.3)


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
    _fill("stage1", items, source, 4 if device == "cpu" else 200)
    noising = Noising(device)
    mask = torch.ones(1, 1, 1, size.height // 8, size.width // 8, device=device)
    early = max(batch // 4, 1)

    def loss_of(network: Any, batch: int, frames: list[int] | None, pixels: int) -> tuple[Tensor, dict[str, Tensor]]:
        item = draw_index(items.count, batch, device)
        x0 = items.masks[item].float().transpose(1, 2)
        x0 = x0 if frames is None else torch.stack([x0[:, :, f] for f in frames], 2)
        photo = items.photo[item].float()
        text = _text(items, item, encoder)
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

    few, first = [f for f in FEW if f < size.frames], go_on(network, out / "stage1.safetensors")
    fit(
        "stage1",
        network,
        [
            (first, lambda network: loss_of(network, 3 * batch, few, 0)),
            (0.65, lambda network: loss_of(network, batch, None, 0)),
            (1.0, lambda network: loss_of(network, batch, None, early)),
        ],
        folder=folder,
        out=out,
        start=time.time(),
        end=end,
        learning_rate=1.5e-3,
        between=lambda: items.take(source.fresh(40)),
        every=4.0,
    )
    print(f"stage1: {items.filled} sentences", flush=True)


def stage2_loss(items: Clips) -> Callable[[Any, int, list[int] | None, int], tuple[Tensor, dict[str, Tensor]]]:
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
        item = draw_index(items.count, batch, device)
        clip = items.clip[item].float().transpose(1, 2)
        photo, moving = clip[:, :, :1], items.moving[item].float()[:, None]
        white = (torch.rand(batch, device=device) < 0.05).long()
        kind = draw_index(len(GROWN), batch, device) * (1 - white) + len(GROWN) * white
        mask = items.rom[item, kind].float()[:, None, None]
        x0 = freeze_outside(clip, photo, mask)
        motion = latent_motion_score(x0)
        strength = motion + (USUAL_STRENGTH - motion) * (torch.rand(batch, device=device) < 0.5).float()
        if frames is not None:
            x0 = torch.stack([x0[:, :, f] for f in frames], 2)
            moving = torch.stack([moving[:, :, f] for f in frames], 2)
        text = _text(items, item, encoder)
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
    _fill("stage2", items, source, 4 if device == "cpu" else 200)
    loss_of, early = stage2_loss(items), max(3 * batch // 8, 1)
    few, first = [f for f in FEW if f < size.frames], go_on(network, out / "stage2.safetensors")
    fit(
        "stage2",
        network,
        [
            (first, lambda network: loss_of(network, 3 * batch, few, 0)),
            (0.65, lambda network: loss_of(network, batch, None, 0)),
            (1.0, lambda network: loss_of(network, batch, None, early)),
        ],
        folder=folder,
        out=out,
        start=time.time(),
        end=end,
        learning_rate=1.5e-3,
        between=lambda: items.take(source.fresh(48)),
        every=4.0,
    )
    print(f"stage2: {items.filled} clips", flush=True)


def pick(latents: Tensor, frame: Tensor) -> Tensor:
    """One frame (N, 4, h, w) of each clip (N, 4, F, h, w)."""
    index = frame.reshape(-1, 1, 1, 1, 1).expand(-1, latents.shape[1], 1, *latents.shape[-2:])
    return latents.gather(2, index)[:, :, 0]


def _fill(name: str, items: Any, source: Folder, chunk: int) -> None:
    """Take what has been drawn so far."""
    began = time.time()
    while scenes := source.fresh(chunk):
        with untried():
            items.take(scenes)
        if time.time() - began > FILLING or items.filled >= items.capacity:
            break
    print(f"{name}: begins with {items.filled}, encoded in {time.time() - began:.0f} s", flush=True)


def _text(items: Any, item: Tensor, encoder: Encoder) -> Tensor:
    """Text states of some items, each in one of its wordings; one in twenty is empty."""
    text = items.text[item, draw_index(SAYINGS, len(item), encoder.device)].float()
    silent = torch.rand(len(item), device=encoder.device) < 0.05
    return torch.where(silent[:, None, None], encoder.empty, text)
