"""`invert`: the sampler run backwards over a clip, which gives the noise that the model would make it of."""

from __future__ import annotations

import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import IVGError
from ..finite import is_finite, overflow
from ..media.cache import Cache, user_cache
from ..media.clips import MemoryClip
from ..media.frames import to_frames
from ..media.images import ImageLike, resize_image, resize_mask, to_image, to_mask
from ..media.targets import user_path
from ..models.backbone import Movable, UNetBackbone
from ..models.codec import ImageCodec, check_cells, mask_cells
from ..models.fingerprint import base_fingerprint, fingerprint
from ..models.text import encode_text
from ..models.told import Told, latent_motion_score
from .boxes import told_boxes
from .context import ContextWindows
from .crop import OnStep
from .edit import at_size, source_size
from .guidance import what_overflowed
from .inputs import check_beside
from .loop import sample_latents
from .noise import Inverted, noise_around
from .settings import Sampling, check_count
from .solver import Inverse, Solver, make_inverse

if TYPE_CHECKING:
    from ..models.bundle import IVGModel

STEPS = 50  # as MotionDirector


@torch.no_grad()
def invert(
    model: IVGModel,
    frames: Tensor,
    *,
    steps: int = STEPS,
    prompt: str = "",
    photo: ImageLike | None = None,
    mask: ImageLike | None = None,
    motion_strength: float | None = None,
    size: tuple[int, int] | None = None,
    stage: int = 2,
    on_step: OnStep | None = None,
    context: ContextWindows | None = None,
    beside: Tensor | None = None,
) -> Inverted:
    """The noise from which the model, with the solver "ddim" and without guidance, makes about this clip again.

    Args:
        model: networks are used as they are.
        frames: the clip (F, H, W, 3) 0..1, F >= 2.
        steps: N >= 1 of the inversion, at most half of the schedule's timesteps.
        prompt: what is done in the clip; usually not told.
        photo: what a model that takes a photo is told; None: the clip's first frame.
        mask: where things may move (white), (H, W) or a path; None: everywhere.
        motion_strength: told to a model that takes a photo; None: what is measured of the clip.
        size: (width, height) in which the clip is inverted; None: the area the model is made for, the clip's shape.
        stage: whose network, see `generate`.
        on_step: see `generate`; from clean to noise.
        context: windows of time for a clip that is longer than what the model was made for; their `noise` does not
            matter.
        beside: see `generate`.

    Returns:
        The noise. With an IVG model it is what has to be added to the photo's latent, as `generate` begins with that.

    Raises:
        IVGError: no clip, a clip of one frame, a model without a photo input is given a photo or mask, too many steps.

    Source: DDIM (arXiv 2010.02502); MotionDirector (arXiv 2310.08465).
    """
    check_count("steps", steps)
    clip = _clip(model, frames, size)
    if not model.takes_photo and not (photo is None and mask is None):
        raise IVGError(f'The model "{model.name}" knows neither photo nor mask: leave them out.')
    backbone = UNetBackbone(model, stage)
    unet, codec = backbone.network, backbone.codec
    solver = make_inverse(model.scheduler_config, steps)
    device = model.work_device or unet.device
    shown = (clip.shape[2], clip.shape[1])
    with model.at_work(model.vae):
        clean = clean_latents(codec, clip)
        own = clip[:1] if photo is None else resize_image(to_image(photo), shown)[None]
        still = clean[:, :, :1] if photo is None else codec.encode(own)[None]
    if not is_finite(still):
        raise overflow(model.vae, "The autoencoder", model.vae.dtype)
    check_beside(model, beside, tuple(clean.shape))
    clean, still = clean.to(device), still.to(device)
    with model.at_work(model.text_encoder):
        told = told_alone(model, prompt, clean.shape[2])
    told = replace(told, photo=still if model.takes_photo else None, beside=beside)
    if model.takes_mask:
        white = torch.ones(1, *clip.shape[1:3]) if mask is None else resize_mask(to_mask(mask)[None], shown)
        cells = check_cells(mask_cells(white, *clean.shape[-2:]))
        moves = latent_motion_score(clean) if motion_strength is None else clean.new_tensor([motion_strength])
        told = replace(told, mask=cells, motion=moves)
    ladder = [(1.0, told.to(device, unet.dtype))]
    how, made_for = Sampling(context=context), model.defaults.num_frames
    with model.at_work(unet):
        latents = sample_latents(backbone, ladder, how, solver, made_for, clean, on_step=on_step)
    if not is_finite(latents):
        raise what_overflowed(backbone, ladder)
    if model.takes_mask:
        latents = noise_around(solver, still, latents)
    return Inverted(latents[0].cpu(), model.name, base_fingerprint(unet), prompt, steps, shown)


def invert_once(
    model: IVGModel,
    frames: Tensor,
    *,
    steps: int = STEPS,
    prompt: str = "",
    size: tuple[int, int] | None = None,
    on_step: OnStep | None = None,
    folder: Path | None = None,
) -> Inverted:
    """`invert`, or what is kept of it: the same frames in the same network with the same settings are inverted once.

    Args:
        folder: where it is kept; None: a folder of the user's cache.
    """
    networks = (model.for_stage(2), model.vae, model.text_encoder)
    shaped_by = {
        "clip": MemoryClip(to_frames(frames, "frames of the clip")).identity(),
        "networks": [fingerprint(network) for network in networks],
        "schedule": model.scheduler_config,
        "made for": asdict(model.defaults),
        "settings": [steps, prompt, size],
    }
    path = Cache(folder or user_cache("inverted")).path("noise", shaped_by)
    if kept := _read(path):
        return kept
    inverted = invert(model, frames, steps=steps, prompt=prompt, size=size, on_step=on_step)
    save_inverted(inverted, path)
    return inverted


def save_inverted(inverted: Inverted, path: Path) -> None:
    """Write it as .safetensors: `latents`, and the rest as metadata.

    Raises:
        IVGError: the place cannot be written to.
    """
    about = {field.name: getattr(inverted, field.name) for field in fields(inverted) if field.name != "latents"}
    Cache.write(path, {"latents": inverted.latents}, about)


def load_inverted(path: str | os.PathLike) -> Inverted:
    """What `save_inverted` wrote.

    Raises:
        IVGError: there is no file, or it is of another kind or damaged.
    """
    file = user_path(path)
    if not file.is_file():
        raise IVGError(f"There is no file {file}: check the path.")
    if inverted := _read(file):
        return inverted
    raise IVGError(f"{file} holds no inverted clip: make one with `ivg invert`, or give a video.")


def _read(path: Path) -> Inverted | None:
    kept = Cache.read(path)
    try:
        tensors, about = kept or ({}, {})
        latents, (width, height) = tensors["latents"].float(), about["size"]
        inverted = Inverted(
            latents,
            model=str(about["model"]),
            fingerprint=str(about["fingerprint"]),
            prompt=str(about["prompt"]),
            steps=int(about["steps"]),
            size=(int(width), int(height)),
        )
    except (KeyError, TypeError, ValueError):
        return None
    return inverted if latents.ndim == 4 and latents.numel() and is_finite(latents) else None


def clean_latents(codec: ImageCodec, clip: Tensor) -> Tensor:
    """The latents (1, 4, F, h, w) of a clip (F, H, W, 3).

    Raises:
        IVGError: the autoencoder gives NaN or infinity.
    """
    clean = codec.encode(clip)[None]
    if not is_finite(clean):
        raise overflow(codec.vae, "The autoencoder", codec.vae.dtype)
    return clean


def told_alone(model: IVGModel, prompt: str, num_frames: int) -> Told:
    """What a clip is told of a sentence alone; gates for boxes see none."""
    told = Told(encode_text(model, [prompt]))
    if (nothing := told_boxes(model, [None], num_frames, None)) is not None:
        told = replace(told, boxes=nothing.boxes, phrases=nothing.phrases)
    return told


def invert_source(
    backbone: Movable,
    told: Told,
    how: Sampling,
    solver: Solver,
    own: int,
    clean: Tensor,
    on_step: OnStep | None = None,
) -> Tensor:
    """The noise from which the steps of a solver lead back to about a source video, without guidance.

    Args:
        backbone: what predicts, where it is to compute.
        told: what it is told, in its dtype.
        how: of the video; its windows of time and parity count.
        solver: a fresh one.
        own: frames that the model was made for.
        clean: (B, 4, F, h, w) float32, latents of the source video.
        on_step: see `generate`; from clean to noise.

    Returns:
        (B, 4, F, h, w) float32, at the noise level of the solver's first step.
    """
    windows = how.context and replace(how.context, smooth=False)
    back = Sampling(context=windows, parity=how.parity)
    return sample_latents(backbone, [(1.0, told)], back, Inverse(solver), own, clean, on_step=on_step)


def both_ways(on_step: OnStep | None) -> tuple[OnStep | None, OnStep | None]:
    """`on_step` for the way to the noise and for the way back, of as many steps, which it counts as one run."""
    if on_step is None:
        return None, None
    return (
        lambda step, total, x0: on_step(step, 2 * total, x0),
        lambda step, total, x0: on_step(total + step, 2 * total, x0),
    )


def _clip(model: IVGModel, frames: Tensor, size: tuple[int, int] | None) -> Tensor:
    """The clip (F, H, W, 3) at the size at which it is inverted."""
    clip = to_frames(frames, "frames of the clip")
    if len(clip) == 1:
        raise IVGError("The clip has one frame, in which nothing moves: give a video, or several frames.")
    return at_size(clip, source_size(model, clip, size))
