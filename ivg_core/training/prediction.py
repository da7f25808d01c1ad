"""What a network made of a batch, as the losses see it: its output, the clean latents in it, and their pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..models.codec import LatentGrid
from .batches import Batch
from .crops import Crop

if TYPE_CHECKING:
    from ..models.backbone import Backbone


@dataclass
class Prediction:
    """What a loss is given. C, T, h, w are the latents', F, H, W the video's.

    Attributes:
        output: (B, C, T, h, w) float32, what the network returned.
        target: (B, C, T, h, w), what it should have.
        noisy: (B, C, T, h, w), the latents that the network was given.
        x0: (B, C, T, h, w), the clean latents.
        levels: (B,), timesteps.
        level_weight: (B,), of min-SNR; None: all count alike.
        motion: (B,), the motion score that the network was told; None: it is told none.
        batch: the clips, see `Sample`: each tensor has a first axis B, texts are lists.
        backbone: the network, with its schedule and its codec.
        rng: for what a loss draws itself, so that a training that was stopped goes on exactly.
        open: (B, 1, T, h, w), 1 where it learns, 0 where sampling holds what is known; None: all.
        anchor: the frame that differences are taken to.
        notes: figures that a loss reports beside its value.
    """

    output: Tensor
    target: Tensor
    noisy: Tensor
    x0: Tensor
    levels: Tensor
    level_weight: Tensor | None
    motion: Tensor | None
    batch: Batch
    backbone: Backbone
    rng: torch.Generator
    open: Tensor | None = None
    anchor: int = 0
    notes: dict[str, Tensor] = field(default_factory=dict)

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
        """`count` different frames of the video in order, drawn at random; 0 = all.

        Where a latent frame holds several frames, all of its frames, of as few latent frames in a row as hold `count`;
        never the first, which is the photo.
        """
        grid, frames = self.grid, self.grid.video_frames
        if grid.stride > 1 and grid.frames > 1:
            wanted = math.ceil(count / grid.stride) if 0 < count < frames else grid.frames - 1
            first = 1 + int(torch.randint(grid.frames - wanted, (), generator=self.rng))
            return list(range(1 + (first - 1) * grid.stride, 1 + (first - 1 + wanted) * grid.stride))
        if not 0 < count < frames:
            return list(range(frames))
        return sorted(torch.randperm(frames, generator=self.rng)[:count].tolist())

    def decode(
        self, rows: Tensor, frames: list[int], latents: Tensor | None = None, crops: Sequence[Crop] | None = None
    ) -> Tensor:
        """Pixels of clips and frames, with gradient; activations are recomputed in the backward pass.

        Args:
            rows: indices of clips (R,).
            frames: L indices of frames.
            latents: (B, C, T, h, w); None: the predicted clean ones.
            crops: of each of these clips, all of one size; None: the whole picture.

        Returns:
            (R, L, 3, H, W) float32, 0..1.
        """
        chosen = (self.x0_pred if latents is None else latents)[rows]  # (R, C, T, h, w)
        parts = chosen if crops is None else [crop.latents(clip) for crop, clip in zip(crops, chosen, strict=True)]
        decode = self.backbone.codec.decode
        together = [[k] for k in frames] if self.grid.stride == 1 else [frames]  # those that share latent frames
        shown = [checkpoint(decode, clip[None], ks, use_reentrant=False) for clip in parts for ks in together]
        pixels = torch.cat([one[0].movedim(-1, 1) for one in shown])  # (R * L, 3, H, W)
        return pixels.unflatten(0, (len(chosen), len(frames)))

    def true_frames(self, row: int) -> Tensor:
        """The frames of a clip (F, H, W, 3), 0..1: the pixels themselves, or its latents decoded if it has none."""
        if "frames" in self.batch:
            return self.batch["frames"][row].float() / 255
        frames = list(range(self.grid.video_frames))
        with torch.no_grad():
            shown = self.decode(torch.tensor([row]), frames, self.batch["latents"].float())
        return shown[0].permute(0, 2, 3, 1)
