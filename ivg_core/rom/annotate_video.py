"""The pseudo mask of one video on the disk: the union, one mask a frame, an overlay to look at; what became of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from ..media.clips import in_pieces, open_media
from ..media.images import save_png
from ..media.lock import workplace
from ..media.video import write_video
from .annotate import Annotation, PieceByPiece
from .camera import laid_over
from .preview import draw_rom

if TYPE_CHECKING:
    from ..hands.tracker import HandTracker

#: Frames in memory at once.
PIECE = 64
#: Folder of the overlays, in that of the masks.
OVERLAYS = "overlays"

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
    video: Path,
    target: Path,
    tracker: HandTracker,
    *,
    keep_frames: bool = True,
    overlays: bool = False,
    **options: Any,
) -> ClipReport:
    """Write the pseudo mask of one video into a folder, in place of one that is there.

    Args:
        video: `name.mp4` gives `name.png` and `name/0001.png` …
        target: the folder; must be there.
        tracker: finds the hands.
        keep_frames: write the masks of the frames too.
        overlays: write `overlays/name.mp4` too, the video with the mask of each frame drawn over it.
        **options: of `annotate_clip`.

    Returns:
        What became of it. A file that holds no video is "unreadable".

    Raises:
        IVGError: there is no such file, or a mask cannot be written.
    """
    if not video.is_file():
        raise IVGError(f"{video} is not there: every machine must see the folder of the videos under this name.")
    place, stamp, overlay = target / video.stem, stamp_of(video), overlay_of(video, target)
    _forget(place, overlay)
    clip, unreadable = PieceByPiece(tracker, **options), ""

    def read() -> Iterator[Tensor]:
        nonlocal unreadable
        try:
            yield from _pieces(video)
        except IVGError as error:
            unreadable = str(error)

    with workplace(target, "annotation") as partial:

        def look() -> Iterator[tuple[Tensor, Annotation]]:
            for frames in read():
                found = clip.look(frames)
                if keep_frames:
                    for index, mask in enumerate(found.frame_masks, clip.count - len(frames) + 1):
                        save_png(mask, partial / f"{index:04d}.png")
                yield frames, found

        looks = look()
        if overlays and (first := next(looks, None)):
            drawn = (draw_masks(*seen) for seen in chain([first], looks))
            write_video(drawn, partial / overlay.name, open_media(video).fps)
        for _ in looks:
            pass
        if unreadable:
            return ClipReport(video.name, "unreadable", stamp=stamp, why=unreadable)
        if clip.enough or options.get("parity"):
            if overlays:
                overlay.parent.mkdir(exist_ok=True)
                os.replace(partial / overlay.name, overlay)
            if keep_frames:
                place.mkdir(exist_ok=True)
                for picture in partial.glob("*.png"):
                    os.replace(picture, place / picture.name)
            save_png(clip.union, target / f"{video.stem}.png")  # last: without it the video is not done
    if not clip.enough:
        return ClipReport(video.name, "no hands", clip.count, clip.with_hands, stamp=stamp)
    return ClipReport(video.name, "mask", clip.count, clip.with_hands, round(clip.union.mean().item(), 4), stamp)


def draw_masks(frames: Tensor, found: Annotation) -> Tensor:
    """Frames (F, H, W, 3) 0..1 with the mask of each where it lies in that very frame, whatever the camera did."""
    masks = found.frame_masks
    if found.cameras:  # these say where the scene lies as the first frame saw it
        masks = laid_over(masks, [np.linalg.inv(camera) for camera in found.cameras])
    return torch.stack([draw_rom(frame, mask) for frame, mask in zip(frames, masks, strict=True)])


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


def is_done(report: ClipReport, video: Path, target: Path, keep_frames: bool, overlays: bool = False) -> bool:
    """Whether what a report tells of a video still holds: the video is the same, and what was made of it is there."""
    if report.stamp != stamp_of(video):
        return False
    if report.outcome != "mask":
        return True
    if overlays and not overlay_of(video, target).is_file():
        return False
    place = target / video.stem
    frames = len(list(place.glob("*.png"))) if place.is_dir() else 0
    return place.with_name(f"{place.name}.png").is_file() and (not keep_frames or frames == report.frames)


def overlay_of(video: Path, target: Path) -> Path:
    """Where the overlay of a video lies in a folder of masks."""
    return target / OVERLAYS / f"{video.stem}.mp4"


def stamp_of(video: Path) -> str:
    """A text that differs once the video was changed."""
    facts = video.stat()
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def _forget(place: Path, overlay: Path) -> None:
    """Remove what an earlier run made of a video, and nothing else that may lie there."""
    overlay.unlink(missing_ok=True)
    place.with_name(f"{place.name}.png").unlink(missing_ok=True)
    for picture in place.glob("[0-9][0-9][0-9][0-9]*.png"):
        picture.unlink(missing_ok=True)
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()


def _pieces(video: Path) -> Iterator[Tensor]:
    """The frames in pieces (up to 64, H, W, 3), 0..1."""
    yield from in_pieces(open_media(video).read(), PIECE)
