"""A small autoencoder of core's own class for Wan, trained from nothing on drawn clips and mask videos."""

from __future__ import annotations

from pathlib import Path

import comfy.latent_formats
import comfy.ldm.wan.vae
import comfy.sd
import numpy as np
import torch
from core_scenes_drawn import FRAMES, SIDE, Clips
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from recipes.embedded.fit import fit

WIDTH, CHANNELS = 8, 16
CROP = 48
#: First on pictures, which takes a fifth of the time: steps, batch, frames to choose from, learning rate.
COURSES = {"vae-pictures": (500, 12, (1,), 1.5e-3), "vae-videos": (450, 4, (5, 5, FRAMES), 1e-3)}
#: On the latents while training, which a penalty keeps near 1: the decoder must bear what the network gets wrong.
NOISE, PENALTY = 0.1, 0.001


def mask_video(clips: Clips, scene: int, task: int) -> np.ndarray:
    """The photo, then what moves in each later frame, white on black (F, H, W, 3) uint8."""
    white = np.repeat(clips.masks[scene, task][..., None] * np.uint8(255), 3, -1)
    return np.concatenate([clips.frames[scene, task, :1], white[1:]])


def trained_vae(folder: Path, clips: Clips):
    """The autoencoder as core loads it, trained where it is not in the folder yet.

    Args:
        folder: of its file and the checkpoint of its training.
        clips: to train on.
    """
    path = folder / "vae.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        net = _network()
        for name, (steps, batch, lengths, rate) in COURSES.items():
            modules = nn.ModuleDict({"vae": net.requires_grad_(True)})
            loss = _loss(clips, lengths, batch)
            net = fit(name, modules, loss, folder=folder, steps=steps, learning_rate=rate, weight_decay=0.0)["vae"]
        _at_core_statistics(net, clips)
        save_file({name: value.contiguous() for name, value in net.state_dict().items()}, path)
    return comfy.sd.VAE(load_file(path), dtype=torch.float32)


@torch.no_grad()
def _network() -> nn.Module:
    net = comfy.ldm.wan.vae.WanVAE(dim=WIDTH, z_dim=CHANNELS, temperal_downsample=[False, True, True])
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            used = layer.weight[:, :, -1:] if layer.kernel_size[-1] > 1 and layer.weight.ndim == 5 else layer.weight
            nn.init.zeros_(layer.weight)  # at first each frame by itself
            nn.init.normal_(used, std=used[0].numel() ** -0.5)
            nn.init.zeros_(layer.bias)
            layout = torch.channels_last_3d if layer.weight.ndim == 5 else torch.channels_last
            layer.weight.data = layer.weight.data.contiguous(memory_format=layout)  # a quarter faster on a CPU
    for block in net.modules():
        if isinstance(block, comfy.ldm.wan.vae.ResidualBlock):
            nn.init.zeros_(block.residual[-1].weight)  # at first everything passes straight through
    return net.requires_grad_(True)


def _pixels(videos: list[np.ndarray]) -> Tensor:
    """(B, 3, F, H, W), -1..1."""
    return torch.from_numpy(np.stack(videos)).movedim(-1, 1).float() / 127.5 - 1


def _loss(clips: Clips, lengths: tuple[int, ...], batch: int):
    def loss_of(modules, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng(int(torch.randint(1 << 30, (1,), generator=generator)))
        length, videos = rng.choice(lengths), []
        for number in range(batch):
            scene, task = rng.integers(len(clips.texts)), rng.integers(2)
            video = mask_video(clips, scene, task) if number % 2 else clips.frames[scene, task]
            y, x = rng.integers(SIDE - CROP + 1, size=2)
            videos.append(
                video[
                    (begin := rng.integers(FRAMES) if length == 1 else 0) : begin + length, y : y + CROP, x : x + CROP
                ]
            )
        pixels, net = _pixels(videos), modules["vae"]
        z = net.encode(pixels)
        out = net.decode(z + NOISE * torch.randn(z.shape, generator=generator))
        drawn, masks = l1_loss(out[::2], pixels[::2]), l1_loss(out[1::2], pixels[1::2])
        figures = {"drawn": drawn.item(), "masks": masks.item(), "size": z.square().mean().item()}
        return 2 * drawn + masks + PENALTY * z.square().mean(), figures

    return loss_of


@torch.no_grad()
def _at_core_statistics(net: nn.Module, clips: Clips) -> None:
    """Gives each channel the mean and deviation that core takes off again, by way of the 1 x 1 x 1 convolutions."""
    some = range(0, len(clips.texts), max(1, len(clips.texts) // 16))
    videos = [make for scene in some for make in (clips.frames[scene, 0], mask_video(clips, scene, 0))]
    z = torch.cat([net.encode(_pixels([video])) for video in videos])
    mean, deviation = z.mean((0, 2, 3, 4)), z.std((0, 2, 3, 4))
    core = comfy.latent_formats.Wan21()
    gain = core.latents_std.flatten() / deviation
    shift = core.latents_mean.flatten() - mean * gain
    into, out = net.conv1, net.conv2
    into.weight[:CHANNELS] *= gain.view(-1, 1, 1, 1, 1)
    into.bias[:CHANNELS] = into.bias[:CHANNELS] * gain + shift
    out.bias -= (out.weight[:, :, 0, 0, 0] * (shift / gain)).sum(1)
    out.weight /= gain.view(1, -1, 1, 1, 1)


@torch.inference_mode()
def mask_iou_of(vae, clips: Clips) -> float:
    """Mean IoU of masks that went through the autoencoder, of all frames after the photo that show something."""
    found = []
    for scene in range(len(clips.texts)):
        shown = _through(vae, mask_video(clips, scene, 0))[1:].mean(-1) > 0.5
        true = torch.from_numpy(clips.masks[scene, 0, 1:])
        both, either = (shown & true).sum((1, 2)), (shown | true).sum((1, 2))
        found.append((both / either.clamp(min=1))[either > 0].mean())
    return torch.stack(found).mean().item()


def _through(vae, video: np.ndarray) -> Tensor:
    """(F, H, W, 3), 0..1."""
    return vae.decode(vae.encode(torch.from_numpy(video).float() / 255))[0].reshape(FRAMES, SIDE, SIDE, 3)
