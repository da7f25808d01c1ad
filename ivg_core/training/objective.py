"""One training step of either stage, up to the loss: what is drawn, what the network is asked, what it answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.checkpoint import checkpoint

from ..models.schedule import NoiseSchedule
from .batches import Batch
from .losses import freeze_outside, latent_motion_score, make_losses, noise_loss, predict_x0

if TYPE_CHECKING:
    from ..models.bundle import IVGModel
    from .config import TrainConfig

#: What sampling begins with lies in this part of the schedule; see `from_photo`.
START_OF_SAMPLING = 0.9


@dataclass
class Draw:
    """What chance decides about a batch of B clips."""

    timesteps: Tensor  # (B,) 0..T-1
    noise: Tensor  # (B, 4, F, h, w), Gaussian
    drop_text: Tensor  # (B,) bool: this clip is shown without its text
    from_photo: Tensor  # (B,) bool: this clip begins as sampling begins


@dataclass
class Prediction:
    """What the network made of a batch, as the losses see it."""

    output: Tensor  # (B, 4, F, h, w) float32, what the network returned
    target: Tensor  # (B, 4, F, h, w), what it should have
    noisy: Tensor  # (B, 4, F, h, w)
    x0: Tensor  # (B, 4, F, h, w), the clean latents
    timesteps: Tensor  # (B,)
    timestep_weight: Tensor | None  # (B,), min-SNR
    motion: Tensor | None  # (B,) the motion score the network was told
    mask: Tensor  # (B or 1, 1, 1, h, w), the latent mask the network was given
    batch: Batch
    schedule: NoiseSchedule
    vae: Any
    rng: torch.Generator  # for what a loss draws itself
    notes: dict[str, Tensor] = field(default_factory=dict)  # figures that a loss reports beside its value

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """(B,)"""
        return self.schedule.alphas(self.timesteps)

    @cached_property
    def x0_pred(self) -> Tensor:
        """The clean latents that the output implies (B, 4, F, h, w)."""
        return predict_x0(self.noisy, self.output, self.alphas_cumprod, self.schedule.prediction_type)

    def choose_frames(self, count: int) -> list[int]:
        """`count` different frames in order, drawn at random; 0 = all."""
        frames = self.x0.shape[2]
        if not 0 < count < frames:
            return list(range(frames))
        return sorted(torch.randperm(frames, generator=self.rng)[:count].tolist())

    def decode(self, rows: Tensor, frames: list[int], latents: Tensor | None = None) -> Tensor:
        """Pixels of clips and frames, with gradient; activations are recomputed in the backward pass.

        Args:
            rows: indices of clips (R,).
            frames: L indices of frames.
            latents: (B, 4, F, h, w); None: the predicted clean ones.

        Returns:
            (R, L, 3, H, W) float32, 0..1.
        """
        chosen = (self.x0_pred if latents is None else latents)[rows][:, :, frames]  # (R, 4, L, h, w)
        flat = chosen.transpose(1, 2).flatten(0, 1) / self.vae.config["scaling_factor"]
        shown = [checkpoint(self._decode_one, one[None], use_reentrant=False) for one in flat]
        return (torch.cat(shown).float() * 0.5 + 0.5).clamp(0, 1).unflatten(0, (len(rows), len(frames)))

    def true_frames(self, row: int) -> Tensor:
        """The frames of a clip (F, H, W, 3), 0..1: the pixels themselves, or its latents decoded if it has none."""
        if "frames" in self.batch:
            return self.batch["frames"][row].float() / 255
        with torch.no_grad():
            shown = self.decode(torch.tensor([row]), list(range(self.x0.shape[2])), self.batch["latents"].float())
        return shown[0].permute(0, 2, 3, 1)

    def _decode_one(self, latent: Tensor) -> Tensor:
        return self.vae.decode(latent.to(self.vae.dtype), return_dict=False)[0]  # (1, 3, H, W), -1..1


class Denoising:
    """The objective of both stages: noise in, the weighted sum of the chosen losses out.

    A trainer takes any object with this call: `(network, batch, rng) -> (loss, {name: scalar or None})`.

    Args:
        config: stage, losses, dropout and noise settings.
        model: its scheduler_config says what the network predicts; its VAE decodes for losses that look at pixels.

    Source: the released code's `finetune_unet` (stage 2); paper 3.1.1 (stage 1: an all-ones mask, nothing
        frozen, the target is the mask video).
    """

    def __init__(self, config: TrainConfig, model: IVGModel):
        self.config = config
        self.vae = model.vae
        self.schedule = NoiseSchedule(model.scheduler_config, config.zero_terminal_snr, config.prediction)
        self.losses = make_losses(config)

    def __call__(self, network: Any, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor | None]]:
        return self.loss(network, batch, self.draw(batch, rng), rng)

    def draw(self, batch: Batch, rng: torch.Generator) -> Draw:
        """Draws on the CPU, whatever the device, so that a seed means the same everywhere."""
        shape, device = batch["latents"].shape, batch["latents"].device
        config, total = self.config, len(self.schedule)
        count, start = shape[0], int(START_OF_SAMPLING * total)
        timesteps = torch.randint(0, total, (count,), generator=rng)
        from_photo = torch.rand(count, generator=rng) < config.from_photo
        timesteps = torch.where(from_photo, torch.randint(start, total, (count,), generator=rng), timesteps)
        drop_text = torch.rand(count, generator=rng) < config.text_dropout  # for each clip, not for the batch
        noise = torch.randn(shape, generator=rng)
        if config.noise_offset:
            noise = noise + config.noise_offset * torch.randn(*shape[:3], 1, 1, generator=rng)
        return Draw(timesteps.to(device), noise.to(device), drop_text.to(device), from_photo.to(device))

    def loss(
        self, network: Any, batch: Batch, draw: Draw, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """The weighted sum of the losses, and each of them by name."""
        prediction = self.predict(network, batch, draw, rng)
        figures: dict[str, Tensor | None] = {name: term(prediction) for name, term in self.losses.items()}
        for term in self.losses.values():
            figures |= {name: prediction.notes.get(name) for name in getattr(term, "notes", ())}
        terms = [term.weight * value for name, term in self.losses.items() if (value := figures[name]) is not None]
        # Without any term there is still a gradient, of zero: another process may be waiting for it.
        return sum(terms, 0 * prediction.output.sum()), figures  # type: ignore[return-value]

    def predict(self, network: Any, batch: Batch, draw: Draw, rng: torch.Generator) -> Prediction:
        """Asks the network about a batch, as sampling will."""
        photo = batch.get("photo", batch["latents"][:, :, :1]).float()  # (B, 4, 1, h, w)
        if self.config.stage == 1:
            x0 = batch.need("mask_latents", "is what stage 1 learns").float()
            mask, motion = x0.new_ones(1, 1, 1, *x0.shape[-2:]), None
        else:
            x0, mask = batch["latents"].float(), self._latent_mask(batch)
            if self.config.freeze_outside:
                x0 = freeze_outside(x0, photo, mask)
            motion = latent_motion_score(x0)
        schedule, t = self.schedule, draw.timesteps
        begins = draw.from_photo.reshape(-1, 1, 1, 1, 1)
        noisy = schedule.add_noise(torch.where(begins, photo, x0), draw.noise, t)
        noise = draw.noise
        if draw.from_photo.any():
            a = schedule.alphas(t).reshape(-1, 1, 1, 1, 1)
            noise = torch.where(begins, (noisy - a.sqrt() * x0) / (1 - a).sqrt(), noise)  # what would lead back to x0
        text = torch.where(draw.drop_text.reshape(-1, 1, 1), batch["empty_text"], batch["text"])
        output = network(noisy, t, text, photo, mask, motion)
        gamma = self.config.min_snr
        return Prediction(
            output=output.float(),
            target=schedule.target(x0, noise, t),
            noisy=noisy,
            x0=x0,
            timesteps=t,
            timestep_weight=None if gamma is None else schedule.min_snr_weight(t, gamma),
            motion=motion,
            mask=mask,
            batch=batch,
            schedule=schedule,
            vae=self.vae,
            rng=rng,
        )

    @torch.no_grad()
    def measure(self, network: Any, batch: Batch, number: int, draws: int) -> Tensor:
        """The plain noise loss with noise that never changes, for comparing one step of a training with another.

        Args:
            network, batch: as in training.
            number: of the draw, 0..draws-1; it decides the timestep, evenly over the schedule.
            draws: how many there are.
        """
        rng = torch.Generator().manual_seed(number)
        draw = self.draw(batch, rng)
        draw.timesteps = torch.full_like(draw.timesteps, int((number + 0.5) / draws * len(self.schedule)))
        draw.drop_text, draw.from_photo = torch.zeros_like(draw.drop_text), torch.zeros_like(draw.from_photo)
        prediction = self.predict(network, batch, draw, rng)
        return noise_loss(prediction.output, prediction.target)

    @staticmethod
    def _latent_mask(batch: Batch) -> Tensor:
        rom = batch.need("rom_mask", "stage 2 is conditioned on").float()  # (B, H, W)
        cells = interpolate(rom[:, None], batch["latents"].shape[-2:], mode="bilinear", align_corners=False)
        return (cells >= 0.5).float()[:, :, None]  # (B, 1, 1, h, w)
