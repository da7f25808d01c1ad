"""What a network is asked about a batch, and what it should make of it: where stages and models differ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..models.codec import mask_cells
from ..models.schedule import over_latents
from ..models.told import Told, latent_motion_score
from .batches import Batch

if TYPE_CHECKING:
    from ..models.backbone import Backbone
    from .config import TrainConfig
    from .objective import Draw


@dataclass(frozen=True)
class Asked:
    """A batch as the network meets it.

    Attributes:
        x0: the clean latents that it should make (B, C, T, h, w), float32.
        told: what it is told beside the noisy ones.
        photo: latent of the photo (B, C, 1, h, w).
        motion: the motion score that it is told (B,); None: it is told none.
        open: 1 where it generates and so learns, 0 where sampling holds what is known (B, 1, T, h, w); None: all of it.
    """

    x0: Tensor
    told: Told
    photo: Tensor
    motion: Tensor | None = None
    open: Tensor | None = None


def ask(config: TrainConfig, backbone: Backbone, batch: Batch, draw: Draw, alone: bool = False) -> Asked:
    """What the network is asked.

    Args:
        config: of the training.
        backbone: whose network it is.
        batch: the clips.
        draw: what of it is left out.
        alone: it is one frame by itself, which is not told a photo.

    Raises:
        IVGError: the batch lacks something that this is made of.
    """
    if "told" in batch:
        return _told_beforehand(config, batch, draw)
    photo = batch.get("photo", batch["latents"][:, :, :1]).float()  # (B, 4, 1, h, w)
    mask: Tensor | None = None
    motion: Tensor | None = None
    if not backbone.takes_mask:
        x0 = batch["latents"].float()
    elif config.stage == 1:
        x0 = batch.need("mask_latents", "is what stage 1 learns").float()
        mask = x0.new_ones(1, 1, 1, *x0.shape[-2:])
    else:
        x0 = batch["latents"].float()
        rom = batch.need("rom_mask", "stage 2 is conditioned on").float()  # (B, H, W)
        mask = mask_cells(rom, x0.shape[-2], x0.shape[-1], binarize=True)
        if config.freeze_outside:
            x0 = freeze_outside(x0, photo, mask)
        motion = None if alone else latent_motion_score(x0)
    text = torch.where(draw.drop_text.reshape(-1, 1, 1), batch["empty_text"], batch["text"])
    shown = photo if backbone.takes_photo and not alone else None
    told = _with_boxes(config, backbone, Told(text, shown, mask, motion), batch, draw)
    if draw.drop_clip is not None:
        begins = torch.tensor(batch["begins"], device=x0.device)
        told = replace(told, begins=torch.where(draw.drop_clip, -1, begins))
    if config.control_net:
        pixels = batch.need("control", "the control net follows").float() / 255
        told = replace(told, control=pixels.permute(0, 4, 1, 2, 3))
    return Asked(x0, told, photo, motion)


def _told_beforehand(config: TrainConfig, batch: Batch, draw: Draw) -> Asked:
    """A batch of another program's network, whose clips were told when they were encoded, as its sampler tells them."""
    latents = batch.need("mask_latents", "is what stage 1 learns") if config.stage == 1 else batch["latents"]
    each = zip(batch["told"], batch["untold"], draw.drop_text.tolist(), strict=True)
    told = Told.cat([untold if dropped else told for told, untold, dropped in each]).to(latents.device)
    return Asked(latents.float(), told, batch["latents"][:, :, :1].float(), open=batch.get("open"))


def _with_boxes(config: TrainConfig, backbone: Backbone, told: Told, batch: Batch, draw: Draw) -> Told:
    """What is told, with the boxes, where the network is told them and the clips have some."""
    if draw.drop_boxes is None or draw.drop_photo is None or draw.drop_seen is None:
        return told
    if config.gates or not backbone.takes_mask:
        batch.need("boxes", "the gates learn from")
    if "boxes" not in batch:
        return told
    boxes, phrases = batch["boxes"].float(), batch["phrases"].to(told.text)  # (B, F, N, 5), (B, N, D)
    kept = ~draw.drop_boxes.reshape(-1, 1, 1, 1)
    told = replace(told, boxes=boxes * kept, phrases=phrases if phrases.ndim == 4 else phrases[:, None])
    if "photo_boxes" in batch:
        told = replace(told, photo_boxes=batch["photo_boxes"].float() * kept)
    if told.photo is None or backbone.takes_mask:
        return told
    seen, beside = (told.photo * ~over_latents(drop) for drop in (draw.drop_seen, draw.drop_photo))
    return replace(told, photo=beside, seen=seen)


def freeze_outside(latents: Tensor, condition_latent: Tensor, latent_mask: Tensor) -> Tensor:
    """Holds every frame to the photo outside the mask: this is what gives the mask its meaning.

    Args:
        latents: (B, C, T, h, w).
        condition_latent: latent of the photo (B, C, 1, h, w), or of the photo held still (B, C, T, h, w).
        latent_mask: 1 where things may move (B, 1, 1 or T, h, w).

    Returns:
        (B, C, T, h, w).

    Source: the released code's finetune_unet.
    """
    return condition_latent * (1 - latent_mask) + latents * latent_mask
