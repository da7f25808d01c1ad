"""Where things may move in an item: its mask, or a region for each of its sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ..media.images import ImageLike, load_mask
from ..sampling.prompts import PromptSchedule, as_schedule, windows_for
from .table import Item

if TYPE_CHECKING:
    from ..models.bundle import IVGModel
    from ..sampling.generate import OnStep
    from .run import BatchSettings


def region_of(
    model: IVGModel, item: Item, photo: Tensor, settings: BatchSettings, on_step: OnStep | None
) -> tuple[str | PromptSchedule, ImageLike | None]:
    """What an item asks for and where it may move.

    Args:
        model: with stage-1 weights if the item has no mask and `settings` name no fallback.
        item: to be made.
        photo: its photo, (H, W, 3) 0..1.
        settings: of the batch.
        on_step: see `generate`.

    Returns:
        What is done, and the mask of the whole video. Predicted regions of several sentences lie in the
        schedule, and the mask is None, as it is where everything may move.

    Raises:
        IVGError: the mask cannot be read, a predicted one is empty, or the schedule does not fit the video.
    """
    from ..rom.find import find_rom, hands_in
    from ..sampling.chain import predict_regions
    from ..sampling.predict import mask_frames

    if item.mask:
        return item.action, load_mask(item.mask)
    if settings.fallback == "white" or not model.takes_mask:
        return item.action, None
    if settings.fallback == "find":
        return item.action, find_rom(photo, hands_in(photo, device=model.work_device or model.vae.device)).mask
    schedule = as_schedule(item.action)
    made_for = model.defaults.num_frames
    windows_for([schedule], settings.how, settings.num_frames or made_for, made_for)  # says what it cannot do, before
    predicted = predict_regions(
        model,
        photo,
        schedule,
        seed=item.seed,
        num_frames=mask_frames(settings.num_frames, schedule, settings.how),
        how=settings.how.for_mask(),
        size=settings.size,
        threshold=settings.threshold,
        grow=settings.grow,
        on_step=on_step,
    )
    return (predicted, None) if len(predicted.stretches) > 1 else (item.action, predicted.masks[0])
