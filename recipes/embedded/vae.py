"""Step 2: train the autoencoder on crops of frames and of masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, l1_loss, mse_loss

from ivg_core.synthetic.dataset import load_shard
from recipes.embedded.fit import fit
from recipes.embedded.parts import FRAMES, HEIGHT, LATENT_SCALE, WIDTH, build_vae, to_pixels

BATCH, CROP = 12, 96
#: Noise on the latents while training, in units of the unwhitened latents: the decoder must bear the denoiser's errors.
LATENT_NOISE = 0.05


def train_vae(folder: Path, shards: list[Path], steps: int) -> AutoencoderKL:
    """Train the autoencoder, whiten its latents and write ``vae.safetensors``.

    Args:
        folder: of the checkpoint and the result.
        shards: scenes to train on (a few hundred are enough; they are held in memory).
        steps: training steps.
    """
    clips = [load_shard(path) for path in shards]

    def loss_of(modules: Any, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        pixels, weight = _batch(clips, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            posterior = modules["vae"].encode(pixels).latent_dist
            z = posterior.mean + LATENT_NOISE * torch.randn(posterior.mean.shape, generator=rng)
            out = modules["vae"].decode(z).sample.float()
        # Noise of a fixed size needs latents of a bounded one.
        loss, figures = _reconstruction(out, pixels, weight)
        return loss + 1e-3 * posterior.mean.float().pow(2).mean(), figures

    modules = nn.ModuleDict({"vae": build_vae()})
    vae = fit("vae", modules, loss_of, folder=folder, steps=steps, learning_rate=2e-3)["vae"]
    frames = torch.cat([to_pixels(frames[::10].reshape(-1, HEIGHT, WIDTH, 3)[::4]) for frames, _, _ in clips[:8]])
    _whiten(vae, frames)
    save_file(vae.state_dict(), folder / "vae.safetensors")
    return vae


def train_decoder(folder: Path, vae: Any, shards: list[Path], steps: int) -> AutoencoderKL:
    """Go on with the decoder alone: the latents, and all that is trained on them, stay as they are."""
    clips = [load_shard(path) for path in shards]
    vae.requires_grad_(False)
    vae.decoder.requires_grad_(True)
    vae.post_quant_conv.requires_grad_(True)
    noise = LATENT_NOISE / LATENT_SCALE  # whitened latents have a deviation of 1 / LATENT_SCALE

    def loss_of(modules: Any, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        pixels, weight = _batch(clips, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                z = modules["vae"].encode(pixels).latent_dist.mode()
            out = modules["vae"].decode(z + noise * torch.randn(z.shape, generator=rng)).sample.float()
        return _reconstruction(out, pixels, weight)

    modules = nn.ModuleDict({"vae": vae})
    return fit("decoder", modules, loss_of, folder=folder, steps=steps, learning_rate=1e-3)["vae"]


def _reconstruction(out: Tensor, pixels: Tensor, weight: Tensor) -> tuple[Tensor, dict[str, float]]:
    l1 = (weight * (out - pixels).abs()).mean()
    psnr = -10 * torch.log10(mse_loss(out.detach(), pixels) / 4)
    colour = l1_loss(avg_pool2d(out, 8), avg_pool2d(pixels, 8))  # one latent cell; else hues are learnt last
    loss = l1 + l1_loss(_edges(out), _edges(pixels)) + 2 * colour
    return loss, {"l1": l1.item(), "colour": colour.item(), "psnr": psnr.item()}


def _batch(clips, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random crops (12, 3, 96, 96) in -1..1, a quarter of them masks, and a weight map that favours what moves."""
    rng = np.random.default_rng(int(torch.randint(1 << 30, (1,), generator=generator)))
    crop = CROP
    pixels, weights = [], []
    for i in range(BATCH):
        frames, rom, _ = clips[rng.integers(len(clips))]
        scene, frame = rng.integers(frames.shape[0]), rng.integers(FRAMES)
        y, x = rng.integers(HEIGHT - crop + 1), rng.integers(WIDTH - crop + 1)
        moving = rom[scene, 0, frame, y : y + crop, x : x + crop]
        if i % 4 == 3:
            mask = rom[scene, rng.integers(2), frame, y : y + crop, x : x + crop]
            pixels.append(np.repeat(mask[..., None] * np.uint8(255), 3, -1))
            weights.append(np.ones((crop, crop), np.float32))
        else:
            pixels.append(frames[scene, frame, y : y + crop, x : x + crop])
            weights.append(1 + 2 * moving.astype(np.float32))
    return to_pixels(np.stack(pixels)), torch.from_numpy(np.stack(weights))[:, None]


def _edges(x: Tensor) -> Tensor:
    return torch.cat([(x[..., 1:, :] - x[..., :-1, :]).flatten(1), (x[..., 1:] - x[..., :-1]).flatten(1)], 1)


@torch.no_grad()
def _whiten(vae: Any, frames: Tensor) -> None:
    """Give the latent channels zero mean and a deviation of 1 / 0.18215, by way of the 1x1 convolutions."""
    z = torch.cat([vae.encode(chunk).latent_dist.mode() for chunk in frames.split(16)])  # (N, 4, h, w)
    mean, gain = z.mean((0, 2, 3)), 1 / (LATENT_SCALE * z.std((0, 2, 3)))
    quant, post = vae.quant_conv, vae.post_quant_conv
    post.bias += (post.weight[:, :, 0, 0] * mean).sum(1)
    post.weight /= gain.view(1, 4, 1, 1)
    quant.weight[:4] *= gain.view(4, 1, 1, 1)
    quant.bias[:4] = (quant.bias[:4] - mean) * gain
