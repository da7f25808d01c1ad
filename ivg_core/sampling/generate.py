"""`generate`: a photo, a sentence and a mask become a video. Stage 1 is the same loop with other weights.

So is a video of a sentence alone, by a model that takes no photo.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import IVGError
from ..finite import is_finite
from ..media.images import ImageLike, to_image
from ..media.tracks import Track
from ..models.backbone import UNetBackbone
from ..models.codec import ImageCodec
from ..models.domain import UNFAMILIAR, unfamiliar
from ..models.text import encode_text
from ..models.told import Told
from ..rom.composite import composite_over, keep_first
from .boxes import ToldBoxes, check_boxes, told_boxes
from .crop import OnStep, Windows, motion_windows
from .decode import decode_frames, preview_rgb
from .frugal import Frugal
from .guidance import AsCoded, Guided, what_overflowed
from .inputs import Items, Pictures, check_photo, collect, prepare_pictures, warn_of_actions
from .noise import NoisePrior, fit_noise, gaussian_noise, initial_latents, mix_noise
from .settings import Sampling, check_count
from .solver import Solver, make_solver

if TYPE_CHECKING:
    from ..models.bundle import IVGModel

__all__ = ["Generated", "OnStep", "Sampling", "denoise", "generate", "preview_rgb"]

log = logging.getLogger("ivg")

REFERENCE_SCALE = 0.18215  # written into the released code, whatever vae/config.json says


@dataclass(frozen=True)
class Generated:
    """A generated video. In a batch every field but `latents` has the batch as its first axis."""

    frames: Tensor  # (F, H, W, 3) 0..1, on the CPU
    # (B, 4, F, h, w) float32, on the CPU; of what was sampled, before anything touches the pixels
    latents: Tensor
    mask: Tensor  # (H, W) 0..1, as used, in the video's size
    seed: int | list[int] | None  # None if the noise was given


@torch.no_grad()
def generate(
    model: IVGModel,
    image: ImageLike | Sequence[ImageLike] | None,
    action: str | Sequence[str],
    *,
    mask: ImageLike | Sequence[ImageLike | None] | None = None,
    boxes: Track | Sequence[Track | None] | None = None,
    negative_prompt: str | Sequence[str] = "",
    motion_strength: float | Sequence[float] | None = 5.0,
    num_frames: int | None = None,
    size: tuple[int, int] | None = None,
    seed: int | Sequence[int] | None = None,
    noise: Tensor | None = None,
    prior: NoisePrior | None = None,
    how: Sampling = Sampling(),  # noqa: B008 (frozen)
    stage: int = 2,
    on_step: OnStep | None = None,
) -> Generated:
    """Make a video of an action from a photo, or from the sentence alone.

    For a batch give lists (or an image tensor (B, H, W, 3) with B > 1): each of `image`, `action`, `mask`, `boxes`,
    `negative_prompt`, `motion_strength` and `seed` may be a list with one entry for each video, or one value for all.

    Args:
        model: networks are used as they are, so put one that is being trained into `eval()` first.
        image: the photo: a path, a PIL image or a tensor (H, W, 3) 0..1; None for a text-to-video model.
        action: what is done; 77 tokens are read, and words beyond them are named in a warning.
        mask: where things may move (white): a path, a PIL image or a tensor (H, W) 0..1; None lets everything move. One
            of another size than the photo is stretched to it, with a warning.
        boxes: where things are to be over time, for a model with gates for boxes.
        negative_prompt: what should not be seen.
        motion_strength: how much moves: 3 to 8 is usual, 1..20 works; None does not tell the network.
        num_frames: F >= 1; None takes what the model was made for.
        size: (width, height) of the video, multiples of 8; None takes the area the model is made for and the photo's
            aspect ratio.
        seed: 0..2^64-1, the same on every device. In a batch a single seed s means s, s + 1, …; None chooses one.
        noise: (B, 4, F, h, w), instead of a seed.
        prior: an inverted clip, whose motion shines through: mixed into each video's noise of its seed.
        how: everything else, see `Sampling`.
        stage: 2 makes the video, 1 the mask video.
        on_step: called as `on_step(step, total, x0)` after each of the steps 1..N, with the clean latents
            (B, 4, F, h, w) predicted so far (`preview_rgb` shows them). An exception from it cancels the run and leaves
            nothing behind.

    Returns:
        The video, see `Generated`.

    Raises:
        IVGError: something about the arguments cannot work; the message says what and what to do.

    Source: paper section 3; the released code's `train.py --eval` (parity) and `app.py` (solver "ddim", `t_last` 0,
        "scaled_by_area"). Boxes: SMCD (arXiv 2403.10179).
    """
    check_count("num_frames", num_frames)
    check_photo(model, image, mask, how)
    defaults, scale = model.defaults, REFERENCE_SCALE if how.parity else None
    backbone = UNetBackbone(model, stage, codec=ImageCodec(model.vae, scale))
    unet, codec, base = backbone.network, backbone.codec, (defaults.width, defaults.height)
    num_frames = num_frames or defaults.num_frames
    guidance_scale = defaults.guidance_scale if how.guidance_scale is None else how.guidance_scale
    if how.region == "zoom" and noise is not None:
        raise IVGError('Noise cannot be given with region "zoom", which samples at a size of its own: give a seed.')
    if prior is not None and noise is not None:
        raise IVGError("A noise prior is mixed into the noise of a seed: give a seed, or noise that is mixed already.")
    if prior is not None:
        prior.check(unet, model.name)
    if how.keep_first_frame and num_frames == 1:
        log.warning("With one frame and keep_first_frame the video is the photo itself: ask for more frames.")

    items = collect(image, action, negative_prompt, mask, motion_strength, seed, boxes)
    check_boxes(model, items.tracks, how)
    warn_of_actions(items.actions)
    pictures = prepare_pictures(items, size, base, codec, how, num_frames)
    windows = motion_windows(pictures, codec.cell, how.region, base)
    if any(source is not None for source in items.masks) and not unet.config["motion_mask"]:
        log.warning("The model %s reads no mask: the whole picture may move.", model.name)
    steps = how.num_inference_steps or defaults.num_inference_steps
    solver = make_solver(model.scheduler_config, steps, how.solver, False if how.parity else None, items.seeds)
    device = model.work_device or unet.device
    seeds = items.seeds if noise is None else None
    with model.at_work(model.vae):
        _warn_of_unfamiliar(model, items.images)
        start = _start(items, pictures, windows, codec, how, num_frames, noise, prior, device)
        if windows and on_step:
            on_step = windows.seen_whole(on_step, _still(codec, pictures.photos).to(device), codec.cell)
    with model.at_work(model.text_encoder):
        at_boxes = told_boxes(model, items.tracks, num_frames, windows) if stage == 2 else None
        ladder = _ladder(backbone, items, pictures, start, at_boxes, how, guidance_scale)
    predict = _predictor(backbone, ladder, how)
    with model.at_work(unet), Frugal(predict) as frugal:
        latents = denoise(
            frugal,
            solver,
            initial_latents(solver, start.still if backbone.takes_mask else None, start.noise, how.t_last),
            held=(start.still, start.noise[:, :, :1]) if how.keep_first_frame and start.still is not None else None,
            on_step=on_step,
        )
    if not is_finite(latents):
        raise what_overflowed(backbone, ladder)

    with model.at_work(model.vae):
        frames = decode_frames(ImageCodec(model.vae), latents, how.decode_chunk)
    if windows:
        frames = windows.stitch(frames, pictures.photos)
    if how.composite:
        seam_width = min(pictures.size) / 32 if how.feather is None else how.feather
        frames = composite_over(frames, pictures.photos, pictures.masks, seam_width)
    if how.keep_first_frame:
        frames = keep_first(frames, pictures.photos)
    if how.parity:
        frames = (frames * 255).byte().float() / 255
    if items.batched:
        return Generated(frames, latents.cpu(), pictures.masks, seeds)
    return Generated(frames[0], latents.cpu(), pictures.masks[0], seeds and seeds[0])


def denoise(
    predict: Callable[[Tensor, Tensor, float], Tensor],
    solver: Solver,
    latents: Tensor,
    held: tuple[Tensor, Tensor] | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """The denoising loop.

    Args:
        predict: the network and what it is told: (latents, timestep, progress) -> noise, see `Guided`.
        solver: a fresh one.
        latents: (B, 4, F, h, w) float32 at the noise level of the solver's first step.
        held: clean latent and noise, (B, 4, 1, h, w) each, that frame 0 is held to at every step.
        on_step: see `generate`.

    Returns:
        (B, 4, F, h, w) float32.
    """
    total = len(solver)
    for step in range(total):
        noise_pred = predict(latents, solver.timesteps[step], step / total)
        x0 = solver.predict_x0(noise_pred, latents, step) if on_step else None
        latents = solver.step(noise_pred, latents, step)
        if held:
            latents = torch.cat([solver.add_noise(*held, step + 1), latents[:, :, 1:]], dim=2)
        if on_step and x0 is not None:
            on_step(step + 1, total, x0)
    return latents


@dataclass(frozen=True)
class _Start:
    """What is sampled: the whole pictures or windows of them."""

    cells: Tensor  # (B, 1, 1, h, w), the mask
    still: Tensor | None  # (B, 4, 1, h, w) float32, the photo's latent
    noise: Tensor  # (B, 4, F, h, w) float32


def _warn_of_unfamiliar(model: IVGModel, images: list[ImageLike]) -> None:
    """One warning, if one of the photos is of a kind that the model does not know."""
    if model.domain is None:
        return
    for image in {id(image): image for image in images}.values():
        if said := unfamiliar(model, to_image(image)):
            log.warning(said, extra={UNFAMILIAR: True})
            return


def _start(
    items: Items,
    pictures: Pictures,
    windows: Windows | None,
    codec: ImageCodec,
    how: Sampling,
    num_frames: int,
    noise: Tensor | None,
    prior: NoisePrior | None,
    device: torch.device,
) -> _Start:
    sampled = windows.cut_pictures(pictures, codec, how.binarize_mask) if windows else pictures
    # A window at the video's own scale gets its part of the whole picture's noise, so that the motion is the whole
    # picture's too.
    drawn = sampled if how.region == "zoom" else pictures
    shape = (4, num_frames, *drawn.cells.shape[-2:])
    noise = gaussian_noise(items.seeds, shape) if noise is None else _check_noise(noise, (len(items.actions), *shape))
    if windows and drawn is pictures:
        noise = windows.cut(noise, codec.cell)
    if prior is not None:
        noise = mix_noise(_prior_of(prior, pictures, windows, codec, num_frames), noise, prior.strength)
    still = _still(codec, sampled.photos).to(device) if items.images else None
    return _Start(sampled.cells, still, noise.to(device, torch.float32))


def _prior_of(
    prior: NoisePrior, pictures: Pictures, windows: Windows | None, codec: ImageCodec, num_frames: int
) -> Tensor:
    """The clip's noise for the whole pictures, or its windows; `mix_noise` brings these to the size of a zoom."""
    latents = prior.inverted.latents
    if windows is None:
        return latents
    whole = fit_noise(latents, num_frames, *pictures.cells.shape[-2:])
    return windows.cut(whole.expand(len(pictures.cells), *whole.shape), codec.cell)


def _still(codec: ImageCodec, photos: Tensor) -> Tensor:
    """The latents (B, 4, 1, h, w) of photos (B, H, W, 3)."""
    return codec.encode(photos).transpose(0, 1)[:, :, None]


def _ladder(
    backbone: UNetBackbone,
    items: Items,
    pictures: Pictures,
    start: _Start,
    at_boxes: ToldBoxes | None,
    how: Sampling,
    guidance_scale: float,
) -> list[tuple[float, Told]]:
    """What the network is told: nothing, then the photo, then the boxes, then the action in place of the negative."""
    network, device = backbone.network, start.noise.device
    area = pictures.cells.mean(dim=(1, 2, 3, 4)) if how.motion_mode == "scaled_by_area" else 1
    motion = None if items.strengths is None else torch.tensor(items.strengths) * area
    guided = guidance_scale > 1
    known = list(dict.fromkeys([*items.actions, *(items.negatives if guided else ())]))
    states = dict(zip(known, encode_text(backbone.model, known), strict=True))
    told = Told(torch.stack([states[sentence] for sentence in items.actions]))  # (B, 77, D)
    if start.still is not None:
        told = replace(told, photo=start.still)
    if start.still is not None and backbone.takes_mask:
        told = replace(told, mask=start.cells, motion=motion)
    if at_boxes is not None:
        told = replace(told, boxes=at_boxes.boxes, phrases=at_boxes.phrases)
    ladder = [(guidance_scale if guided else 1.0, told)]
    if guided:
        told = replace(told, text=torch.stack([states[sentence] for sentence in items.negatives]))
    if any(items.tracks) and at_boxes is not None:
        ladder.insert(0, (how.boxes_scale, told))
        told = replace(told, boxes=at_boxes.absent)
    if how.photo_scale != 1 and not how.parity and start.still is not None:
        ladder.insert(0, (how.photo_scale, told))
        told = replace(told, photo=torch.zeros_like(start.still))
    ladder.insert(0, (1.0, told))
    return [(scale, told.to(device, network.dtype)) for scale, told in ladder]


def _predictor(backbone: UNetBackbone, ladder: list[tuple[float, Told]], how: Sampling) -> Guided:
    whole = ladder[-1][1]
    if not how.parity or how.photo_scale == 1 or whole.photo is None:
        return Guided(backbone, ladder, how.guidance_interval, how.cache_every)
    without = replace(whole, photo=torch.zeros_like(whole.photo), seen=whole.photo)
    return AsCoded(backbone, ladder, without, how.photo_scale)


def _check_noise(noise: Tensor, shape: tuple[int, ...]) -> Tensor:
    if tuple(noise.shape) != shape:
        raise IVGError(
            f"The noise has shape {tuple(noise.shape)}, and this run needs {shape}: change the noise, or "
            "num_frames and size."
        )
    if not is_finite(noise):
        raise IVGError("The noise holds NaN or infinite values.")
    return noise
