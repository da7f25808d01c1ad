"""`generate` and `predict-mask`: the two stages."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from ..errors import IVGError
from ..media.files import PICTURES, entries_in
from ..media.targets import check_fps
from ..sampling.settings import Sampling
from .edit import check_edit, edit_of, edit_options
from .invert import prior_of, prior_options
from .kinds import a_path, new_folder, new_picture, new_video, not_negative, number
from .shared import (
    command,
    denoising_options,
    given,
    hand_options,
    load_for_sampling,
    model_options,
    network_options,
    progress,
    sampling_of,
    sampling_options,
    say,
    scene_options,
    stage1_options,
    unit_option,
)

if TYPE_CHECKING:
    from torch import Tensor

    from ..media.tracks import Track
    from ..models.bundle import IVGModel
    from ..sampling.noise import NoisePrior
    from ..sampling.prompts import PromptSchedule


def add(commands) -> None:
    """Add the commands to the parser."""
    model, scene, stage1 = model_options(), scene_options(), stage1_options()
    said = "photo + sentence -> video, by way of the mask; with a text-to-video model: sentence -> video"
    how = (network_options(), sampling_options(), prior_options(), edit_options(), hand_options())
    generate = command(commands, "generate", _generate, said, model, scene_options(False), stage1, *how)
    generate.add_argument(
        "--out", type=new_video, required=True, help="video to write: .mp4, .webm, .gif or .png (numbered)"
    )
    generate.add_argument(
        "--mask",
        type=a_path,
        help="image, white where things may move; not given: it is predicted, with --prompts for each sentence. Where "
        "there are windows of time, mask videos have the model's own length",
    )
    generate.add_argument(
        "--boxes",
        type=a_path,
        help="box track that the things follow: a .json, or SMCD's bbox.txt in the photo's pixels",
    )
    generate.add_argument("--phrase", help='what is in the boxes of a bbox.txt, such as "cup"')
    generate.add_argument(
        "--fallback",
        choices=("white", "prior", "hands", "find"),
        help="mask to use in place of a predicted one: everything, the mean of others, --margin around each hand, or "
        "what find-rom finds",
    )
    generate.add_argument("--prior-masks", type=a_path, help="folder of masks whose mean is the prior")
    unit_option(generate, "--margin and --grow")
    generate.add_argument("--margin", type=not_negative, default=32.0, help="pixels around the hands that may move too")
    generate.add_argument("--negative", default="", help="what the video should not show")
    generate.add_argument("--motion", type=not_negative, default=5.0, help="motion strength, 1 to 20")
    generate.add_argument("--grow", type=number(), default=4, help="pixels by which a predicted mask is grown")
    generate.add_argument(
        "--chain",
        action="store_true",
        help="a long video as clips, each of which begins with the last frame of the one before; not in windows of "
        "time, which all see the photo",
    )
    generate.add_argument("--fps", type=number(1e-3, 240), help="frames a second (default: the model's)")
    generate.add_argument(
        "--sheet", type=new_picture, help="also write a contact sheet, a PNG; all frames are in memory then"
    )

    said = "photo + sentence -> mask of where it will move"
    others = (network_options(), denoising_options())
    predict = command(commands, "predict-mask", _predict_mask, said, model, scene, stage1, *others)
    predict.add_argument("--out", type=new_picture, required=True, help="PNG to write, white where things will move")
    predict.add_argument("--frames-out", type=new_folder, help="folder for the mask of each frame")


def _generate(options: argparse.Namespace) -> None:
    from ..media.contact_sheet import contact_sheet
    from ..media.images import load_image, save_png
    from ..media.video import as_comment
    from ..sampling.describe import how_made
    from ..sampling.generate import generate
    from ..sampling.inputs import check_photo
    from ..sampling.predict import mask_frames
    from ..sampling.prompts import as_schedule, windows_for

    source_fps = check_edit(options)
    photo = load_image(options.image) if options.image else None
    how = sampling_of(options, photo is not None, options.video is not None and options.mask is not None)
    _check_chain(options, how)
    if fps := given(options.fps, source_fps):
        check_fps(options.out, fps)
    masked = options.image is None or options.mask or options.fallback  # then no mask video is made
    model = load_for_sampling(options, [2] if masked else [2, 1])
    check_photo(model, photo, options.mask or options.fallback, how, options.video is not None)
    boxes = _boxes_of(options, photo)
    prior = prior_of(options, model)
    needs_mask = model.takes_mask or options.mask or options.fallback
    asked_for = {
        "prompt": str(options.prompts or options.prompt),
        "negative_prompt": options.negative,
        "image": options.image and options.image.name,
        "video": options.video and options.video.name,
        "mask": (options.mask.name if options.mask else options.fallback or "predicted") if needs_mask else None,
        "boxes": options.boxes and options.boxes.name,
        "noise_prior": options.noise_prior and options.noise_prior.name,
        "motion_strength": options.motion if model.takes_mask else None,
    }
    action = options.prompts or options.prompt
    schedule, made_for = as_schedule(action), model.defaults.num_frames
    if options.chain:
        frames = _chained(options, model, photo, action, how, prior, bool(needs_mask))
        notes = how_made(model, how, **asked_for, seed=options.seed, chain=True)
        return _keep([frames], options.out, given(fps, model.defaults.fps), notes)
    edited = edit_of(options, model)
    num_frames = edited.get("num_frames") or options.frames
    windows_for([schedule], how, num_frames or made_for, made_for)  # says what does not fit, before any work
    mask = None
    if photo is not None and needs_mask:
        given_one = options.mask or options.fallback or len(schedule.stretches) == 1
        asked = schedule.sentences[:1] if given_one else schedule.sentences
        masks = [
            _mask_for(options, model, photo, sentence, mask_frames(options.frames, schedule, how)) for sentence in asked
        ]
        mask, action = (masks[0], action) if given_one else (None, schedule.with_masks(masks))
    video = generate(
        model,
        options.image if options.parity else photo,
        action,
        boxes=boxes,
        negative_prompt=options.negative,
        motion_strength=options.motion,
        seed=options.seed,
        prior=prior,
        how=how,
        on_step=progress("video"),
        at_once=options.sheet is not None,
        **{"mask": mask, "num_frames": options.frames, "size": options.size, **edited},
    )
    notes = how_made(model, how, video.mask if needs_mask else None, **asked_for, seed=video.seed)
    _keep(video.chunks, options.out, given(fps, model.defaults.fps), notes)
    if options.sheet:
        sheet = contact_sheet(video.frames, video.mask, photo, str(action))
        save_png(sheet, options.sheet, as_comment(notes))
        say(options.sheet)


def _check_chain(options: argparse.Namespace, how: Sampling) -> None:
    others = {"--window": how.context, "--boxes": options.boxes, "--sheet": options.sheet}
    if options.chain and (both := [name for name, value in others.items() if value is not None]):
        raise IVGError(f"--chain makes one clip after the other, and goes without {' and '.join(both)}: leave one out.")
    if options.chain and not options.image:
        raise IVGError("--chain begins each clip with a picture: give the first one with --image.")


def _chained(
    options: argparse.Namespace,
    model: IVGModel,
    photo: Any,
    action: str | PromptSchedule,
    how: Sampling,
    prior: NoisePrior | None,
    needs_mask: bool,
) -> Tensor:
    """The frames (F, H, W, 3) of a chain; each clip has a mask of its own, unless one is given."""
    from ..sampling.chain import generate_chain

    def find_mask(picture: Tensor, sentence: str) -> Tensor:
        return _mask_for(options, model, picture, sentence, None)

    given_one = find_mask(photo, "") if options.mask else None
    return generate_chain(
        model,
        photo,
        action,
        num_frames=options.frames or model.defaults.num_frames,
        seed=options.seed,
        mask=given_one,
        find_mask=find_mask if needs_mask and given_one is None else None,
        negative_prompt=options.negative,
        motion_strength=options.motion,
        size=options.size,
        prior=prior,
        how=how,
        on_step=progress("video"),
    )


def _boxes_of(options: argparse.Namespace, photo: Tensor | None) -> Track | None:
    from ..media.track_files import read_track

    if not options.boxes:
        if options.phrase:
            raise IVGError("--phrase says what is in the boxes: give them with --boxes.")
        return None
    return read_track(options.boxes, options.phrase, None if photo is None else (photo.shape[1], photo.shape[0]))


def _keep(frames: Iterable[Tensor], out: Path, fps: float, notes: dict[str, Any]) -> None:
    """Write the video; somewhere else if it cannot be written there any more, for it took its time."""
    from ..media.video import write_video

    try:
        say(write_video(frames, out, fps, notes))
    except IVGError as error:
        kept = write_video(frames, Path(mkdtemp(prefix="ivg-")) / f"video{out.suffix}", fps, notes)
        raise IVGError(f"{error} The video was kept: {kept}") from error


def _mask_for(options: argparse.Namespace, model: IVGModel, photo: Tensor, sentence: str, frames: int | None) -> Tensor:
    from ..media.images import load_mask
    from ..rom.fallback import hand_hull_mask, prior_mask, white_mask
    from ..rom.find import find_rom, hands_in
    from ..rom.refine import refine_mask
    from ..rom.units import in_pixels

    size = (photo.shape[1], photo.shape[0])
    if options.mask:
        return load_mask(options.mask)
    if options.fallback == "white":
        return white_mask(size)
    if options.fallback == "hands":
        from ..hands.tracker import HandTracker

        margin = in_pixels(options.margin, options.unit, size[0])
        return hand_hull_mask(photo, HandTracker(device=options.device, backend=options.hand_backend), margin)
    if options.fallback == "find":
        return find_rom(photo, hands_in(photo, device=options.device, backend=options.hand_backend)).mask
    if options.fallback == "prior":
        if not options.prior_masks:
            raise IVGError("The prior is the mean of other masks: give a folder of them with --prior-masks.")
        pictures = [str(path) for path in entries_in(options.prior_masks) if path.suffix.lower() in PICTURES]
        return refine_mask(prior_mask(pictures, size), threshold=options.threshold)
    mask = _predict(options, model, photo, sentence, frames).mask
    if not mask.any():
        raise IVGError(
            "The predicted mask is empty: lower --threshold, try another --seed or --prompt, give a --mask, "
            "or choose --fallback white."
        )
    return refine_mask(mask, grow=options.grow, unit=options.unit) if options.grow else mask


def _predict_mask(options: argparse.Namespace) -> None:
    from ..media.images import load_image, save_png
    from ..media.video import as_comment
    from ..sampling.describe import how_made

    model, photo = load_for_sampling(options, [1]), load_image(options.image)
    rom = _predict(options, model, photo, options.prompt, options.frames)
    asked_for = {"prompt": options.prompt, "image": options.image.name, "seed": options.seed}
    notes = how_made(model, _how_to_predict(options), **asked_for, stage=1, threshold=options.threshold)
    save_png(rom.mask, options.out, as_comment(notes))
    say(options.out)
    print(f"{rom.coverage:.0%} of the photo will move")
    if options.frames_out:
        for index, mask in enumerate(rom.frame_masks, 1):
            save_png(mask, options.frames_out / f"{index:04d}.png", as_comment(notes))
        say(options.frames_out)


def _predict(options: argparse.Namespace, model: IVGModel, photo: Tensor, sentence: str, frames: int | None):
    from ..sampling.predict import predict_rom

    return predict_rom(
        model,
        photo,
        sentence,
        seed=options.seed,
        num_frames=frames,
        size=options.size,
        how=_how_to_predict(options),
        threshold=options.threshold,
        on_step=progress("mask"),
    )


def _how_to_predict(options: argparse.Namespace) -> Sampling:
    return Sampling(num_inference_steps=options.steps, guidance_scale=options.guidance)
