"""Clips and sentences as a core video model is told them, for our data side; see `ClipEncoder`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import comfy.model_management as mm
import torch
from torch import Tensor

from ..ivg_core.errors import IVGError
from ..ivg_core.models.codec import LatentGrid
from ..ivg_core.rom.latent import latent_mask, still_video
from ..ivg_core.training.asked import freeze_outside
from ..ivg_core.training.data.told_parts import flatten
from ._core_backbone import CoreBackbone
from ._core_condition import photo_part, told_of
from ._core_fingerprint import fingerprint_of

if TYPE_CHECKING:
    from ..ivg_core.training.data.prepare import Prepared

#: Clips' size when nobody names one: a mask needs no detail, and a step little memory.
SIZE = (480, 480)
#: Cells by which a told region grows, as in IVG Apply RoM by default.
GROW = 1


class CoreEncoder:
    """A core video model with its text encoder.

    Args:
        backbone: the model.
        clip: core's CLIP that belongs to it.
        stage: 1 learns mask videos, 2 videos.
    """

    model = None  # no IVG model stands behind it

    def __init__(self, backbone: CoreBackbone, clip: Any, stage: int):
        self.backbone, self.text_encoder, self.stage = backbone, clip, stage
        self.codec, self.size, self.device = backbone.codec, SIZE, str(mm.get_torch_device())
        self.tells = backbone.tell_region and stage == 2
        self.takes_mask = True

    @cached_property
    def made_by(self) -> Mapping[str, Any]:
        """See `ClipEncoder`."""
        return {
            "stage": self.stage,
            "family": self.backbone.name,
            "vae": fingerprint_of(self.codec.vae.patcher),
            "told_region": self.tells and GROW,
        }

    @cached_property
    def texts_made_by(self) -> str:
        """See `ClipEncoder`."""
        return f"{fingerprint_of(self.text_encoder.patcher)} {self.text_encoder.layer_idx}"

    def clip(self, prepared: Prepared) -> dict[str, Tensor]:
        """See `ClipEncoder`: latents of the video, in stage 1 of the mask video, and what is told of the photo."""
        mm.throw_exception_if_processing_interrupted()
        frames = torch.from_numpy(prepared.frames).float() / 255  # (F, H, W, 3)
        count, height, width, _ = frames.shape
        grid = self.codec.grid(count, (width, height))
        tensors = {"latents": self.codec.encode(frames)}
        if self.stage == 1 and prepared.masks.frames is not None:
            tensors["mask_latents"] = self.codec.encode(mask_video(prepared.masks.frames, frames[0]))
        cells: Tensor | None = None
        if self.tells:
            cells = latent_mask(torch.from_numpy(prepared.masks.rom).float() / 255, grid, GROW)
            tensors["latents"] = self._held_still(tensors["latents"], frames[0], cells, grid)
        takes = self.backbone.takes_mask
        part = photo_part(self.backbone.family, self.codec, frames[0], count, cells if takes else None)
        if "mask" in part:  # sampling puts what is known back at every step
            tensors["open"] = (part["mask"][0] if cells is None or takes else cells[None]).clone()
        return tensors | flatten(part)

    def _held_still(self, latents: Tensor, photo: Tensor, cells: Tensor, grid: LatentGrid) -> Tensor:
        still = self.codec.encode(still_video(photo, grid))
        return freeze_outside(latents[None], still[None], cells.to(latents))[0]

    def text(self, caption: str) -> dict[str, Tensor]:
        """See `ClipEncoder`; as core's CLIP Text Encode does it."""
        mm.throw_exception_if_processing_interrupted()
        with torch.no_grad():
            made = self.text_encoder.encode_from_tokens_scheduled(self.text_encoder.tokenize(caption))
        told = told_of(made)
        return flatten({"text": told.text.float(), "also": told.also})

    def phrases(self, phrases: list[str]) -> Tensor:
        """See `ClipEncoder`.

        Raises:
            IVGError: always.
        """
        raise IVGError(f"{self.backbone.name} follows no boxes: leave them out.")


def mask_video(masks: Any, photo: Tensor) -> Tensor:
    """What stage 1 makes: the photo, and then white on black what moves in each frame.

    An image-to-video model is made to begin with its photo, and some cannot but do so.

    Args:
        masks: (F, H, W) uint8, numpy.
        photo: (H, W, 3), 0..1.

    Returns:
        (F, H, W, 3), 0..1.
    """
    video = torch.from_numpy(masks).float()[..., None].expand(-1, -1, -1, 3) / 255
    return torch.cat([photo[None], video[1:]])
