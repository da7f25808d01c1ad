"""What a core video model is told, as core's own nodes and sampler would tell it."""

from __future__ import annotations

import copy
import uuid
from dataclasses import replace
from typing import Any

import comfy.sampler_helpers
import comfy.samplers
import torch
from torch import Tensor

from ..ivg_core.errors import IVGError
from ..ivg_core.models.told import Told
from ..ivg_core.rom.latent import still_video
from ._core_check import HUNYUAN, Family, only_part
from ._core_decode import CoreCodec

GREY = 0.5  # what core's nodes put where a video is not given


@torch.inference_mode(False)
def told_of(conditioning: list) -> Told:
    """A sentence as core's text encoder gives it: `text`, and what goes with it in `also`.

    Args:
        conditioning: a CONDITIONING of one part.

    Raises:
        IVGError: it has several parts, or holds something that no training goes through.
    """
    text, also = only_part(conditioning)
    return Told(_ordinary(text), also={key: _ordinary(value) for key, value in also.items()})


@torch.inference_mode(False)
@torch.no_grad()
def photo_part(
    family: Family, codec: CoreCodec, photo: Tensor, frames: int, mask: Tensor | None = None
) -> dict[str, Any]:
    """The photo that a video begins with, as a network is told it: fields of `Told`, for one clip.

    Args:
        family: of the model.
        codec: of the model.
        photo: (H, W, 3), 0..1, of the video's size.
        frames: F of the video.
        mask: (T, h, w) latent cells, 1 = may move, where the model is to be told them; see `latent_mask`.

    Returns:
        `photo`, latents that are known (1, C, 1 or T, h, w), and `mask`, 0 where they are known (1, 1, T, h, w); or,
        beside the noise, `concat_latent_image` and `concat_mask` in `also`.

    Raises:
        IVGError: the model cannot be told a mask, or the photo does not lie on whole tokens.
    """
    height, width, _ = photo.shape
    grid = codec.grid(frames, (width, height))
    if mask is not None and not family.takes_mask:
        raise IVGError(f"{family.name} cannot be told where in a frame things may move: leave the mask out.")
    photo = _ordinary(photo)
    still = still_video(photo, grid)
    cells = torch.ones(1, 1, grid.frames, grid.height, grid.width)
    if mask is not None:
        cells = cells * mask.to(cells)
    cells[:, :, 0] = 0
    if family.way == "concat":
        shown = still.clone()
        if mask is None:
            shown[1:] = GREY
        return {"also": {"concat_latent_image": codec.encode_raw(shown), "concat_mask": cells}}
    known = codec.encode(photo[None])[None]
    if mask is not None:
        known = torch.cat([known, codec.encode(still)[None, :, 1:]], dim=2)
    also = {"guiding_frame_index": 0} if family is HUNYUAN else {}
    return {"photo": known, "mask": cells, "also": also}


def with_photo(told: Told, part: dict[str, Any]) -> Told:
    """A sentence (see `told_of`) and the photo that the video begins with (see `photo_part`)."""
    return replace(told, **{**part, "also": {**(told.also or {}), **part["also"]}})


def as_conditioning(told: Told) -> list:
    """What core's sampler is given for it; latents that are known travel apart, see `known_latents`."""
    return [[told.text, dict(told.also or {})]]


def known_latents(told: Told, noisy: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Latents that are known, and the noise mask (1 = generated), in the noisy latents' shape; None: nothing is."""
    if told.photo is None or told.mask is None:
        return None, None
    known = torch.zeros_like(noisy)
    known[:, :, : told.photo.shape[2]] = told.photo.to(noisy)
    return known, comfy.sampler_helpers.prepare_mask(told.mask, noisy.shape, noisy.device)


def model_inputs(
    model: Any, noisy: Tensor, sigma: Tensor, told: Told, known: Tensor | None, mask: Tensor | None
) -> dict[str, Any]:
    """What core's sampler would pass to `apply_model` beside noisy latents and sigma, by core's own functions.

    Args:
        model: core's BaseModel.
        noisy: (B, C, T, h, w).
        sigma: (B,).
        told: sentence and photo.
        known, mask: see `known_latents`.
    """
    positive = comfy.sampler_helpers.convert_cond(as_conditioning(told))
    encoded = comfy.samplers.encode_model_conds(
        model.extra_conds, positive, noisy, noisy.device, "positive", latent_image=known, denoise_mask=mask, seed=0
    )
    entry = comfy.samplers.get_area_and_mult(encoded[0], noisy, sigma)
    options = {"cond_or_uncond": [0], "uuids": [uuid.uuid4()], "sigmas": sigma}
    return {**comfy.samplers.cond_cat([entry.conditioning]), "transformer_options": options}


def _ordinary(value: Any) -> Any:
    """A value whose tensors autograd takes: those made in inference mode, as all in ComfyUI, are not."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, list | tuple):
        return type(value)(_ordinary(one) for one in value)
    if hasattr(value, "__dict__"):  # what a CLIP vision model gives
        made = copy.copy(value)
        vars(made).update({name: _ordinary(one) for name, one in vars(value).items()})
        return made
    return value
