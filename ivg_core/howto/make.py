"""The loop of a how-to: step by step by a model, each on the disk before the next is begun."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..batch.journal import DONE, FAILED, STARTED, Journal
from ..batch.page import write_page
from ..batch.run import BatchSettings, keep_settings
from ..errors import IVGError, reason_of, told_of
from ..hands.score import score_hands
from ..hands.tracker import HandTracker
from ..media.images import load_mask, resize_mask, to_mask
from ..models.codec import fit_size
from ..rom.fallback import white_mask
from ..rom.find import find_rom, hands_in
from ..rom.latent import crop_to, fit
from ..sampling.chain import predict_regions
from ..sampling.generate import generate
from ..sampling.noise import MAX_SEED
from ..sampling.prompts import as_schedule
from .finish import FinishedFrames, finish_step
from .plan import Step
from .takes import save_take
from .work import HowTo, StepState, look_after

if TYPE_CHECKING:
    from ..models.bundle import IVGModel
    from ..sampling.generate import OnStep

MOST_TRIES = 16
#: Seeds from one try of a step to the next.
TRIES_APART = 7_919

OnState = Callable[[StepState], None]
OnMade = Callable[[StepState, "FinishedFrames"], None]


@dataclass(frozen=True)
class StepSettings(BatchSettings):
    """What holds for every step, besides what holds for every item of a batch.

    Args:
        best_of: how often each step is tried, 1 to 16; the try with the soundest hands is kept.
        pin_colour: see `finish_step`.
    """

    best_of: int = 1
    pin_colour: bool = True


def make_steps(
    model: IVGModel,
    how_to: HowTo,
    settings: StepSettings,
    *,
    on_state: OnState | None = None,
    on_made: OnMade | None = None,
    on_step: OnStep | None = None,
) -> int:
    """Make every step that is not made yet.

    A step that fails ends the run, since the next one begins with its last frame. Running it again goes on, whatever
    ended the run before.

    Args:
        model: one that takes a photo; with stage-1 weights if masks are to be predicted.
        how_to: the plan and its folder.
        settings: must be the same every time.
        on_state: called before each step that is made.
        on_made: called after it, with its frames.
        on_step: see `generate`.

    Returns:
        How many steps were made.

    Raises:
        IVGError: a step failed, the folder cannot be used or another run is at work in it, it was begun with other
            settings, or the model cannot do what the plan asks for.
    """
    if not 1 <= settings.best_of <= MOST_TRIES:
        raise IVGError(f"A step cannot be the best of {settings.best_of} tries: choose 1 to {MOST_TRIES}.")
    if not model.takes_photo:
        raise IVGError(
            f'The model "{model.name}" takes no photo, so no step can go on from another: load an IVG model.'
        )
    done = 0
    with Journal(how_to.made) as journal:
        keep_settings(how_to.made, settings)
        try:
            while (state := look_after(how_to, journal)) is not None:
                if on_state:
                    on_state(state)
                made = _keep(model, how_to, state, settings, journal, on_step)
                done += 1
                if on_made:
                    on_made(state, made)
        finally:
            write_page(how_to.made)
    return done


def _keep(
    model: IVGModel,
    how_to: HowTo,
    state: StepState,
    settings: StepSettings,
    journal: Journal,
    on_step: OnStep | None,
) -> FinishedFrames:
    """Make a step and write what it became."""
    item = state.item
    assert item is not None  # the first step that is not made begins with a picture that is there
    journal.write(item, STARTED)
    began = time.monotonic()
    try:
        with told_of(f"Step {state.number}"):
            made, facts = make_step(model, how_to.start_of(item), state.step, state.seed, settings, on_step)
            about = {"prompt": item.prompt, "seed": facts.get("best_seed", item.seed), "model": settings.model}
            files = save_take(how_to.made, item, made, settings.fps or model.defaults.fps, about)
    except Exception as error:
        journal.write(item, FAILED, error=reason_of(error))
        raise
    journal.write(item, DONE, **files, **facts, seconds=round(time.monotonic() - began, 2))
    return made


def make_step(
    model: IVGModel, start: Tensor, step: Step, seed: int, settings: StepSettings, on_step: OnStep | None = None
) -> tuple[FinishedFrames, dict[str, Any]]:
    """Make one step.

    Args:
        model: see `make_steps`.
        start: (H, W, 3) 0..1, the picture that it begins with.
        step: what is done.
        seed: of the first try.
        settings: how.
        on_step: see `generate`.

    Returns:
        Its frames, and what the journal notes of them.

    Raises:
        IVGError: see `generate` and `step_region`.
    """
    size = size_of(model, start, settings)
    start = fit(start, size)
    # A mask that was drawn on the photo is cropped as that is.
    mask = resize_mask(crop_to(step_region(model, start, step, seed, settings), size), size)
    seeds = [(seed + TRIES_APART * number) % (MAX_SEED + 1) for number in range(settings.best_of)]
    tries: dict[int, FinishedFrames] = {}
    for chosen in seeds:
        frames = _frames(model, start, step, mask, chosen, settings, on_step)
        tries[chosen] = finish_step(frames, start, mask, pin_colour=settings.pin_colour, feather=settings.how.feather)
    facts: dict[str, Any] = {}
    chosen = seeds[0]
    if len(seeds) > 1:
        tracker = HandTracker(device=model.work_device or model.vae.device)
        scores = {other: score_hands(made.frames, tracker).total for other, made in tries.items()}
        chosen = max(seeds, key=lambda other: scores[other])
        facts = {"best_of": len(seeds), "best_seed": chosen, "hand_score": round(scores[chosen], 4)}
    return tries[chosen], facts | tries[chosen].drift.facts()


def size_of(model: IVGModel, photo: Tensor, settings: StepSettings) -> tuple[int, int]:
    """(width, height) of the frames that a model makes of a photo (H, W, 3)."""
    own = model.defaults
    return settings.size or fit_size(photo.shape[1], photo.shape[0], own.width, own.height, model.vae_scale_factor)


def _frames(
    model: IVGModel,
    start: Tensor,
    step: Step,
    mask: Tensor,
    seed: int,
    settings: StepSettings,
    on_step: OnStep | None,
) -> Tensor:
    """The model's own frames (F, H, W, 3) of a step, the first one too."""
    fps = settings.fps or model.defaults.fps
    num_frames = max(2, round(step.seconds * fps)) if step.seconds else settings.num_frames
    video = generate(
        model,
        start,
        step.action,
        mask=mask,
        negative_prompt=settings.negative_prompt,
        motion_strength=settings.motion_strength,
        num_frames=num_frames,
        size=(start.shape[1], start.shape[0]),
        seed=seed,
        how=replace(settings.how, composite=False),
        on_step=on_step,
        at_once=False,
    )
    assert video.later is not None
    # The first frame as the autoencoder makes it: what differs there from the picture is measured.
    return replace(video.later, how=replace(video.later.how, keep_first_frame=False)).all()[0]


def step_region(model: IVGModel, start: Tensor, step: Step, seed: int, settings: StepSettings) -> Tensor:
    """Where things may move in a step.

    Args:
        model, start, step, seed, settings: see `make_step`.

    Returns:
        (H', W') 0..1.

    Raises:
        IVGError: its mask cannot be read, the predicted one is empty, or no hand is found that it could be found by.
    """
    source = settings.fallback if step.mask == "predict" and settings.fallback else step.mask
    if source != "predict":
        return own_region(replace(step, mask=source), start, str(model.work_device or model.vae.device))
    # As many frames as the model was made for, whatever the video has: a region is where things go at any time.
    [mask] = predict_regions(
        model,
        start,
        as_schedule(step.action),
        seed=seed,
        how=settings.how.for_mask(),
        size=settings.size,
        threshold=settings.threshold,
        grow=settings.grow,
    ).masks
    assert mask is not None
    return to_mask(mask)


def own_region(step: Step, start: Tensor, device: str = "cpu") -> Tensor:
    """Where things may move in a step whose mask no model predicts.

    Args:
        step: with another mask than "predict".
        start: (H, W, 3) 0..1, the picture that it begins with.
        device: on which hands are looked for.

    Returns:
        (H', W') 0..1.

    Raises:
        IVGError: its mask cannot be read, or no hand is found.
    """
    if step.mask == "white":
        return white_mask((start.shape[1], start.shape[0]))
    if step.mask == "find":
        return find_rom(start, hands_in(start, device=device)).mask
    return load_mask(step.mask)
