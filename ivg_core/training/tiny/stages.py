"""Steps 4 and 5: train stage 1 (the mask video) and stage 2 (the video)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss

from ...models.unet import IVGUNet
from .. import losses
from ..loop import fit
from .latents import LatentScenes
from .parts import LATENT_SCALE, SCHEDULER_CONFIG
from .sentences import paraphrase

TEXT_DROPOUT = 0.15


class Denoising:
    """Noise in, v-prediction loss out; shared by both stages."""

    def __init__(self, tokenizer, text_encoder):
        self.tokenizer, self.text_encoder = tokenizer, text_encoder
        schedule: Any = DDPMScheduler.from_config(SCHEDULER_CONFIG)
        self.alphas_cumprod: Tensor = schedule.alphas_cumprod

    def text(self, sentences: list[str], rng: random.Random) -> Tensor:
        """Text states (B, 77, D); each sentence is paraphrased, and dropped with probability 0.15."""
        said = ["" if rng.random() < TEXT_DROPOUT else paraphrase(s, rng) for s in sentences]
        tokens = self.tokenizer(said, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        with torch.no_grad():
            return self.text_encoder(tokens.input_ids)[0]

    def noisy(self, x0: Tensor, photo: Tensor, rng: torch.Generator, noisiest: float) -> tuple[Tensor, Tensor, Tensor]:
        """Timesteps (B,), noisy latents and the v target.

        A share ``noisiest`` of the batch starts as the sampler starts: at the noisy end, from the photo's latent in
        place of x0's. There only the sentence says which thing is meant.
        """
        batch = x0.shape[0]
        t = torch.randint(0, 1000, (batch,), generator=rng)
        as_sampler = torch.rand(batch, generator=rng) < noisiest
        t = torch.where(as_sampler, torch.randint(900, 1000, (batch,), generator=rng), t)
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1, 1)
        noise = torch.randn(x0.shape, generator=rng)
        base = torch.where(as_sampler.view(-1, 1, 1, 1, 1), photo.expand_as(x0), x0)
        noisy = a.sqrt() * base + (1 - a).sqrt() * noise
        implied = (noisy - a.sqrt() * x0) / (1 - a).sqrt()
        return t, noisy, a.sqrt() * implied - (1 - a).sqrt() * x0


def train_stage1(
    folder: Path,
    name: str,
    data: LatentScenes,
    parts: Denoising,
    unet: IVGUNet,
    vae: AutoencoderKL,
    *,
    frames: list[int],
    steps: int,
    batch: int,
    rate: float,
    noisiest: float = 0.25,
) -> IVGUNet:
    """Train the UNet to turn photo and sentence into the mask video.

    Losses: noise, and, once it trains on all frames, the paper's 0.1 * L_mIoU (eq. 4) on one decoded frame a clip, at
    timesteps below 700: early in training, or in much noise, there is no mask to compare.

    Args:
        folder, name: of the checkpoint.
        data, parts, unet, vae: what is trained on, and what is trained.
        frames: indices of the frames to train on; a few of them teach where, all of them also when.
        steps, batch, rate: training steps, clips a step, peak learning rate.
        noisiest: see :meth:`Denoising.noisy`.

    Returns:
        The UNet with averaged weights.
    """
    vae.eval().requires_grad_(False)
    unet.eval()  # no dropout: the network is too small for the data to be learnt by heart

    def loss_of(modules: Any, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        words = random.Random(int(torch.randint(1 << 30, (1,), generator=rng)))
        scenes, rows = data.draw(batch, words)
        x0 = data.masks[scenes, rows][:, frames].float().transpose(1, 2)  # (B, 4, F, h, w)
        photo = data.clips[scenes, :1].float().transpose(1, 2)  # (B, 4, 1, h, w)
        t, noisy, target = parts.noisy(x0, photo, rng, noisiest)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            text = parts.text([data.texts[i][r] for i, r in zip(scenes, rows, strict=True)], words)
            v = modules["unet"](noisy, t, text, photo, x0.new_ones(1, 1, 1, *x0.shape[-2:])).float()
        loss = mse_loss(v, target)
        figures = {"noise": loss.item()}
        late = t < 700
        if len(frames) == data.masks.shape[2] and late.any():
            x0_pred = losses.predict_x0(noisy, v, parts.alphas_cumprod[t], "v_prediction")
            frame = int(torch.randint(len(frames), (1,), generator=rng))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                soft = _soft_mask(vae, x0_pred[late, :, frame]).float()
                true = _soft_mask(vae, x0[late, :, frame]).float()
            iou = losses.soft_iou_loss(soft[:, None], (true[:, None] > 0.5).float())
            loss = loss + 0.1 * iou
            figures["miou"] = iou.item()
        return loss, figures

    modules = nn.ModuleDict({"unet": unet})
    return fit(name, modules, loss_of, folder=folder, steps=steps, learning_rate=rate)["unet"]


def _soft_mask(vae: Any, latents: Tensor) -> Tensor:
    """Decoded grey value 0..1 (B, H, W)."""
    return (vae.decode(latents / LATENT_SCALE).sample.mean(1) * 0.5 + 0.5).clamp(0, 1)


def train_stage2(
    folder: Path,
    name: str,
    data: LatentScenes,
    parts: Denoising,
    unet: IVGUNet,
    *,
    frames: list[int],
    steps: int,
    batch: int,
    rate: float,
) -> IVGUNet:
    """Train the UNet to turn photo, sentence, mask and motion strength into the video; nothing moves outside the mask.

    Losses: noise, and 0.001 times the motion score's. Arguments and result as in :func:`train_stage1`.
    """
    unet.eval()

    def loss_of(modules: Any, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        words = random.Random(int(torch.randint(1 << 30, (1,), generator=rng)))
        scenes, _ = data.draw(batch, words, clips_only=True)
        clip = data.clips[scenes][:, frames].float().transpose(1, 2)  # (B, 4, F, h, w)
        photo = data.clips[scenes, :1].float().transpose(1, 2)  # (B, 4, 1, h, w)
        mask = _grown_latent_mask(data.unions[scenes].numpy(), words, clip.shape[-2:])
        x0 = losses.freeze_outside(clip, photo, mask)
        motion = losses.latent_motion_score(x0)
        t, noisy, target = parts.noisy(x0, photo, rng, 0.25)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            text = parts.text([data.texts[i][0] for i in scenes], words)
            v = modules["unet"](noisy, t, text, photo, mask, motion).float()
        noise = mse_loss(v, target)
        x0_pred = losses.predict_x0(noisy, v, parts.alphas_cumprod[t], "v_prediction")
        moved = losses.motion_loss(x0_pred, motion)
        return noise + 0.001 * moved, {"noise": noise.item(), "motion": moved.item()}

    modules = nn.ModuleDict({"unet": unet})
    return fit(name, modules, loss_of, folder=folder, steps=steps, learning_rate=rate)["unet"]


def _grown_latent_mask(unions: np.ndarray, rng: random.Random, size) -> Tensor:
    """Latent masks (B, 1, 1, h, w) of 0 and 1: the exact ones grown by 3 to 12 pixels; predicted masks are uneven."""
    grown = []
    for union in unions:
        k = 2 * rng.randint(3, 12) + 1
        grown.append(cv2.dilate(union.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (k, k))))
    mask = torch.from_numpy(np.stack(grown)).float()[:, None]
    return (interpolate(mask, size=size, mode="bilinear", align_corners=False) >= 0.5).float()[:, :, None]
