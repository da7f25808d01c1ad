"""A small autoencoder of core's own class for Wan, trained from nothing on drawn clips and mask videos."""

from __future__ import annotations

from pathlib import Path

import comfy.latent_formats
import comfy.ldm.wan.vae
import comfy.sd
import numpy as np
import torch
from core_scenes_drawn import FRAMES, SIDE, TASKS, Clips
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, l1_loss

from recipes.embedded.fit import fit

WIDTH, CHANNELS = 8, 16
CROP = 48
#: First on pictures, which takes a fifth of the time: steps, batch, frames to choose from, learning rate.
COURSES = {
    "vae-pictures": (500, 12, (1,), 1.5e-3),
    "vae-videos": (260, 4, (5, 5, FRAMES), 1e-3),
    "vae-both": (330, 6, (1, 1, 5, FRAMES), 1.2e-3),
}
#: On the latents while training, which a penalty keeps near 1: the decoder must bear what the network gets wrong.
NOISE, PENALTY = 0.1, 0.001


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
    vae = comfy.sd.VAE(load_file(path), dtype=torch.float32)
    _with_channels_last(vae.first_stage_model)
    return vae


@torch.no_grad()
def _network() -> nn.Module:
    net = comfy.ldm.wan.vae.WanVAE(dim=WIDTH, z_dim=CHANNELS, temperal_downsample=[False, True, True])
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            used = layer.weight[:, :, -1:] if layer.kernel_size[-1] > 1 and layer.weight.ndim == 5 else layer.weight
            nn.init.zeros_(layer.weight)  # at first each frame by itself
            nn.init.normal_(used, std=used[0].numel() ** -0.5)
            nn.init.zeros_(layer.bias)
    for block in net.modules():
        if isinstance(block, comfy.ldm.wan.vae.ResidualBlock):
            nn.init.zeros_(block.residual[-1].weight)  # at first everything passes straight through
        if hasattr(block, "time_conv"):  # at first frames that share a latent frame look alike
            weight = block.time_conv.weight  # (C or 2 C, C, 3, 1, 1)
            weight *= 0.3
            weight[:, :, -1, 0, 0] += torch.eye(weight.shape[1]).repeat(len(weight) // weight.shape[1], 1)
    return _with_channels_last(net)


def _with_channels_last(net: nn.Module) -> nn.Module:
    """The network with its weights laid out as a CPU convolves twice as fast."""
    for weight in net.parameters():
        if weight.ndim > 3:
            layout = torch.channels_last_3d if weight.ndim == 5 else torch.channels_last
            weight.data = weight.data.contiguous(memory_format=layout)
    return net


def _pixels(videos: list[Tensor]) -> Tensor:
    """(B, 3, F, H, W), -1..1."""
    return 2 * torch.stack(videos).movedim(-1, 1) - 1


def _loss(clips: Clips, lengths: tuple[int, ...], batch: int):
    def loss_of(modules, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng(int(torch.randint(1 << 30, (1,), generator=generator)))
        length, videos = rng.choice(lengths), []
        for number in range(batch):
            shown = clips.mask_video if number % 2 else clips.video
            video = shown(rng.integers(len(clips.texts)), rng.integers(TASKS))
            begin = rng.integers(FRAMES) if length == 1 else 0
            y, x = rng.integers(SIDE - CROP + 1, size=2)
            videos.append(video[begin : begin + length, y : y + CROP, x : x + CROP])
        pixels, net = _pixels(videos), modules["vae"]
        z = net.encode(pixels)
        out = net.decode(z + NOISE * torch.randn(z.shape, generator=generator))
        drawn, masks = l1_loss(out[::2], pixels[::2]), l1_loss(out[1::2], pixels[1::2])
        colour = l1_loss(*(avg_pool3d(x, (1, 8, 8)) for x in (out[::2], pixels[::2])))  # else hues are learnt last
        figures = {"drawn": drawn.item(), "masks": masks.item(), "colour": colour.item()}
        return 2 * drawn + masks + 2 * colour + PENALTY * z.square().mean(), figures

    return loss_of


@torch.no_grad()
def _at_core_statistics(net: nn.Module, clips: Clips) -> None:
    """Gives each channel the mean and deviation that core takes off again, by way of the 1 x 1 x 1 convolutions."""
    some = range(0, len(clips.texts), max(1, len(clips.texts) // 16))
    videos = [video for scene in some for video in (clips.video(scene, 0), clips.mask_video(scene, 0))]
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
        shown = _through(vae, clips.mask_video(scene, 0))[1:].mean(-1) > 0.5
        true = torch.from_numpy(clips.masks[scene, 0, 1:])
        both, either = (shown & true).sum((1, 2)), (shown | true).sum((1, 2))
        found.append((both / either.clamp(min=1))[either > 0].mean())
    return torch.stack(found).mean().item()


def _through(vae, video: Tensor) -> Tensor:
    """(F, H, W, 3), 0..1."""
    return vae.decode(vae.encode(video))[0].reshape(FRAMES, SIDE, SIDE, 3)
