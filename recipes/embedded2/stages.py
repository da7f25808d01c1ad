"""What both stages share: clips encoded on the device, noise, the network, and how a batch is put together."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ivg_core.models.schedule import DiffusionSchedule
from ivg_core.training.objective import START_OF_SAMPLING
from recipes.embedded.parts import LATENT_SCALE, SCHEDULER_CONFIG, TEXT_WIDTH, PlainAttention
from recipes.embedded.sentences import paraphrase
from recipes.embedded2.draw import Folder, Size
from recipes.embedded2.loop import fit, half, in_half, untried
from recipes.embedded2.parts import build_unet, build_vae
from recipes.embedded2.text import read_texts, texts
from recipes.embedded2.vae import draw_index

#: Ways in which each sentence is said.
SAYINGS = 3
#: Seconds for which a stage encodes what lies there before it begins to learn.
FILLING = 10.0
#: Frames that the first part of a stage sees: enough to learn where, at a quarter of the cost of learning when.
FEW = (3, 7, 11, 15)
#: See `train_parts`.
LossOf = Callable[[Any, int, list[int] | None, int], tuple[Tensor, dict[str, Tensor]]]


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


def train_parts(
    name: str,
    network: Any,
    items: Any,
    source: Folder,
    fresh: int,
    loss_of: LossOf,
    early: int,
    batch: int,
    folder: Path,
    out: Path,
    end: float,
) -> None:
    """Train a stage in three parts: on a few frames of many clips, on all frames, and with a look at pixels.

    Args:
        name: of the stage's files.
        network: on its device; weights in `out` are taken up first.
        items: to learn from; they grow by what `source` is given meanwhile,
        fresh: by so many scenes at once.
        loss_of: of a network, the clips of a batch, the frames that it sees (None: all) and how many of the clips are
            decoded: the loss and figures to log.
        early: how many those are in the last part.
        batch: clips a step; three times as many where there are few frames.
        folder, out, end: see `fit`.
    """
    few, first = [f for f in FEW if f < items.encoder.size.frames], go_on(network, out / f"{name}.safetensors")
    fit(
        name,
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
        between=lambda: items.take(source.fresh(fresh)),
        every=4.0,
    )
    print(f"{name}: {items.filled} to learn from", flush=True)


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.3)


def pick(latents: Tensor, frame: Tensor) -> Tensor:
    """One frame (N, 4, h, w) of each clip (N, 4, F, h, w)."""
    index = frame.reshape(-1, 1, 1, 1, 1).expand(-1, latents.shape[1], 1, *latents.shape[-2:])
    return latents.gather(2, index)[:, :, 0]


def fill(name: str, items: Any, source: Folder, chunk: int) -> None:
    """Take what has been drawn so far."""
    began = time.time()
    while scenes := source.fresh(chunk):
        with untried():
            items.take(scenes)
        if time.time() - began > FILLING or items.filled >= items.capacity:
            break
    print(f"{name}: begins with {items.filled}, encoded in {time.time() - began:.0f} s", flush=True)


def text_of(items: Any, item: Tensor) -> Tensor:
    """Text states of some items, each in one of its wordings; one in twenty is empty."""
    encoder = items.encoder
    text = items.text[item, draw_index(SAYINGS, len(item), encoder.device)].float()
    silent = torch.rand(len(item), device=encoder.device) < 0.05
    return torch.where(silent[:, None, None], encoder.empty, text)
