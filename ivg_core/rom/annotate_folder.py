"""Pseudo masks for a folder of videos: one after the other, and where it was stopped it goes on."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from ..errors import IVGError
from ..media.clips import in_pieces, open_media
from ..media.files import VIDEOS, atomic_write
from ..media.images import save_png
from ..media.lock import alone_in
from ..media.targets import user_path
from ..settings import read_json
from .annotate import annotate_clip
from .camera import reduced
from .draft import Watcher

if TYPE_CHECKING:
    from ..hands.tracker import HandTracker

log = logging.getLogger("ivg")

REPORT = "annotate.json"
#: Frames in memory at once.
PIECE = 64

Outcome = Literal["mask", "no hands", "unreadable"]


@dataclass(frozen=True)
class ClipReport:
    """What became of one video."""

    video: str
    outcome: Outcome
    frames: int = 0
    frames_with_hands: int = 0
    coverage: float = 0.0  # share of the picture that the mask covers
    stamp: str = ""  # size and time of the file: a changed video is done again
    why: str = ""  # it could not be read


def annotate_folder(
    video_dir: str | os.PathLike,
    save_dir: str | os.PathLike,
    tracker: HandTracker,
    *,
    keep_frames: bool = True,
    overwrite: bool = False,
    on_clip: Callable[[ClipReport, int, int], None] | None = None,
    **options: Any,
) -> list[ClipReport]:
    """Write the pseudo mask of every video of a folder.

    `name.mp4` gives `name.png`, the union, and `name/0001.png` …, one mask a frame; training reads both. A video
    without hands gets no mask (in parity mode a black one, as in the source). `annotate.json` says what became of each
    video; what it lists as done, and has not changed since, is not done again.

    Args:
        video_dir: folder with videos; folders within it are not looked into.
        save_dir: folder for the masks; it is made.
        tracker: finds the hands.
        keep_frames: write the masks of the frames too.
        overwrite: do everything again.
        on_clip: called with the report of each video as it is done, its number, and how many there are.
        **options: of `annotate_clip`. A video of more than 64 frames is looked at in pieces of 64.

    Returns:
        One report a video, in the order of their names.

    Raises:
        IVGError: no such folder, no videos in it, two with the same name, or a mask cannot be written.
    """
    folder, target = user_path(video_dir), user_path(save_dir)
    videos = videos_in(folder)
    with alone_in(target, "annotation"):
        return _annotate_all(videos, target, tracker, keep_frames, overwrite, on_clip, options)


def _annotate_all(
    videos: list[Path],
    target: Path,
    tracker: HandTracker,
    keep_frames: bool,
    overwrite: bool,
    on_clip: Callable[[ClipReport, int, int], None] | None,
    options: dict,
) -> list[ClipReport]:
    for leftover in target.glob(".*.partial"):  # of a run that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    looked_for = ("tiled", "palm_threshold", "presence_threshold", "max_hands")
    settings = {**options, **{name: getattr(tracker, name) for name in looked_for}}
    done = {} if overwrite else _reports_in(target, settings)
    reports: list[ClipReport] = []
    for number, video in enumerate(videos, 1):
        report = done.get(video.name)
        if report is None or report.stamp != _stamp(video) or not _is_there(report, target / video.stem, keep_frames):
            report = _annotate(video, target, tracker, keep_frames, options)
        reports.append(report)
        done[video.name] = report
        _write_reports(target, settings, [done[name] for name in sorted(done)])
        if on_clip:
            on_clip(report, number, len(videos))
    return reports


def videos_in(folder: Path) -> list[Path]:
    """The videos of a folder by name.

    Raises:
        IVGError: no such folder, none in it, or two whose masks would have the same name.
    """
    if not folder.is_dir():
        raise IVGError(f"There is no folder {folder}: give the folder of the videos.")
    videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEOS and path.name[0] != ".")
    if not videos:
        raise IVGError(f"There are no videos in {folder}: put {', '.join(VIDEOS)} files there.")
    names: dict[str, Path] = {}
    for video in videos:
        if names.setdefault(video.stem, video) != video:
            raise IVGError(
                f"{names[video.stem].name} and {video.name} would both have the mask {video.stem}.png: rename one."
            )
    return videos


def _annotate(video: Path, target: Path, tracker: HandTracker, keep_frames: bool, options: dict) -> ClipReport:
    place, partial = target / video.stem, target / f".{video.stem}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    _forget(place)
    pieces, union, count, with_hands = _pieces(video), torch.zeros(()), 0, 0
    watcher: Watcher | None = None
    while True:
        try:
            frames = next(pieces, None)
        except IVGError as error:
            shutil.rmtree(partial, ignore_errors=True)
            return ClipReport(video.name, "unreadable", stamp=_stamp(video), why=str(error))
        if frames is None:
            break
        # the minimum is one for the whole video, not for a piece of it
        watcher = watcher or Watcher(reduced(frames[:1])[0])
        found = annotate_clip(frames, tracker, **{**options, "min_hand_frames": 0}, watcher=watcher)
        union = torch.maximum(union, found.mask)
        if keep_frames:
            for index, mask in enumerate(found.frame_masks, count + 1):
                save_png(mask, partial / f"{index:04d}.png")
        count, with_hands = count + len(frames), with_hands + found.frames_with_hands
    enough = with_hands >= max(1, min(options.get("min_hand_frames", 2), count))
    if options.get("evidence", "hands") != "hands":
        enough = bool(union.any())
    if enough or options.get("parity"):
        if keep_frames:
            place.mkdir(exist_ok=True)
            for picture in partial.iterdir():
                os.replace(picture, place / picture.name)
        save_png(union, target / f"{video.stem}.png")  # last: without it the video is not done
    shutil.rmtree(partial, ignore_errors=True)
    if not enough:
        return ClipReport(video.name, "no hands", count, with_hands, stamp=_stamp(video))
    return ClipReport(video.name, "mask", count, with_hands, round(union.mean().item(), 4), _stamp(video))


def _forget(place: Path) -> None:
    """Remove the masks of an earlier run, and nothing else that may lie there."""
    place.with_name(f"{place.name}.png").unlink(missing_ok=True)
    for picture in place.glob("[0-9][0-9][0-9][0-9]*.png"):
        picture.unlink()
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()


def _pieces(video: Path) -> Iterator[Tensor]:
    """The frames in pieces (up to 64, H, W, 3), 0..1."""
    yield from in_pieces(open_media(video).read(), PIECE)


def _stamp(video: Path) -> str:
    facts = video.stat()
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def _is_there(report: ClipReport, place: Path, keep_frames: bool) -> bool:
    if report.outcome != "mask":
        return True
    frames = len(list(place.glob("*.png"))) if place.is_dir() else 0
    return place.with_name(f"{place.name}.png").is_file() and (not keep_frames or frames == report.frames)


def _reports_in(target: Path, settings: dict) -> dict[str, ClipReport]:
    path = target / REPORT
    if not path.is_file():
        return {}
    try:
        kept = read_json(path.read_text(encoding="utf-8"))
        reports = {entry["video"]: ClipReport(**entry) for entry in kept["videos"]}
    except (OSError, ValueError, KeyError, TypeError):
        log.warning("%s cannot be read: all videos are done again.", path)
        return {}
    if kept.get("settings") != settings:
        log.warning("The masks in %s were made with other settings: all videos are done again.", target)
        return {}
    return reports


def _write_reports(target: Path, settings: dict, reports: list[ClipReport]) -> None:
    with atomic_write(target / REPORT) as temporary:
        text = json.dumps({"settings": settings, "videos": [asdict(report) for report in reports]}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")
