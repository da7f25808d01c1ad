"""One training step of either stage, up to the loss: what is drawn, what the network is asked, what it answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..models.schedule import min_snr_weight, over_latents
from ..models.voices import Voices
from .asked import ask
from .batches import Batch
from .losses import make_losses, noise_loss, value_of
from .prediction import Prediction

if TYPE_CHECKING:
    from ..models.backbone import Backbone
    from .config import TrainConfig, TrainingPath

#: What sampling begins with lies in this part of the schedule; see `from_photo`.
START_OF_SAMPLING = 0.9
#: What may be left out where there are boxes, in the order in which it is drawn.
DROPPED = ("boxes", "photo", "seen")


@dataclass
class PathDraw:
    """What chance decides about a batch on one path."""

    taken: bool = True
    frame: int = 0  # the one frame that it sees, if it sees one
    # where that frame is mirrored: noise of the encoder (B, C, h, w), and in place of the clip's (B, C, 1, h, w)
    mirrored: tuple[Tensor, Tensor] | None = None
    anchor: int = 0  # the frame that differences are taken to


@dataclass
class Draw:
    """What chance decides about a batch of B clips."""

    levels: Tensor  # (B,), timesteps
    noise: Tensor  # (B, C, T, h, w), Gaussian
    drop_text: Tensor  # (B,) bool: this clip is shown without its text
    from_photo: Tensor  # (B,) bool: this clip begins as sampling begins
    paths: list[PathDraw]  # of each path
    # (B,) bool, of a network that is told boxes: this clip is shown without them, without the photo beside its frames,
    # and without what the gates see of it
    drop_boxes: Tensor | None = None
    drop_photo: Tensor | None = None
    drop_seen: Tensor | None = None
    drop_clip: Tensor | None = None  # (B,) bool, of clips of one video: this one is shown without a LoRA of its own


class Denoising:
    """The objective of both stages: noise in, the weighted sum of the chosen losses out.

    A trainer takes any object with this call: `(network, batch, rng) -> (loss, {name: scalar or None})`.

    Args:
        config: stage, paths, losses, dropout and noise settings.
        backbone: its schedule says what the network predicts; its codec decodes for losses that look at pixels.

    Source: the released code's `finetune_unet` (stage 2); paper 3.1.1 (stage 1: an all-ones mask, nothing
        frozen, the target is the mask video); MotionDirector's for several paths.
    """

    def __init__(self, config: TrainConfig, backbone: Backbone):
        self.config, self.backbone = config, backbone
        self.paths = [(path, make_losses(path.losses, config.stage)) for path in config.all_paths()]

    def __call__(self, network: Any, batch: Batch, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor | None]]:
        return self.loss(network, batch, self.draw(batch, rng), rng)

    def draw(self, batch: Batch, rng: torch.Generator) -> Draw:
        """Draws on the CPU, whatever the device, so that a seed means the same everywhere."""
        shape, device = batch["latents"].shape, batch["latents"].device
        config, schedule, count = self.config, self.backbone.schedule, batch["latents"].shape[0]
        levels = schedule.draw(count, rng)
        from_photo = torch.rand(count, generator=rng) < config.from_photo
        levels = torch.where(from_photo, schedule.draw(count, rng, START_OF_SAMPLING), levels)
        drop_text = torch.rand(count, generator=rng) < config.text_dropout  # for each clip, not for the batch
        noise = torch.randn(shape, generator=rng)
        if config.noise_offset:
            noise = noise + config.noise_offset * torch.randn(*shape[:3], 1, 1, generator=rng)
        paths = [self._draw_path(path, losses, shape, rng) for path, losses in self.paths]
        draw = Draw(levels.to(device), noise.to(device), drop_text.to(device), from_photo.to(device), paths)
        if self.backbone.takes_boxes:
            for name in DROPPED:
                dropped = torch.rand(count, generator=rng) < getattr(config, f"{name}_dropout")
                setattr(draw, f"drop_{name}", dropped.to(device))
        if "begins" in batch:
            draw.drop_clip = (torch.rand(count, generator=rng) < config.clip_dropout).to(device)
        return draw

    def _draw_path(
        self, path: TrainingPath, losses: dict[str, Any], shape: torch.Size, rng: torch.Generator
    ) -> PathDraw:
        drawn = PathDraw(path.chance == 1 or bool(torch.rand((), generator=rng) < path.chance))
        batch, channels, frames, *size = shape
        if path.frames == "one":
            drawn.frame = int(torch.randint(frames, (), generator=rng))
        if path.flip and torch.rand((), generator=rng) < path.flip:
            of_encoder = torch.randn(batch, channels, *size, generator=rng)
            drawn.mirrored = of_encoder, torch.randn(batch, channels, 1, *size, generator=rng)
        if "debiased" in losses:
            drawn.anchor = int(torch.randint(frames, (), generator=rng))
        return drawn

    def loss(
        self, network: Any, batch: Batch, draw: Draw, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | None]]:
        """The weighted sum of the losses over all paths, and each loss by name."""
        parts, figures = self.parts(network, batch, draw, rng)
        return sum(parts, torch.zeros((), device=batch["latents"].device)), figures

    def parts(
        self, network: Any, batch: Batch, draw: Draw, rng: torch.Generator
    ) -> tuple[list[Tensor], dict[str, Tensor | None]]:
        """The weighted sum of the losses of each path that is taken, and each loss by name."""
        totals: list[Tensor] = []
        figures: dict[str, Tensor | None] = {}
        for (path, losses), of_path in zip(self.paths, draw.paths, strict=True):
            prefix = f"{path.name}_" if path.name else ""
            names = [*losses, *(note for term in losses.values() for note in getattr(term, "notes", ()))]
            figures |= dict.fromkeys((prefix + name for name in names), None)
            if not of_path.taken:
                continue
            alone = path.frames == "one"
            part, drawn = self._one_frame(batch, draw, of_path) if alone else (batch, draw)
            prediction = self.predict(network, part, drawn, rng, self._voices(path, batch, draw), alone)
            prediction.anchor = of_path.anchor
            values = {name: value_of(name, term, prediction) for name, term in losses.items()}
            figures |= {prefix + name: value for name, value in (prediction.notes | values).items()}
            # Without any term there is still a gradient, of zero: another process may be waiting for it.
            terms = [losses[name].weight * value for name, value in values.items() if value is not None]
            totals.append(sum(terms, 0 * prediction.output.sum()))
        return totals, figures

    def _voices(self, path: TrainingPath, batch: Batch, draw: Draw) -> Voices | None:
        """What is heard of the LoRA on a path; None: all of it, and all of it learns."""
        roles = self.config.lora
        if set(path.learns) == set(roles) and not any(settings.per_clip for settings in roles.values()):
            return None
        learned = [(other.learns, drawn.taken) for (other, _), drawn in zip(self.paths, draw.paths, strict=True)]
        taken = {role for learns, is_taken in learned if is_taken for role in learns}
        absent = {role for learns, is_taken in learned if not is_taken for role in learns} - taken
        return Voices(frozenset(path.learns), frozenset(path.sounds) - absent, tuple(batch.get("clips", ())))

    def _one_frame(self, batch: Batch, draw: Draw, of_path: PathDraw) -> tuple[Batch, Draw]:
        """The same batch and noise, of one frame; mirrored it is another picture, with another noise."""
        k = of_path.frame
        frame = slice(k, k + 1)
        part = Batch(batch)
        part["photo"] = batch.get("photo", batch["latents"][:, :, :1])
        if "boxes" in batch:
            part["photo_boxes"] = batch.get("photo_boxes", batch["boxes"][:, :1])
        for name in ("latents", "mask_latents"):
            if name in batch:
                part[name] = batch[name][:, :, frame]
        for name in ("frame_masks", "frames", "boxes"):
            if name in batch:
                part[name] = batch[name][:, frame]
        if of_path.mirrored is None:
            return part, replace(draw, noise=draw.noise[:, :, frame])
        of_encoder, noise = of_path.mirrored
        pixels = batch.need("frames", "mirroring a frame encodes anew")[:, k].float() / 255  # (B, H, W, 3)
        with torch.no_grad():
            encoded = self.backbone.codec.encode(pixels.flip(2), of_encoder.transpose(0, 1))  # (C, B, h, w)
        part["latents"] = encoded.transpose(0, 1)[:, :, None].to(batch["latents"])
        part["frames"] = part["frames"].flip(-2)
        part["photo"] = part["photo"].flip(-1)  # nearly what its mirrored picture is encoded as
        for name in ("boxes", "photo_boxes"):
            if name in part:
                x1, y1, x2, y2, there = part[name].unbind(-1)
                part[name] = torch.stack([there - x2, y1, there - x1, y2, there], dim=-1)  # 0 where it is not there
        for name in ("rom_mask", "frame_masks"):
            if name in part:
                part[name] = part[name].flip(-1)
        return part, replace(draw, noise=noise.to(draw.noise))

    def predict(
        self,
        network: Any,
        batch: Batch,
        draw: Draw,
        rng: torch.Generator,
        voices: Voices | None = None,
        alone: bool = False,
    ) -> Prediction:
        """Asks the network about a batch, as sampling will; a frame that is alone is not told a photo."""
        schedule = self.backbone.schedule
        asked = ask(self.config, self.backbone, batch, draw, alone)
        x0, t, noise, begins = asked.x0, draw.levels, draw.noise, over_latents(draw.from_photo)
        noisy = schedule.add_noise(torch.where(begins, asked.photo, x0), noise, t)
        if draw.from_photo.any():
            noise = torch.where(begins, schedule.noise_in(noisy, x0, t), noise)  # what would lead back to x0
        output = network(noisy, t, asked.told, voices)
        gamma = self.config.min_snr
        return Prediction(
            output=output.float(),
            target=schedule.target(x0, noise, t),
            noisy=noisy,
            x0=x0,
            levels=t,
            level_weight=None if gamma is None else min_snr_weight(schedule, t, gamma),
            motion=asked.motion,
            open=asked.open,
            batch=batch,
            backbone=self.backbone,
            rng=rng,
        )

    @torch.no_grad()
    def measure(self, network: Any, batch: Batch, number: int, draws: int) -> Tensor:
        """The plain noise loss with noise that never changes, for comparing one step of a training with another.

        Args:
            network, batch: as in training.
            number: of the draw, 0..draws-1; it decides the noise level, evenly over the schedule.
            draws: how many there are.
        """
        rng = torch.Generator().manual_seed(number)
        draw = self.draw(batch, rng)
        draw.levels = torch.full_like(draw.levels, self.backbone.schedule.at((number + 0.5) / draws))
        nothing = torch.zeros_like(draw.drop_text)
        draw.drop_text = draw.from_photo = nothing
        if draw.drop_boxes is not None:
            draw.drop_boxes = draw.drop_photo = draw.drop_seen = nothing
        if draw.drop_clip is not None:
            draw.drop_clip = nothing
        prediction = self.predict(network, batch, draw, rng)
        return noise_loss(prediction.output, prediction.target)
