"""The pseudo mask of one video on the disk: the union, one mask a frame, and what became of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from ..errors import IVGError
from ..media.clips import in_pieces, open_media
from ..media.images import save_png
from ..media.lock import workplace
from .annotate import PieceByPiece

if TYPE_CHECKING:
    from ..hands.tracker import HandTracker

#: Frames in memory at once.
PIECE = 64

Outcome = Literal["mask", "no hands", "unreadable"]


@dataclass(frozen=True)
class ClipReport:
    """What became of one video.

    Attributes:
        video: its name.
        outcome: "mask", "no hands" or "unreadable".
        frames: how many it has.
        frames_with_hands: in how many of them a hand was seen.
        coverage: share of the picture that the mask covers, 0..1.
        stamp: size and time of the file: a changed video is done again.
        why: that it could not be read.
    """

    video: str
    outcome: Outcome
    frames: int = 0
    frames_with_hands: int = 0
    coverage: float = 0.0
    stamp: str = ""
    why: str = ""


def annotate_video(
    video: Path, target: Path, tracker: HandTracker, *, keep_frames: bool = True, **options: Any
) -> ClipReport:
    """Write the pseudo mask of one video into a folder, in place of one that is there.

    Args:
        video: `name.mp4` gives `name.png` and `name/0001.png` …
        target: the folder; must be there.
        tracker: finds the hands.
        keep_frames: write the masks of the frames too.
        **options: of `annotate_clip`.

    Returns:
        What became of it. A file that holds no video is "unreadable".

    Raises:
        IVGError: there is no such file, or a mask cannot be written.
    """
    if not video.is_file():
        raise IVGError(f"{video} is not there: every machine must see the folder of the videos under this name.")
    place, stamp = target / video.stem, stamp_of(video)
    _forget(place)
    with workplace(target, "annotation") as partial:
        pieces, clip, count = _pieces(video), PieceByPiece(tracker, **options), 0
        while True:
            try:
                frames = next(pieces, None)
            except IVGError as error:
                return ClipReport(video.name, "unreadable", stamp=stamp, why=str(error))
            if frames is None:
                break
            found = clip.look(frames)
            if keep_frames:
                for index, mask in enumerate(found.frame_masks, count + 1):
                    save_png(mask, partial / f"{index:04d}.png")
            count += len(frames)
        if clip.enough or options.get("parity"):
            if keep_frames:
                place.mkdir(exist_ok=True)
                for picture in partial.iterdir():
                    os.replace(picture, place / picture.name)
            save_png(clip.union, target / f"{video.stem}.png")  # last: without it the video is not done
    if not clip.enough:
        return ClipReport(video.name, "no hands", count, clip.with_hands, stamp=stamp)
    return ClipReport(video.name, "mask", count, clip.with_hands, round(clip.union.mean().item(), 4), stamp)


def annotator(target: Path, tracker: Mapping[str, Any], **options: Any) -> Callable[[Path], ClipReport]:
    """A function that writes the pseudo mask of one video, with a tracker of its own.

    Args:
        target, **options: see `annotate_video`.
        tracker: arguments of `HandTracker`.

    Raises:
        IVGError: there can be no such tracker here.
    """
    from ..hands.tracker import HandTracker

    return partial(annotate_video, target=target, tracker=HandTracker(**tracker), **options)


def is_done(report: ClipReport, video: Path, target: Path, keep_frames: bool) -> bool:
    """Whether what a report tells of a video still holds: the video is the same, and its masks are there."""
    if report.stamp != stamp_of(video):
        return False
    if report.outcome != "mask":
        return True
    place = target / video.stem
    frames = len(list(place.glob("*.png"))) if place.is_dir() else 0
    return place.with_name(f"{place.name}.png").is_file() and (not keep_frames or frames == report.frames)


def stamp_of(video: Path) -> str:
    """A text that differs once the video was changed."""
    facts = video.stat()
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def _forget(place: Path) -> None:
    """Remove the masks of an earlier run, and nothing else that may lie there."""
    place.with_name(f"{place.name}.png").unlink(missing_ok=True)
    for picture in place.glob("[0-9][0-9][0-9][0-9]*.png"):
        picture.unlink(missing_ok=True)
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()


def _pieces(video: Path) -> Iterator[Tensor]:
    """The frames in pieces (up to 64, H, W, 3), 0..1."""
    yield from in_pieces(open_media(video).read(), PIECE)
