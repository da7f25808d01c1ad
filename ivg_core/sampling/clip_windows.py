"""The windows of time of a model that is tuned to one video: those of the clips that it learned."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from ..models.one_shot import OneShotUNet
from .context import ContextWindows
from .settings import Sampling

if TYPE_CHECKING:
    from ..models.bundle import IVGModel

log = logging.getLogger("ivg")


def as_tuned(how: Sampling, model: IVGModel, num_frames: int) -> Sampling:
    """The options of a run; those of a model that is tuned to one video with the windows of its clips.

    A longer video gets windows by itself, and windows without a stride take that of the clips. Windows that begin
    elsewhere hear the LoRA of the nearest clip, and a warning says so.

    Args:
        how: of the run.
        model: whose stage 2 makes the video.
        num_frames: F of the video.

    Raises:
        IVGError: see `ContextWindows`.
    """
    own = model.defaults.num_frames
    if not isinstance(model.unet, OneShotUNet) or (how.context is None and num_frames <= own):
        return how
    clips, stride = (model.unet.config[key] for key in ("clips", "clip_stride"))
    context = how.context or ContextWindows(weights="flat" if how.parity else "pyramid")
    if context.stride is None and context.schedule != "isolated":
        context = replace(context, stride=min(stride, context.lengths(own)[0]))
    starts = [window.start for window in context.spans(num_frames, own)]
    shifted = context.schedule == "uniform" and len(starts) > 1
    if shifted or any(start % stride for start in starts[:-1]) or starts[-1] >= clips * stride:
        log.warning(
            "The model %s is tuned to %d clips that begin %d frames apart, and some windows begin elsewhere: they take "
            "what was learned of the nearest clip.",
            model.name,
            clips,
            stride,
        )
    return replace(how, context=context)
