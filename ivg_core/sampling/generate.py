"""`generate`: a photo, a sentence and a mask become a video. Stage 1 is the same loop with other weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ..errors import IVGError
from ..media.images import ImageLike
from ..rom.composite import composite_over, keep_first
from .condition import encode_image
from .crop import OnStep, Region, motion_window
from .decode import decode_frames, preview_rgb
from .deep_features import cached_features
from .frugal import FrugalNoise
from .guidance import Condition, GuidedNoise
from .inputs import collect, prepare_pictures
from .noise import gaussian_noise, initial_latents
from .solver import Solver, SolverName, make_solver

if TYPE_CHECKING:
    from ..models.bundle import IVGModel

__all__ = ["Generated", "OnStep", "denoise", "generate", "preview_rgb"]

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
    image: ImageLike | Sequence[ImageLike],
    action: str | Sequence[str],
    *,
    mask: ImageLike | Sequence[ImageLike | None] | None = None,
    negative_prompt: str | Sequence[str] = "",
    num_frames: int = 16,
    num_inference_steps: int = 25,
    guidance_scale: float = 9.0,
    motion_strength: float | Sequence[float] | None = 5.0,
    size: tuple[int, int] | None = None,
    seed: int | Sequence[int] | None = None,
    noise: Tensor | None = None,
    parity: bool = False,
    keep_first_frame: bool = False,
    composite: bool = False,
    feather: float | None = None,
    binarize_mask: bool = False,
    motion_mode: Literal["raw", "scaled_by_area"] = "raw",
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    solver: SolverName = "dpm++2m",
    t_last: int | None = None,
    region: Region = "whole",
    cache_every: int = 1,
    decode_chunk: int | None = None,
    stage: int = 2,
    on_step: OnStep | None = None,
) -> Generated:
    """Make a video of an action from a photo.

    For a batch give lists (or an image tensor (B, H, W, 3) with B > 1): each of `image`, `action`, `mask`,
    `negative_prompt`, `motion_strength` and `seed` may be a list with one entry for each video, or one value for all.

    Args:
        model: networks are used as they are, so put one that is being trained into `eval()` first.
        image: the photo: a path, a PIL image or a tensor (H, W, 3) 0..1.
        action: what is done; 77 tokens are read, and words beyond them are named in a warning.
        mask: where things may move (white): a path, a PIL image or a tensor (H, W) 0..1; None lets everything move. One
            of another size than the photo is stretched to it, with a warning.
        negative_prompt: what should not be seen.
        num_frames: F >= 1.
        num_inference_steps: N >= 1.
        guidance_scale: how strongly the sentence is followed; at most 1 means not guided, in half the time.
        motion_strength: how much moves: 3 to 8 is usual, 1..20 works; None does not tell the network.
        size: (width, height) of the video, multiples of 8; None takes the area the model is made for and the photo's
            aspect ratio.
        seed: 0..2^64-1, the same on every device. In a batch a single seed s means s, s + 1, …; None chooses one.
        noise: (B, 4, F, h, w), instead of a seed.
        parity: do as the released code does, to the letter: `size` is the base of its area rule, the mask's soft edge
            turns white, EXIF rotation is ignored, frames are truncated to 8 bits.
        keep_first_frame: frame 0 is the photo itself; its latent is held in the loop, so that the rest connects to it.
        composite: outside the mask the photo's own pixels are kept.
        feather: width of the composite's seam in pixels; None is 1/32 of the shorter side.
        binarize_mask: round the latent mask to 0 and 1, as in training.
        motion_mode: "raw", or "scaled_by_area": times the mean of the latent mask, which calms small regions.
        guidance_interval: which part of the steps is guided, as fractions of them.
        solver: "dpm++2m", "ddim", or "lcm" for a model with a few-step LoRA, at 4 to 8 steps and guidance 1.
        t_last: start noise of the released web app, see `initial_latents`.
        region: what is sampled. "whole": the whole picture. "crop": a window around the mask at the video's own scale,
            laid back over the still photo; measured 34 dB from the whole at 1.3 times its speed, and faster the smaller
            the mask is. "zoom": the window brought to the area the model is made for, which shows more detail.
        cache_every: the network is computed whole at every so many steps and its deep layers reused in between; 1 is
            exact; measured 44 dB and 1.4 times the speed at 2, 40 dB and 1.6 times at 3.
        decode_chunk: frames decoded at once; fewer take less memory. None takes as many as make 512 x 512 pixels, 1 to
            8.
        stage: 2 makes the video, 1 the mask video.
        on_step: called as `on_step(step, total, x0)` after each of the steps 1..N, with the clean latents
            (B, 4, F, h, w) predicted so far (`preview_rgb` shows them). An exception from it cancels the run and leaves
            nothing behind.

    Returns:
        The video, see `Generated`.

    Raises:
        IVGError: something about the arguments cannot work; the message says what and what to do.

    Source: paper section 3; the released code's `train.py --eval` (parity) and `app.py` (solver "ddim", `t_last` 0,
        "scaled_by_area").
    """
    unet = model.for_stage(stage)
    _check_counts(num_frames=num_frames, num_inference_steps=num_inference_steps, cache_every=cache_every)
    if decode_chunk is not None:
        _check_counts(decode_chunk=decode_chunk)
    _check_options(guidance_scale, feather, motion_mode)
    added = keep_first_frame or composite or binarize_mask or motion_mode != "raw"
    if parity and (added or region != "whole" or cache_every > 1):
        raise IVGError(
            "Parity mode follows the released code, which knows no keep_first_frame, composite, binarize_mask, scaled "
            "motion, region or cache_every: leave these off, or turn parity off."
        )
    if region == "zoom" and noise is not None:
        raise IVGError('Noise cannot be given with region "zoom", which samples at a size of its own: give a seed.')
    if keep_first_frame and num_frames == 1:
        log.warning("With one frame and keep_first_frame the video is the photo itself: ask for more frames.")
    items = collect(image, action, negative_prompt, mask, motion_strength, seed)
    batch, cell, defaults = len(items.images), model.vae_scale_factor, model.defaults
    pictures = prepare_pictures(items, size, (defaults.width, defaults.height), cell, binarize_mask, parity)
    width, height = pictures.size
    window = motion_window(pictures, cell, region, (defaults.width, defaults.height))
    sampled = window.cut_pictures(pictures, cell, binarize_mask) if window else pictures
    if any(source is not None for source in items.masks) and not unet.config["motion_mask"]:
        log.warning("The model %s reads no mask: the whole picture may move.", model.name)

    zero_snr = False if parity else None
    steps = make_solver(model.scheduler_config, num_inference_steps, solver, zero_snr, items.seeds)
    noise_size = sampled.size if region == "zoom" else pictures.size
    shape = (4, num_frames, noise_size[1] // cell, noise_size[0] // cell)
    seeds = items.seeds if noise is None else None
    noise = gaussian_noise(items.seeds, shape) if noise is None else _check_noise(noise, (batch, *shape))
    if window and region == "crop":
        noise = window.cut(noise, cell)  # the whole picture's noise, so that the motion is the whole picture's too
    device = model.work_device or unet.device
    noise = noise.to(device, torch.float32)
    scale = REFERENCE_SCALE if parity else model.vae.config["scaling_factor"]
    with model.at_work(model.vae):
        condition_latent = encode_image(model.vae, sampled.photos, scale).to(device)
        if window and on_step:
            on_step = window.seen_whole(on_step, encode_image(model.vae, pictures.photos, scale).to(device), cell)
    area = pictures.cells.mean(dim=(1, 2, 3, 4)) if motion_mode == "scaled_by_area" else 1
    with model.at_work(model.text_encoder):
        text, negative = _encode_texts(model, items.actions, items.negatives if guidance_scale > 1 else None)
    condition = Condition(
        text=text.to(device, unet.dtype),
        negative=None if negative is None else negative.to(device, unet.dtype),
        latent=condition_latent.to(unet.dtype),
        mask=sampled.cells.to(device, unet.dtype),
        motion=None if items.strengths is None else (torch.tensor(items.strengths) * area).to(device),
    )
    guided = GuidedNoise(unet, condition, guidance_scale, guidance_interval)
    with model.at_work(unet), cached_features(unet, cache_every), FrugalNoise(guided) as predict:
        latents = denoise(
            predict,
            steps,
            initial_latents(steps, condition_latent, noise, t_last),
            held=(condition_latent, noise[:, :, :1]) if keep_first_frame else None,
            on_step=on_step,
        )
    if not torch.isfinite(latents).all():
        raise IVGError(f"The network's numbers overflowed in {unet.dtype}: load the model in bfloat16 or float32.")

    with model.at_work(model.vae):
        frames = decode_frames(model.vae, latents, decode_chunk)
    if window:
        frames = window.stitch(frames, pictures.photos)
    if composite:
        seam_width = min(width, height) / 32 if feather is None else feather
        frames = composite_over(frames, pictures.photos, pictures.masks, seam_width)
    if keep_first_frame:
        frames = keep_first(frames, pictures.photos)
    if parity:
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
        predict: the network and what it is told: (latents, timestep, progress) -> noise, see `GuidedNoise`.
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


def _encode_texts(model: IVGModel, actions: list[str], negatives: list[str] | None) -> tuple[Tensor, Tensor | None]:
    from ..models.text import encode_text

    prompts = actions + (negatives or [])
    distinct = list(dict.fromkeys(prompts))
    text = encode_text(model, distinct)[[distinct.index(prompt) for prompt in prompts]]  # (B or 2 B, 77, D)
    return text[: len(actions)], text[len(actions) :] if negatives else None


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise IVGError(f"{name} is {value}: give a whole number of at least 1.")


def _check_options(guidance_scale: float, feather: float | None, motion_mode: str) -> None:
    if not math.isfinite(guidance_scale):
        raise IVGError(f"guidance_scale is {guidance_scale}: give a number; 9 is usual, 1 means none.")
    if feather is not None and not 0 <= feather < math.inf:
        raise IVGError(f"feather is {feather}: give a number of pixels from 0 up.")
    if motion_mode not in ("raw", "scaled_by_area"):
        raise IVGError(f"There is no motion_mode {motion_mode!r}: choose raw or scaled_by_area.")


def _check_noise(noise: Tensor, shape: tuple[int, ...]) -> Tensor:
    if tuple(noise.shape) != shape:
        raise IVGError(
            f"The noise has shape {tuple(noise.shape)}, and this run needs {shape}: change the noise, or "
            "num_frames and size."
        )
    if not torch.isfinite(noise).all():
        raise IVGError("The noise holds NaN or infinite values.")
    return noise
