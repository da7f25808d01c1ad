"""One training step of either stage, up to the loss: what is drawn, what the network is asked, what it answered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..models.codec import LatentGrid, mask_cells
from ..models.schedule import min_snr_weight, over_latents
from ..models.told import Told
from ..models.voices import Voices
from .batches import Batch
from .losses import latent_motion_score, make_losses, noise_loss

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


@dataclass
class Prediction:
    """What the network made of a batch, as the losses see it. C, T, h, w are the latents', F, H, W the video's."""

    output: Tensor  # (B, C, T, h, w) float32, what the network returned
    target: Tensor  # (B, C, T, h, w), what it should have
    noisy: Tensor  # (B, C, T, h, w)
    x0: Tensor  # (B, C, T, h, w), the clean latents
    levels: Tensor  # (B,), timesteps
    level_weight: Tensor | None  # (B,), min-SNR
    motion: Tensor | None  # (B,) the motion score the network was told
    batch: Batch
    backbone: Backbone
    rng: torch.Generator  # for what a loss draws itself
    anchor: int = 0  # the frame that differences are taken to
    notes: dict[str, Tensor] = field(default_factory=dict)  # figures that a loss reports beside its value

    @cached_property
    def signal(self) -> Tensor:
        """Share of the signal (B,), see `Schedule`."""
        return self.backbone.schedule.signal(self.levels)

    @cached_property
    def x0_pred(self) -> Tensor:
        """The clean latents that the output implies (B, C, T, h, w)."""
        return self.backbone.schedule.to_x0(self.output, self.noisy, self.levels)

    @cached_property
    def grid(self) -> LatentGrid:
        """How the video lies on the latents."""
        frames, height, width = self.x0.shape[2:]
        codec = self.backbone.codec
        return LatentGrid(frames, height, width, codec.cell, codec.stride)

    def choose_frames(self, count: int) -> list[int]:
        """`count` different frames of the video in order, drawn at random; 0 = all."""
        frames = self.grid.video_frames
        if not 0 < count < frames:
            return list(range(frames))
        return sorted(torch.randperm(frames, generator=self.rng)[:count].tolist())

    def decode(self, rows: Tensor, frames: list[int], latents: Tensor | None = None) -> Tensor:
        """Pixels of clips and frames, with gradient; activations are recomputed in the backward pass.

        Args:
            rows: indices of clips (R,).
            frames: L indices of frames.
            latents: (B, C, T, h, w); None: the predicted clean ones.

        Returns:
            (R, L, 3, H, W) float32, 0..1.
        """
        chosen = (self.x0_pred if latents is None else latents)[rows]  # (R, C, T, h, w)
        decode = self.backbone.codec.decode
        shown = [checkpoint(decode, clip[None], [k], use_reentrant=False) for clip in chosen for k in frames]
        pixels = torch.cat([one.movedim(-1, 2) for one in shown])  # (R * L, 1, 3, H, W)
        return pixels[:, 0].unflatten(0, (len(chosen), len(frames)))

    def true_frames(self, row: int) -> Tensor:
        """The frames of a clip (F, H, W, 3), 0..1: the pixels themselves, or its latents decoded if it has none."""
        if "frames" in self.batch:
            return self.batch["frames"][row].float() / 255
        frames = list(range(self.grid.video_frames))
        with torch.no_grad():
            shown = self.decode(torch.tensor([row]), frames, self.batch["latents"].float())
        return shown[0].permute(0, 2, 3, 1)


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
            values = {name: term(prediction) for name, term in losses.items()}
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
        photo = batch.get("photo", batch["latents"][:, :, :1]).float()  # (B, 4, 1, h, w)
        mask: Tensor | None = None
        motion: Tensor | None = None
        if not self.backbone.takes_mask:
            x0 = batch["latents"].float()
        elif self.config.stage == 1:
            x0 = batch.need("mask_latents", "is what stage 1 learns").float()
            mask = x0.new_ones(1, 1, 1, *x0.shape[-2:])
        else:
            x0 = batch["latents"].float()
            rom = batch.need("rom_mask", "stage 2 is conditioned on").float()  # (B, H, W)
            mask = mask_cells(rom, x0.shape[-2], x0.shape[-1], binarize=True)
            if self.config.freeze_outside:
                x0 = freeze_outside(x0, photo, mask)
            motion = None if alone else latent_motion_score(x0)
        t, noise, begins = draw.levels, draw.noise, over_latents(draw.from_photo)
        noisy = schedule.add_noise(torch.where(begins, photo, x0), noise, t)
        if draw.from_photo.any():
            noise = torch.where(begins, schedule.noise_in(noisy, x0, t), noise)  # what would lead back to x0
        text = torch.where(draw.drop_text.reshape(-1, 1, 1), batch["empty_text"], batch["text"])
        shown = photo if self.backbone.takes_photo and not alone else None
        told = self._with_boxes(Told(text, shown, mask, motion), batch, draw)
        if draw.drop_clip is not None:
            begins = torch.tensor(batch["begins"], device=t.device)
            told = replace(told, begins=torch.where(draw.drop_clip, -1, begins))
        if self.config.control_net:
            pixels = batch.need("control", "the control net follows").float() / 255
            told = replace(told, control=pixels.permute(0, 4, 1, 2, 3))
        output = network(noisy, t, told, voices)
        gamma = self.config.min_snr
        return Prediction(
            output=output.float(),
            target=schedule.target(x0, noise, t),
            noisy=noisy,
            x0=x0,
            levels=t,
            level_weight=None if gamma is None else min_snr_weight(schedule, t, gamma),
            motion=motion,
            batch=batch,
            backbone=self.backbone,
            rng=rng,
        )

    def _with_boxes(self, told: Told, batch: Batch, draw: Draw) -> Told:
        """What is told, with the boxes, where the network is told them and the clips have some."""
        if draw.drop_boxes is None or draw.drop_photo is None or draw.drop_seen is None:
            return told
        if self.config.gates or not self.backbone.takes_mask:
            batch.need("boxes", "the gates learn from")
        if "boxes" not in batch:
            return told
        boxes, phrases = batch["boxes"].float(), batch["phrases"].to(told.text)  # (B, F, N, 5), (B, N, D)
        kept = ~draw.drop_boxes.reshape(-1, 1, 1, 1)
        told = replace(told, boxes=boxes * kept, phrases=phrases if phrases.ndim == 4 else phrases[:, None])
        if "photo_boxes" in batch:
            told = replace(told, photo_boxes=batch["photo_boxes"].float() * kept)
        if told.photo is None or self.backbone.takes_mask:
            return told
        seen, beside = (told.photo * ~over_latents(drop) for drop in (draw.drop_seen, draw.drop_photo))
        return replace(told, photo=beside, seen=seen)

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


def freeze_outside(latents: Tensor, condition_latent: Tensor, latent_mask: Tensor) -> Tensor:
    """Holds every frame to the photo outside the mask: this is what gives the mask its meaning.

    Args:
        latents: (B, 4, F, h, w).
        condition_latent: latent of the photo (B, 4, 1, h, w).
        latent_mask: 1 where things may move (B, 1, 1, h, w).

    Returns:
        (B, 4, F, h, w).

    Source: the released code's finetune_unet.
    """
    return condition_latent * (1 - latent_mask) + latents * latent_mask
