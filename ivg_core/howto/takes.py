"""One step as an item of a batch: what its result is called, and where it is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from ..batch.journal import result_of
from ..batch.run import save_result
from ..batch.table import Item, digest_of
from ..media.files import short_name
from ..media.images import save_png
from .finish import FinishedFrames
from .plan import MASK_SOURCES, Step

LETTERS = 32  # of the action, in names
CLIP, LAST, MASK = ".mp4", "_last.png", "_mask.png"


@dataclass(frozen=True)
class StepItem(Item):
    """A step that begins with a picture.

    Its name holds what it was made of: the step itself and the bytes of the picture. So a step whose sentence, seed or
    length changes is another one, and so are all that begin with a picture that another one left.
    """

    number: int = 1  # from 1
    step: Step = Step("")  # noqa: RUF009 (frozen)

    @cached_property
    def own(self) -> str:
        """Six characters that change with what the step asks for, whatever it begins with."""
        mask = self.step.mask if self.step.mask in MASK_SOURCES else digest_of(Path(self.step.mask))
        return _short([self.step.action, self.seed, mask, self.step.seconds])

    @cached_property
    def key(self) -> str:
        """As `own`, and six that change with the picture."""
        return f"{self.own}_{_short(digest_of(self.image))}"

    @property
    def name(self) -> str:
        return self.beginning + self.key

    @property
    def beginning(self) -> str:
        """Of the names of all results of this step with this seed."""
        end = f"_s{self.seed}_"
        words = "-".join(re.findall(r"\w+", self.step.action))[:LETTERS]
        return short_name(f"{self.number:02}_{words}", len(end) + 13) + end


@dataclass(frozen=True)
class Take:
    """The files of a step that was made."""

    clip: Path
    last: Path  # its last frame, without loss: the next step begins with it
    mask: Path


def step_item(number: int, step: Step, seed: int, image: Path) -> StepItem:
    """A step of a plan, by number from 1, that begins with a picture."""
    mask = None if step.mask in MASK_SOURCES else Path(step.mask)
    return StepItem(image, step.action, seed, mask, number=number, step=step)


def take_of(item: StepItem, folder: Path) -> Take | None:
    """What a step became, None if it is still to be made."""
    return _take(folder, item.name) if result_of(item, folder) else None


def earlier_take(item: StepItem, folder: Path) -> Take | None:
    """The newest of what the same step became when it began with another picture."""
    found = [path for path in folder.glob(f"{_plain(item.beginning + item.own)}_*{CLIP}") if path.is_file()]
    takes = [_take(folder, path.stem) for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]
    return next((take for take in reversed(takes) if take), None)


def save_take(
    folder: Path,
    item: StepItem,
    made: FinishedFrames,
    fps: float,
    about: Mapping[str, object],
    graph: Mapping[str, object] | None = None,
) -> dict[str, str]:
    """Write what a step became; the video comes last, because where it is the step is done.

    Args:
        folder: of the results.
        item: the step.
        made: its frames.
        fps, about, graph: see `save_result`.

    Returns:
        The names of the files, for the journal.

    Raises:
        IVGError: the folder cannot be written to.
    """
    last: Tensor = made.frames[-1]
    save_png(last, folder / f"{item.name}{LAST}")
    return save_result(folder, item, made.frames, made.mask, fps, CLIP, about, graph)


def _take(folder: Path, name: str) -> Take | None:
    take = Take(folder / f"{name}{CLIP}", folder / f"{name}{LAST}", folder / f"{name}{MASK}")
    return take if take.last.is_file() else None


def _plain(text: str) -> str:
    """A text that a pattern of names takes as it is."""
    return re.sub(r"([*?\[])", r"[\1]", text)


def _short(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:6]
