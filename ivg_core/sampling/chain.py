"""A long video as a chain: each stretch begins with the last frame of the one before; its sentence is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import IVGError
from ..media.images import ImageLike, to_image
from ..rom.refine import refine_mask
from .generate import generate
from .predict import predict_rom
from .prompts import PromptSchedule, Stretch, as_schedule
from .settings import check_count

if TYPE_CHECKING:
    from ..models.bundle import IVGModel


def predict_regions(
    model: IVGModel, image: ImageLike, schedule: PromptSchedule, *, grow: float = 0, **options: Any
) -> PromptSchedule:
    """The same sentences, each with the Region of Motion that the model predicts for it in the photo.

    Args:
        model: one with stage-1 weights.
        image: the photo.
        schedule: whose stretches that have a mask keep it.
        grow: pixels by which a predicted mask is grown, see `refine_mask`.
        options: of `predict_rom`.

    Returns:
        The schedule, whose stretches all have a mask (H, W) of 0 and 1 in the photo's size.

    Raises:
        IVGError: see `predict_rom`; or a predicted mask is empty.
    """
    masks = []
    for stretch in schedule.stretches:
        mask = stretch.mask
        if mask is None:
            mask = predict_rom(model, image, stretch.sentence, **options).mask
            if not mask.any():
                raise IVGError(
                    f'The predicted mask is empty for "{stretch.sentence}": lower the threshold, try another seed or '
                    "sentence, or give a mask."
                )
            mask = refine_mask(mask, grow=grow) if grow else mask
        masks.append(mask)
    return schedule.with_masks(masks)


def generate_chain(
    model: IVGModel,
    image: ImageLike,
    action: str | PromptSchedule,
    *,
    num_frames: int,
    seed: int = 0,
    mask: ImageLike | None = None,
    find_mask: Callable[[Tensor, str], ImageLike | None] | None = None,
    **options: Any,
) -> Tensor:
    """Make a long video one stretch after the other.

    It may leave the photo behind, as what is done lasts, where windows that all see the photo (`ContextWindows`) stay
    true to it; and each stretch adds its faults to those before.

    Args:
        model: one that takes a photo.
        image: the photo.
        action: a sentence, or one for each stretch. A stretch longer than what the model was made for is several.
        num_frames: F of the whole.
        seed: of the first stretch; the next one has the next.
        mask: where things may move, in stretches without a mask of their own.
        find_mask: gives it instead for the picture (H, W, 3) with which a stretch begins and its sentence, as with
            `predict_rom`.
        options: others of `generate`, the same for every stretch.

    Returns:
        The frames (F, H, W, 3) 0..1.

    Raises:
        IVGError: see `generate`.
    """
    check_count("num_frames", num_frames)
    photo, frames = to_image(image), []
    for number, (stretch, length) in enumerate(_links(as_schedule(action), num_frames, model.defaults.num_frames)):
        where = stretch.mask if stretch.mask is not None else mask
        if find_mask is not None and stretch.mask is None:
            where = find_mask(photo, stretch.sentence)
        led = int(number > 0)  # the frame with which it begins is the last one before
        clip = generate(
            model, photo, stretch.sentence, mask=where, seed=seed + number, num_frames=length + led, **options
        ).frames
        frames.append(clip[led:])
        photo = clip[-1]
    return torch.cat(frames)


def _links(schedule: PromptSchedule, frames: int, own: int) -> Iterator[tuple[Stretch, int]]:
    """The stretches with how many frames are new in each clip of them; no clip has more than `own` frames."""
    schedule.at(frames)
    ends = [*(stretch.frame for stretch in schedule.stretches[1:]), frames]
    for stretch, end in zip(schedule.stretches, ends, strict=True):
        begin = stretch.frame
        while begin < end:
            length = min(end - begin, own if begin == 0 else max(1, own - 1))
            yield stretch, length
            begin += length
