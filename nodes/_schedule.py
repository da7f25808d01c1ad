"""A prompt schedule beside a node's action and mask: which of them holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ._edges import masks_of
from ._notes import say

if TYPE_CHECKING:
    from ..ivg_core.sampling.prompts import PromptSchedule
    from ..ivg_core.sampling.settings import Sampling


def what_and_where(
    action: str, schedule: PromptSchedule | None, mask: Tensor | None = None
) -> tuple[str | PromptSchedule, Tensor | None]:
    """What is done, and where.

    Args:
        action: holds where there is no schedule.
        schedule: of several sentences, some with a mask of their own.
        mask: a MASK. With a schedule, a batch of as many as it has sentences is one for each that has none.

    Returns:
        The action or the schedule, and the mask of all that has none of its own.
    """
    if schedule is None:
        return action, mask
    if action.strip():
        say("The prompt schedule takes the place of the sentence that is written here.")
    count = len(schedule.stretches)
    if mask is None or count == 1 or len(masks := masks_of(mask)) != count:
        return schedule, mask
    pairs = zip(schedule.masks, masks, strict=True)
    return schedule.with_masks([given if own is None else own for own, given in pairs]), None


def at_once(action: str | PromptSchedule, how: Sampling, frames: int, own: int) -> int:
    """How many of the frames are computed at once, by a model that was made for `own`.

    Raises:
        IVGError: see `windows_for`.
    """
    from ..ivg_core.sampling.prompts import as_schedule, windows_for

    how, _ = windows_for([as_schedule(action)], how, frames, own)
    return how.context.at_once(frames, own) if how.context else frames
