"""The seam: whatever network predicts noise, sampling and training see it as a `Backbone`."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from .codec import Codec, ImageCodec
from .inflated import InflatedUNet
from .lora import lora_sites
from .schedule import DiffusionSchedule, Schedule
from .told import Told

if TYPE_CHECKING:
    from .bundle import IVGModel
    from .unet import IVGUNet


class Predictor(Protocol):
    """What the denoising loop asks of a network."""

    @property
    def network(self) -> Any:
        """The `nn.Module` that predicts, is trained, or gets hooks."""
        ...

    def __call__(self, noisy: Tensor, level: Tensor, told: Told, features: Any = None) -> Tensor:
        """What the network gives for noisy latents.

        Args:
            noisy: (B, C, T, h, w).
            level: (B,) or one for all, as `schedule` counts.
            told: in the latents' dtype.
            features: what a run keeps of earlier calls, if its sampler reuses deep layers.

        Returns:
            (B, C, T, h, w).
        """
        ...


class Movable(Predictor, Protocol):
    """One that windows of time may be spread with, over several devices."""

    def on(self, device: torch.device) -> Movable:
        """A copy of it there."""
        ...


class Backbone(Predictor, Protocol):
    """A network with all that goes with it."""

    @property
    def name(self) -> str:
        """For metadata and messages."""
        ...

    @property
    def takes_photo(self) -> bool:
        """Whether it is told a photo."""
        ...

    @property
    def takes_mask(self) -> bool:
        """Whether it is told where things may move, and how much they do."""
        ...

    @property
    def takes_boxes(self) -> bool:
        """Whether it is told boxes."""
        ...

    @property
    def schedule(self) -> Schedule:
        """What its timesteps mean."""
        ...

    @property
    def codec(self) -> Codec:
        """Between pixels and its latents."""
        ...

    def sites(self, roles: Iterable[str]) -> dict[str, nn.Module]:
        """Where a LoRA of these roles may stand, by module name."""
        ...


class UNetBackbone:
    """The IVG network of one stage, or an image model made a video model.

    Args:
        model: the checkpoint.
        stage: 1 predicts the mask video, 2 the video.
        network: in place of the stage's own.
        schedule: in place of the checkpoint's.
        codec: in place of the checkpoint's.
    """

    def __init__(
        self,
        model: IVGModel,
        stage: int,
        network: IVGUNet | InflatedUNet | None = None,
        schedule: DiffusionSchedule | None = None,
        codec: ImageCodec | None = None,
    ):
        self.model, self.stage, self.name = model, stage, model.name
        self.network = network or model.for_stage(stage)
        self.codec = codec or ImageCodec(model.vae)
        self._schedule = schedule

    @cached_property
    def schedule(self) -> DiffusionSchedule:
        """See `Backbone`; made when training asks for it, as sampling follows its solver's."""
        return self._schedule or DiffusionSchedule(self.model.scheduler_config)

    def __call__(self, noisy: Tensor, level: Tensor, told: Told, features: Any = None) -> Tensor:
        """See `Backbone`."""
        if isinstance(self.network, InflatedUNet):
            return self.network(noisy, level, told.text, features=features, **self.network.reads(told))
        return self.network(
            noisy,
            level,
            told.text,
            condition_latent=told.photo,
            mask=told.mask,
            motion=told.motion,
            boxes=told.boxes,
            phrases=told.phrases,
            photo_boxes=told.photo_boxes,
            seen=told.seen,
            features=features,
        )

    def on(self, device: torch.device) -> UNetBackbone:
        """See `Movable`."""
        return UNetBackbone(self.model, self.stage, copy.deepcopy(self.network).to(device), self._schedule, self.codec)

    @property
    def takes_photo(self) -> bool:
        """See `Backbone`."""
        return self.network.takes_photo

    @property
    def takes_mask(self) -> bool:
        """See `Backbone`."""
        return self.network.takes_mask

    @property
    def takes_boxes(self) -> bool:
        """See `Backbone`."""
        return self.network.takes_boxes

    def sites(self, roles: Iterable[str]) -> dict[str, nn.Module]:
        """See `Backbone`."""
        return lora_sites(self.network, roles)
