"""One video cut into clips that overlap, for what is learned of it window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import IVGError
from ...media.clips import Facts, Media
from .settings import DataSettings
from .sources import Found, Rejected, TrainingClip, check_control, find_training_clips


@dataclass(frozen=True)
class Part:
    """Frames of a clip that follow one another.

    Args:
        whole: the clip.
        of_whole: what it says about itself.
        begins: the first of the frames, from 0.
        frames: how many.
    """

    whole: Media
    of_whole: Facts
    begins: int
    frames: int

    @property
    def fps(self) -> float:
        return self.of_whole.fps

    def facts(self) -> Facts:
        return replace(self.of_whole, frames=self.frames)

    def read(self, indices: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        return self.whole.read([self.begins + i for i in (range(self.frames) if indices is None else indices)])

    def identity(self) -> str:
        return f"{self.whole.identity()} {self.begins} {self.frames}"


def find_clips(settings: DataSettings, clips: Sequence[TrainingClip] | None = None) -> Found:
    """The clips of a source, see `find_training_clips`; with a stride, the overlapping parts of each in its place.

    Args:
        settings: see `DataSettings`.
        clips: these, in place of those of `settings.source`.

    Raises:
        IVGError: see `find_training_clips`.
    """
    found = find_training_clips(settings) if clips is None else Found(list(clips))
    if not settings.stride:
        return found
    cut = Found(rejected=found.rejected)
    for clip in found.clips:
        try:
            cut.clips += _parts(clip, settings.frames, settings.stride)
        except IVGError as error:
            cut.rejected.append(Rejected(clip.name, str(error)))
    return cut


def _parts(clip: TrainingClip, frames: int, stride: int) -> list[TrainingClip]:
    facts = clip.media.facts()
    if facts.frames < frames:
        raise IVGError(
            f"it has {facts.frames} frames, and is to be cut into clips of {frames}: give a longer one, or set frames "
            "to fewer"
        )
    check_control(clip, facts)
    starts = range(0, facts.frames - frames + 1, stride)
    after = starts[-1] + frames
    left = f"what follows it, from frame {after} on, is in no clip" if after < facts.frames else ""
    return [
        replace(
            clip,
            # Held out or not, the parts of a clip belong together: what follows # does not count there.
            name=f"{clip.name} #{number}, from frame {begins}",
            media=Part(clip.media, facts, begins, frames),
            control=clip.control and Part(clip.control, facts, begins, frames),
            note=left if begins == starts[-1] and left else clip.note,
        )
        for number, begins in enumerate(starts, 1)
    ]
