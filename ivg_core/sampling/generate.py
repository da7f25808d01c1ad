"""`generate`: a photo, a sentence and a mask become a video. Stage 1 is the same loop with other weights.

So is a video of a sentence alone, by a model that takes no photo.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
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
from ..models.control import Controlled
from ..models.domain import UNFAMILIAR, unfamiliar
from ..models.told import Told
from .boxes import check_boxes, told_boxes
from .clip_windows import as_tuned
from .crop import OnStep, motion_windows
from .decode import preview_rgb
from .edit import ControlVideo, SourceVideo, fit_source
from .finish import Frames
from .guidance import what_overflowed
from .inputs import Items, Pictures, check_beside, check_photo, collect, prepare_pictures, warn_of_actions
from .invert import both_ways, clean_latents, invert_source, told_alone
from .ladder import ladder_of
from .loop import denoise, sample_latents
from .noise import NoisePrior, initial_latents
from .prompts import PromptSchedule, windows_for
from .settings import Sampling, check_count
from .solver import make_solver
from .start import start_of, still_of

if TYPE_CHECKING:
    from ..models.bundle import IVGModel

__all__ = ["Generated", "OnStep", "Sampling", "denoise", "generate", "preview_rgb"]

log = logging.getLogger("ivg")

REFERENCE_SCALE = 0.18215  # written into the released code, whatever vae/config.json says


@dataclass(frozen=True)
class Generated:
    """A generated video. In a batch every field but `latents` has the batch as its first axis.

    Attributes:
        frames: (F, H, W, 3) 0..1, on the CPU; (0, H, W, 3) if they were not asked for at once.
        latents: (B, 4, F, h, w) float32, on the CPU; of what was sampled, before anything touches the pixels.
        mask: (H, W) 0..1, as used, in the video's size.
        seed: that it was made with; None if the noise was given.
        later: the frames, if they were not asked for at once.
    """

    frames: Tensor
    latents: Tensor
    mask: Tensor
    seed: int | list[int] | None
    later: Frames | None = None

    @property
    def chunks(self) -> Iterable[Tensor]:
        """The frames of a single video in order, (n, H, W, 3) at a time, as often as it is gone through."""
        return (self.frames,) if self.later is None else self.later


@torch.no_grad()
def generate(
    model: IVGModel,
    image: ImageLike | Sequence[ImageLike] | None,
    action: str | PromptSchedule | Sequence[str | PromptSchedule],
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
    beside: Tensor | None = None,
    source: SourceVideo | None = None,
    control: ControlVideo | None = None,
    how: Sampling = Sampling(),  # noqa: B008 (frozen)
    stage: int = 2,
    on_step: OnStep | None = None,
    at_once: bool = True,
) -> Generated:
    """Make a video of an action from a photo, or from the sentence alone.

    For a batch give lists (or an image tensor (B, H, W, 3) with B > 1): each of `image`, `action`, `mask`, `boxes`,
    `negative_prompt`, `motion_strength` and `seed` may be a list with one entry for each video, or one value for all.

    Args:
        model: networks are used as they are, so put one that is being trained into `eval()` first.
        image: the photo: a path, a PIL image or a tensor (H, W, 3) 0..1; None for a text-to-video model.
        action: what is done; 77 tokens are read, and words beyond them are named in a warning. A schedule of several
            sentences is sampled in windows of time: those of `how`, or such as the model was made for.
        mask: where things may move (white): a path, a PIL image or a tensor (H, W) 0..1; None lets everything move. One
            of another size than the photo is stretched to it, with a warning. With a source video: where that changes,
            one for all its frames, or a list or tensor (F, H, W) with one for each; it is for `Sampling.composite` and
            for models that inpaint.
        boxes: where things are to be over time, for a model with gates for boxes.
        negative_prompt: what should not be seen.
        motion_strength: how much moves: 3 to 8 is usual, 1..20 works; None does not tell the network.
        num_frames: F >= 1; None takes what the model was made for, or those of the source video.
        size: (width, height) of the video, multiples of 8; None takes the area the model is made for and the aspect
            ratio of the photo or source video.
        seed: 0..2^64-1, the same on every device. In a batch a single seed s means s, s + 1, …; None chooses one.
        noise: (B, 4, F, h, w), instead of a seed.
        prior: an inverted clip, whose motion shines through: mixed into each video's noise of its seed.
        beside: (B or 1, C, F or 1, h, w), what an image model with a depth map or for inpainting reads beside the
            latents, see `InflatedUNet.forward`. For inpainting None makes it of source video and mask.
        source: a video to start from, for a model that takes no photo.
        control: what an image model made a video model is held to, by a ControlNet or another.
        how: everything else, see `Sampling`; what it leaves open is as the model was made for, with the first frame and
            what lies outside the mask kept where there is a photo.
        stage: 2 makes the video, 1 the mask video.
        on_step: called as `on_step(step, total, x0)` after each of the steps 1..N, with the clean latents
            (B, 4, F, h, w) predicted so far (`preview_rgb` shows them). An exception from it cancels the run and leaves
            nothing behind.
        at_once: False leaves `frames` empty, for a single video that is too long for them: `Generated.chunks` decodes
            a few at a time, when they are asked for.

    Returns:
        The video, see `Generated`.

    Raises:
        IVGError: something about the arguments cannot work; the message says what and what to do.

    Source: paper section 3; the released code's `train.py --eval` (parity) and `app.py` (solver "ddim", `t_last` 0,
        "scaled_by_area"). Boxes: SMCD (arXiv 2403.10179).
    """
    check_count("num_frames", num_frames)
    how = how.for_scene(stage == 2 and image is not None, source is not None and mask is not None)
    defaults, scale = model.defaults, REFERENCE_SCALE if how.parity else None
    own = defaults.num_frames
    backbone = UNetBackbone(model, stage, codec=ImageCodec(model.vae, scale))
    unet, codec, base = backbone.network, backbone.codec, (defaults.width, defaults.height)
    predictor = backbone if control is None else Controlled(backbone, control.net, control.scale)
    edit = None
    if source is not None:
        others = {"noise": noise, "noise prior": prior}
        edit = fit_source(model, source, mask, num_frames, size, how, beside, others)
        mask, num_frames, size = None, len(edit.frames), edit.size
    num_frames = num_frames or own
    guidance_scale = defaults.guidance_scale if how.guidance_scale is None else how.guidance_scale
    if how.region == "zoom" and noise is not None:
        raise IVGError('Noise cannot be given with region "zoom", which samples at a size of its own: give a seed.')
    if prior is not None and noise is not None:
        raise IVGError("A noise prior is mixed into the noise of a seed: give a seed, or noise that is mixed already.")
    if prior is not None:
        prior.check(unet, model.name)
    if how.keep_first_frame and num_frames == 1:
        log.warning("With one frame, which is the photo, the video is the photo itself: ask for more frames.")

    items = collect(image, action, negative_prompt, mask, motion_strength, seed, boxes)
    if items.batched and not at_once:
        raise IVGError("The frames of a batch cannot come a few at a time: make its videos one by one.")
    check_photo(model, image, items.masked or None, how, edit is not None)
    check_boxes(model, items.tracks, how)
    warn_of_actions(items.sentences)
    how = as_tuned(how, model, num_frames)
    how, spans = windows_for(items.schedules, how, num_frames, own)
    pictures = prepare_pictures(items, size, base, codec, how, num_frames, at_once)
    if edit is None or not edit.paints:
        check_beside(model, beside, (len(items.schedules), 4, num_frames, *pictures.cells.shape[-2:]))
    pixels = None if control is None else control.pixels(num_frames, pictures.size)
    windows = motion_windows(pictures, codec.cell, how.region, base)
    if items.masked and not unet.config["motion_mask"]:
        log.warning("The model %s reads no mask: the whole picture may move.", model.name)
    steps = how.num_inference_steps or defaults.num_inference_steps
    solver = make_solver(model.scheduler_config, steps, how.solver, False if how.parity else None, items.seeds)
    device, count = model.work_device or unet.device, len(items.schedules)
    seeds = items.seeds if noise is None else None
    with model.at_work(model.vae):
        warn_of_unfamiliar(model, items.images)
        if edit is not None:  # whose latents stand where noise would
            noise = clean_latents(codec, edit.frames).expand(count, -1, -1, -1, -1)
            beside = edit.beside(codec) if edit.paints else beside
            solver, pictures = solver.last(edit.steps(steps)), edit.masked(pictures)
        start = start_of(items, pictures, windows, codec, how, num_frames, own, noise, prior, device)
        if windows and on_step:
            on_step = windows.seen_whole(on_step, still_of(codec, pictures.photos).to(device), codec.cell)
    if edit is not None and not len(solver):
        return _generated(items, edit.frames.expand(count, -1, -1, -1, -1), start.noise, pictures, seeds)
    with model.at_work(model.text_encoder):
        at_boxes = told_boxes(model, items.tracks, num_frames, windows) if stage == 2 else None
        ladder = ladder_of(
            backbone, items, pictures.cells, start.still, start.cells, at_boxes, how, guidance_scale, spans, device
        )
        silent = told_alone(model, "", num_frames) if edit is not None else None
    ladder = [(scale, replace(told, beside=beside, control=pixels).to(device, unet.dtype)) for scale, told in ladder]
    begin = initial_latents(solver, start.still if backbone.takes_mask else None, start.noise, how.t_last)
    held = (start.still, start.noise[:, :, :1]) if how.keep_first_frame and start.still is not None else None
    with model.at_work(unet, *([control.net] if control is not None and control.net is not None else [])):
        if silent is not None:
            rung = replace(Told.cat([silent] * count), beside=beside, control=pixels).to(device, unet.dtype)
            before, on_step = both_ways(on_step)
            begin = invert_source(predictor, rung, how, solver, own, begin, before)
        latents = sample_latents(predictor, ladder, how, solver, own, begin, held, on_step)
    if not is_finite(latents):
        raise what_overflowed(backbone, ladder)
    frames = Frames(model, latents, pictures, windows, how, edit)
    clips = frames.all() if at_once else pictures.photos.new_empty(1, 0, *pictures.masks.shape[1:], 3)
    return _generated(items, clips, latents, pictures, seeds, None if at_once else frames)


def _generated(
    items: Items,
    frames: Tensor,
    latents: Tensor,
    pictures: Pictures,
    seeds: list[int] | None,
    later: Frames | None = None,
) -> Generated:
    if items.batched:
        return Generated(frames, latents.cpu(), pictures.masks, seeds)
    return Generated(frames[0], latents.cpu(), pictures.masks[0], seeds and seeds[0], later)


def warn_of_unfamiliar(model: IVGModel, images: list[ImageLike]) -> None:
    """One warning, if one of the photos is of a kind that the model does not know."""
    if model.domain is None:
        return
    for image in {id(image): image for image in images}.values():
        if said := unfamiliar(model, to_image(image)):
            log.warning(said, extra={UNFAMILIAR: True})
            return
