"""Train the autoencoder on whole frames and masks, while scenes are still being drawn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, l1_loss, mse_loss

from ivg_core.hands.landmarks import load_landmark_net
from recipes.embedded.parts import LATENT_SCALE
from recipes.embedded2.draw import HANDS, SENTENCES, Drawn, Folder, Size, unpack
from recipes.embedded2.hands import Likeness
from recipes.embedded2.loop import begin, fit, half, in_half, store
from recipes.embedded2.parts import build_vae

#: Noise on the latents while training, in units of the unwhitened latents: the decoder must bear the denoiser's errors.
LATENT_NOISE = 0.05
#: How much more the moving things count than the rest, and how much the landmark network's view of the hands counts.
MOVING, LIKENESS = 2.0, 0.04


#: Side of the squares that are learnt first; whole pictures follow.
SIDE = 128


class Pictures:
    """Scenes on the device, in arrays of a fixed size that fill up."""

    def __init__(self, capacity: int, size: Size, device: str):
        width, height, frames = size
        self.capacity, self.filled = capacity, 0
        self.frames = torch.zeros(capacity, frames, height, width, 3, dtype=torch.uint8, device=device)
        self.rom = torch.zeros(capacity, SENTENCES, frames, height, width // 8, dtype=torch.uint8, device=device)
        self.rois = torch.full((capacity, frames, HANDS, 4), torch.nan, device=device)
        self.count = torch.zeros((), device=device)

    def take(self, scenes: list[Drawn]) -> None:
        for scene in scenes[: self.capacity - self.filled]:
            self.frames[self.filled] = torch.from_numpy(scene.frames)
            self.rom[self.filled] = torch.from_numpy(scene.rom)
            self.rois[self.filled] = torch.from_numpy(scene.rois)
            self.filled += 1
        self.count.fill_(self.filled)


def draw_index(count: Tensor | int, size: int, device: Any) -> Tensor:
    """Indices (size,) below a count that may lie on the device."""
    return (torch.rand(size, device=device) * count).long()


def regions(rois: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Regions (N, 4) in which those that are NaN lie somewhere, and which of them are hands (N,) 0 or 1."""
    there = rois.isfinite().all(-1)
    width, height, _ = size
    place = torch.stack([rois.new_full((), value) for value in (width / 2, height / 2, height / 2, 0.0)])
    return torch.where(there[:, None], rois, place), there.float()


def train_vae(folder: Path, out: Path, device: str, size: Size, batch: int, start: float, end: float) -> None:
    """Train the autoencoder, whiten its latents and write ``vae.safetensors`` to both folders.

    Args:
        folder: of the scenes and checkpoints.
        out: of the results.
        batch: pictures a step, or twice as many squares cut out of them; a quarter as many masks come on top.
        start, end: time.time().
    """
    begin(device, 1)
    source = Folder(folder / "scenes", "clip-*.npz")
    pictures = Pictures(1200 if device == "cuda" else 8, size, device)
    while pictures.filled < (64 if device == "cuda" else 4):
        time.sleep(0.2)
        pictures.take(source.fresh(64))
    print(f"vae: begins with {pictures.filled} scenes, {time.time() - start:.0f} s", flush=True)
    likeness = Likeness(load_landmark_net(device=device))
    frames, whole = size.frames, torch.tensor([size.width / 2, size.height / 2], device=device)

    def loss_of(vae: Any, batch: int, side: int | None) -> tuple[Tensor, dict[str, Tensor]]:
        masks, hands = max(batch // 4, 1), max(batch // 2, 1)
        scene, frame = draw_index(pictures.count, batch, device), draw_index(frames, batch, device)
        rois, there = regions(pictures.rois[scene, frame, 0], size)
        shown = pictures.frames[scene, frame].permute(0, 3, 1, 2).float() / 127.5 - 1
        moving = unpack(pictures.rom[scene, 0, frame]).float()[:, None]
        other, row = draw_index(pictures.count, masks, device), draw_index(SENTENCES, masks, device)
        mask = unpack(pictures.rom[other, row, draw_index(frames, masks, device)]).float()[:, None] * 2 - 1
        if side:
            centre = torch.cat([rois[:hands, :2], whole.expand(batch - hands + masks, 2)])
            corner = corners(centre, side, size)
            rois = torch.cat([rois[:, :2] - corner[:batch].float(), rois[:, 2:]], 1)
            shown, moving = window(shown, corner[:batch], side), window(moving, corner[:batch], side)
            mask = window(mask, corner[batch:], side)
        pixels = torch.cat([shown, mask.expand(-1, 3, -1, -1)])
        moving = torch.cat([moving, torch.zeros_like(mask)])
        with half(device):
            mean = vae.encode(pixels).latent_dist.mean
            out = vae.decode(mean + LATENT_NOISE * torch.randn_like(mean)).sample.float()
            alike = likeness(out[:hands] * 0.5 + 0.5, pixels[:hands] * 0.5 + 0.5, rois[:hands], there[:hands])
        mean = mean.float()
        loss, figures = picture_loss(out, pixels, moving, alike, batch)
        # Noise of a fixed size needs latents of a bounded one.
        return loss + 1e-3 * mean.square().mean(), {**figures, "std": mean.std()}

    vae = fit(
        "vae-raw",
        in_half(build_vae().to(device).train()),
        [(0.6, lambda vae: loss_of(vae, 2 * batch, SIDE)), (1.0, lambda vae: loss_of(vae, batch, None))],
        folder=folder,
        out=None,
        start=time.time(),
        end=end - 3,
        learning_rate=2e-3,
        between=lambda: pictures.take(source.fresh(100)),
        every=2.0,
    )
    sample = pictures.frames[: min(pictures.filled, 200), :: max(size.frames // 4, 1)].flatten(0, 1)
    whiten(vae, sample.permute(0, 3, 1, 2))
    store(out, "vae", vae)
    store(folder, "vae", vae)
    print(f"vae: done with {pictures.filled} scenes", flush=True)


def picture_loss(
    out: Tensor, true: Tensor, moving: Tensor, alike: Tensor, shown: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """How far decoded pictures are from the true ones.

    Args:
        out, true: (N, 3, H, W), -1..1.
        moving: (N, 1, H, W), 1 where things move, which counts more.
        alike: what `Likeness` says of the hands.
        shown: the first so many are pictures, the others masks.

    Returns:
        The loss and its figures, with the PSNR of the pictures.
    """
    weight = 1 + MOVING * moving
    l1 = (weight * (out - true).abs()).mean()
    edges = edge_loss(out, true, weight)
    colour = l1_loss(avg_pool2d(out, 8), avg_pool2d(true, 8))  # one latent cell; else hues are learnt last
    psnr = -10 * torch.log10(mse_loss(out[:shown].detach(), true[:shown]) / 4)
    figures = {"l1": l1, "edges": edges, "colour": colour, "hands": alike, "psnr": psnr}
    return l1 + edges + 2 * colour + LIKENESS * alike, figures


def corners(centre: Tensor, side: int, size: Size) -> Tensor:
    """The upper left corners (N, 2) of squares anywhere near their centres (N, 2), inside the picture."""
    room = torch.stack([centre.new_full((), value - side) for value in size[:2]])
    wanted = centre - side / 2 + (torch.rand_like(centre) - 0.5) * side
    return torch.minimum(wanted.clamp(min=0), room).long()


def window(pictures: Tensor, corner: Tensor, side: int) -> Tensor:
    """A square (N, C, side, side) out of each picture (N, C, H, W)."""
    steps = torch.arange(side, device=corner.device)
    rows, columns = corner[:, 1, None] + steps, corner[:, 0, None] + steps
    index = torch.arange(len(corner), device=corner.device)[:, None, None]
    return pictures.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def edge_loss(out: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """Differences of neighbours, compared."""
    apart = out - true
    down = (weight[..., 1:, :] * (apart[..., 1:, :] - apart[..., :-1, :]).abs()).mean()
    return down + (weight[..., 1:] * (apart[..., 1:] - apart[..., :-1]).abs()).mean()


@torch.no_grad()
def whiten(vae: nn.Module | Any, frames: Tensor) -> None:
    """Give the latent channels zero mean and a deviation of 1 / 0.18215, by way of the 1x1 convolutions."""
    chunks = [vae.encode(chunk.float() / 127.5 - 1).latent_dist.mode() for chunk in frames.split(32)]
    z = torch.cat(chunks).float()
    mean, gain = z.mean((0, 2, 3)), 1 / (LATENT_SCALE * z.std((0, 2, 3)))
    quant, post = vae.quant_conv, vae.post_quant_conv
    post.bias += (post.weight[:, :, 0, 0] * mean).sum(1)
    post.weight /= gain.view(1, 4, 1, 1)
    quant.weight[:4] *= gain.view(4, 1, 1, 1)
    quant.bias[:4] = (quant.bias[:4] - mean) * gain
