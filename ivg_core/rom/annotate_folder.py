"""Pseudo masks for a folder of videos: where it was stopped it goes on, and several processes may share it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cluster.shard import WHOLE, Shard
from ..errors import IVGError
from ..media.files import VIDEOS
from ..media.lock import sweep
from ..media.targets import user_path
from .annotate_reports import REPORT, Reports
from .annotate_video import ClipReport, annotate_video, is_done

if TYPE_CHECKING:
    from ..cluster.spread import Spread
    from ..hands.tracker import HandTracker

log = logging.getLogger("ivg")

REPORT_EVERY = 100  # videos; so that one can look before the end

OnClip = Callable[[ClipReport, int, int], None]


def annotate_folder(
    video_dir: str | os.PathLike,
    save_dir: str | os.PathLike,
    tracker: HandTracker,
    *,
    keep_frames: bool = True,
    overlays: bool = False,
    overwrite: bool = False,
    shard: Shard = WHOLE,
    on_clip: OnClip | None = None,
    spread: Spread[Path, ClipReport] | None = None,
    **options: Any,
) -> list[ClipReport]:
    """Write the pseudo mask of every video of a folder.

    `name.mp4` gives `name.png`, the union, and `name/0001.png` …, one mask a frame; training reads both. A video
    without hands gets no mask (in parity mode a black one, as in the source). What is done, and has not changed since,
    is not done again, however many processes did it. `annotate.json` says at the end what became of each video; of
    several processes the one that ends last writes it.

    Args:
        video_dir: folder with videos; folders within it are not looked into.
        save_dir: folder for the masks; it is made.
        tracker: finds the hands.
        keep_frames: write the masks of the frames too.
        overlays: write `overlays/name.mp4` too, the video with its masks drawn over it, to look at.
        overwrite: do everything again.
        shard: which of the videos this process does, where several share the folders.
        on_clip: called with the report of each video as it is done, its number, and how many there are; first with
            those that are done already.
        spread: does the videos elsewhere, by an `annotator` of the same settings; None: here, one after the other.
        **options: of `annotate_clip`. A video of more than 64 frames is looked at in pieces of 64.

    Returns:
        One report for each video of this process, in the order of their names. Those that `spread` did not do are
        left out.

    Raises:
        IVGError: no such folder, no videos in it, two with the same name, a mask cannot be written, or another process
            of the same number is at work in the folder.
    """
    videos, target = videos_in(user_path(video_dir)), user_path(save_dir)
    mine = shard.of(videos)
    looked_for = ("tiled", "palm_threshold", "presence_threshold", "max_hands")
    settings = {**options, **{name: getattr(tracker, name) for name in looked_for}}
    with Reports(target, settings, shard.number) as reports:
        sweep(target)
        if overwrite:
            reports.forget(video.name for video in mine)
        known = reports.known()
        done = {
            video.name: known[video.name]
            for video in mine
            if video.name in known and is_done(known[video.name], video, target, keep_frames, overlays)
        }
        if on_clip:
            for number, report in enumerate(done.values(), 1):
                on_clip(report, number, len(mine))

        def keep(video: Path, report: ClipReport) -> None:
            reports.keep(report)
            done[video.name] = report
            if shard == WHOLE and len(done) % REPORT_EVERY == 0:
                reports.write()
            if on_clip:
                on_clip(report, len(done), len(mine))

        left = [video for video in mine if video.name not in done]
        try:
            if spread:
                spread(left, keep)
            else:
                for video in left:
                    what = {"keep_frames": keep_frames, "overlays": overlays, **options}
                    keep(video, annotate_video(video, target, tracker, **what))
        finally:
            known = reports.known()
            missing = 0 if shard == WHOLE else sum(video.name not in known for video in videos)
            if missing:
                log.warning("%d of %d videos are not done yet: who ends last writes %s.", missing, len(videos), REPORT)
            else:
                reports.write()
    return [done[video.name] for video in mine if video.name in done]


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
