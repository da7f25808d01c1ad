"""`annotate`: pseudo masks from the hands of videos, or from what moves in them."""

from __future__ import annotations

import argparse
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from .kinds import a_path, a_share, a_text, count, new_folder, not_negative
from .machines import machine_options, shard_of
from .shared import command, hand_options, say

if TYPE_CHECKING:
    from ..rom.annotate_folder import ClipReport


def add(commands) -> None:
    """Add the command to the parser."""
    annotate = command(
        commands,
        "annotate",
        _annotate,
        "videos -> masks of where their hands go or what moves, to train on; resumes where it stopped",
        hand_options(),
        machine_options(),
    )
    annotate.add_argument("--video-dir", type=a_path, required=True, help="folder of the videos")
    annotate.add_argument(
        "--save-dir", type=new_folder, required=True, help="folder to write to: NAME.png, NAME/0001.png …"
    )
    annotate.add_argument(
        "--dilate", type=not_negative, default=0.15, help="how far each hull grows, in palms of its hand"
    )
    annotate.add_argument("--arms", action="store_true", help="mark the forearms too, where they are found")
    annotate.add_argument("--min-hand-frames", type=count(0), default=2, help="no mask where fewer frames show hands")
    annotate.add_argument(
        "--from",
        dest="evidence",
        choices=("hands", "motion", "both"),
        default="hands",
        help="what masks are made from; both: hands, and what moves near them",
    )
    annotate.add_argument(
        "--still-camera", action="store_true", help="do not take a moving camera out; each frame is taken as it lies"
    )
    annotate.add_argument(
        "--palm-threshold", type=a_share, default=0.5, help="how sure the palm detector must be, 0..1"
    )
    annotate.add_argument("--presence-threshold", type=a_share, default=0.5, help="how sure it must be a hand, 0..1")
    annotate.add_argument("--parity", action="store_true", help="as the released script, whatever is set above")
    annotate.add_argument("--no-frames", action="store_true", help="write only the union, not the mask of each frame")
    annotate.add_argument(
        "--overlays",
        action="store_true",
        help="also write overlays/NAME.mp4, the video with its masks drawn over it",
    )
    annotate.add_argument("--overwrite", action="store_true", help="do videos again that are done")
    annotate.add_argument("--device", type=a_text, default="cpu", help="cpu, cuda, mps …")


def _annotate(options: argparse.Namespace) -> None:
    from ..cluster.shard import WHOLE
    from ..cluster.spread import over_ray
    from ..hands.tracker import HandTracker
    from ..rom.annotate import RELEASED_TRACKER
    from ..rom.annotate_folder import annotate_folder
    from ..rom.annotate_reports import REPORT
    from ..rom.annotate_video import annotator

    shard = shard_of(options)
    thresholds = {"palm_threshold": options.palm_threshold, "presence_threshold": options.presence_threshold}
    looks = {"backend": options.hand_backend, **(RELEASED_TRACKER if options.parity else thresholds)}
    how = {
        "keep_frames": not options.no_frames,
        "overlays": options.overlays,
        "dilate": options.dilate,
        "arms": options.arms,
        "min_hand_frames": options.min_hand_frames,
        "evidence": options.evidence,
        "follow_camera": not options.still_camera,
        "parity": options.parity,
    }
    spread = None
    if options.ray:
        load = partial(annotator, options.save_dir, {"device": options.device, **looks}, **how)
        spread = over_ray(load, attrgetter("name"), options.ray, options.device)
    reports = annotate_folder(
        options.video_dir,
        options.save_dir,
        HandTracker("cpu" if options.ray else options.device, **looks),
        overwrite=options.overwrite,
        shard=shard,
        on_clip=_say,
        spread=spread,
        **how,
    )
    counts = {outcome: sum(report.outcome == outcome for report in reports) for outcome in ("mask", "no hands")}
    unreadable = len(reports) - sum(counts.values())
    print(f"{counts['mask']} masks, {counts['no hands']} videos without hands, {unreadable} unreadable")
    if shard == WHOLE:
        say(options.save_dir / REPORT)


def _say(report: ClipReport, number: int, total: int) -> None:
    if report.outcome == "mask":
        what = f"hands in {report.frames_with_hands} of {report.frames} frames, {report.coverage:.0%} of the picture"
    else:
        what = report.why or f"no hands in {report.frames} frames"
    print(f"{number}/{total} {report.video}: {what}", flush=True)
