"""Clips prepared before a training, or by all of its processes at once: each does a share, all find it in one cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ...cluster.shard import WHOLE, Shard
from ...models.bundle import IVGModel
from .dataset import ClipError, Keeper, OnClip
from .encoder import ClipEncoder
from .overlapping import find_clips
from .prepare import About
from .report import Report
from .settings import DataSettings
from .sources import Rejected, TrainingClip


def prepare_share(
    settings: DataSettings,
    model: IVGModel | ClipEncoder,
    stage: int,
    cache: Path,
    *,
    pixels: bool = False,
    shard: Shard = WHOLE,
    on_clip: OnClip | None = None,
) -> Iterator[About | Rejected]:
    """Does to the clips of a share what `load_data` would do: decodes, finds masks, encodes, keeps.

    What is kept already is not made again, so processes may be stopped, started again, and cut into other shares.

    Args:
        settings, model, stage, cache, pixels: see `load_data`; with the same ones it finds everything.
        shard: which of the clips; clips of which nothing but their entry is wrong belong to the first.
        on_clip: see `load_data`; counts those of the share.

    Yields:
        What became of each clip, when it lies in the cache.

    Raises:
        IVGError: the source is not there, or the disk is full.
    """
    keeper = Keeper(settings, model, stage, cache, pixels)
    found = find_clips(keeper.settings)
    if shard.number == 0:
        yield from found.rejected
        keeper.text_path("")
    clips = shard.of(found.clips)
    for number, clip in enumerate(clips):
        if on_clip:
            on_clip(number, len(clips), clip.name)
        yield _prepared(keeper, clip)


def clip_preparer(
    load: Callable[[], IVGModel], settings: DataSettings, stage: int, cache: Path, pixels: bool
) -> Callable[[TrainingClip], About | Rejected]:
    """A function that does for one clip what `prepare_share` does, with a model of its own: a worker's.

    Args:
        load: gives the model.
        settings, stage, cache, pixels: see `load_data`.
    """
    return partial(_prepared, Keeper(settings, load(), stage, cache, pixels))


def _prepared(keeper: Keeper, clip: TrainingClip) -> About | Rejected:
    try:
        return keeper.clip(clip)[1]
    except ClipError as error:
        return Rejected(clip.name, str(error))


def report_of(outcomes: list[About | Rejected]) -> Report:
    """What became of many clips, for people."""
    return Report(
        [outcome for outcome in outcomes if isinstance(outcome, About)],
        [outcome for outcome in outcomes if isinstance(outcome, Rejected)],
    )
