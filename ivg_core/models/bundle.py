"""What a loaded checkpoint is: the networks of both stages and everything that goes with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ..errors import IVGError
from .domain import Domain

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from transformers import CLIPTextModel, CLIPTokenizer

    from .inflated import InflatedUNet
    from .provenance import Provenance
    from .unet import IVGUNet


@dataclass(frozen=True)
class ModelDefaults:
    """The settings a checkpoint was made for: pixels, frames, steps, guidance, frames a second.

    Attributes:
        width: of the video, in pixels.
        height: of the video, in pixels.
        num_frames: of the video.
        num_inference_steps: of the denoising.
        guidance_scale: how strongly the sentence is followed.
        fps: frames a second.
    """

    width: int = 512
    height: int = 512
    num_frames: int = 16
    num_inference_steps: int = 25
    guidance_scale: float = 9.0
    fps: int = 8

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelDefaults:
        """Takes what it knows out of `values`; the rest keeps the published defaults."""
        defaults = asdict(cls())
        known = {key: value for key, value in values.items() if key in defaults and value is not None}
        return cls(**{key: type(defaults[key])(value) for key, value in known.items()})


@dataclass
class IVGModel:
    """One checkpoint in memory.

    Args:
        unet: stage 2, photo + action + mask -> video; or that of a model of sentences alone.
        rom_unet: stage 1, photo + action -> mask video.
        vae, text_encoder, tokenizer: shared by both stages.
        scheduler_config: the checkpoint's scheduler_config.json as it was read; a missing key: the solver's default.
        defaults: the settings the checkpoint was made for.
        name: short name for people.
        source: where it came from.
        licence: what its weights may be used for, if the checkpoint says so.
        domain: the pictures it knows, see `models.domain`; None: any.
        provenance: what its weights are made of, where they are made of several things; None: of what `source` holds.
        work_device: where the networks work. Networks move here one at a time, so only one occupies this device; None:
            they work where they are.
    """

    unet: IVGUNet | InflatedUNet | None
    rom_unet: IVGUNet | None
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler_config: dict[str, Any]
    defaults: ModelDefaults = field(default_factory=ModelDefaults)
    name: str = ""
    source: str = ""
    licence: str = ""
    domain: Domain | None = None
    provenance: Provenance | None = None
    work_device: torch.device | None = None

    @contextmanager
    def at_work(self, *networks: Any) -> Iterator[None]:
        """Has some of the networks, or others that help them, on `work_device` for the time of the block."""
        if self.work_device is None:
            yield
            return
        homes = [network.device for network in networks]
        try:
            for network in networks:
                network.to(self.work_device)
            yield
        finally:
            for network, home in zip(networks, homes, strict=True):
                network.to(home)

    def for_stage(self, stage: int) -> IVGUNet | InflatedUNet:
        """The UNet of a stage: 1 predicts the region of motion, 2 the video.

        Raises:
            IVGError: this checkpoint has no weights for it.
        """
        unet = {1: self.rom_unet, 2: self.unet}[stage]
        if unet is not None:
            return unet
        if stage == 1:
            raise IVGError(
                f'The model "{self.name}" has no stage-1 weights, so it cannot predict the region of motion: load some '
                'beside it (rom=…), or choose a fallback mask: "white", "prior" or "hands".'
            )
        raise IVGError(
            f'The model "{self.name}" has only stage-1 weights, which predict masks: load a full IVG checkpoint and '
            "give this one as rom=…."
        )

    @property
    def takes_photo(self) -> bool:
        """Whether it makes videos of a photo; otherwise it makes them of sentences alone."""
        unet = self.unet or self.rom_unet
        return unet is None or unet.takes_photo

    @property
    def takes_mask(self) -> bool:
        """Whether it is told where things may move, and how much they do."""
        unet = self.unet or self.rom_unet
        return unet is None or unet.takes_mask

    @property
    def takes_boxes(self) -> bool:
        """Whether its videos follow boxes."""
        return self.unet is not None and self.unet.takes_boxes

    @property
    def device(self) -> torch.device:
        return (self.unet or self.rom_unet or self.vae).device

    @property
    def dtype(self) -> torch.dtype:
        return (self.unet or self.rom_unet or self.vae).dtype

    @property
    def vae_scale_factor(self) -> int:
        """Pixels per latent cell in each direction, 8 for the published models."""
        return 2 ** (len(self.vae.config["block_out_channels"]) - 1)
