"""Published data sets of clips with boxes, known by the layout of their folders: GOT-10k and YouTube-VIS."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ...errors import IVGError
from ...media.files import named_in, pictures_in
from ...media.text import plain, read_text
from ...media.tracks import MOST_THINGS, Box, Thing, Track, box_in_picture
from ...settings import read_json

MOST_BYTES = 1 << 30  # of a list


@dataclass(frozen=True)
class Tracked:
    """A clip of a data set.

    Args:
        name, path: of the folder of its frames.
        caption: made of what the data set says of it.
        track: of its largest things.
        left_out: how many more there are than a track holds.
    """

    name: str
    path: Path
    caption: str
    track: Track
    left_out: int = 0


def is_got10k(folder: Path) -> bool:
    """Whether a folder of pictures is a sequence of GOT-10k."""
    return all(os.path.isfile(folder / name) for name in ("groundtruth.txt", "meta_info.ini"))


def got10k(folder: Path) -> Tracked:
    """A sequence of GOT-10k: `00000001.jpg` …, `groundtruth.txt`, `meta_info.ini`, and maybe `absence.label`.

    Raises:
        IVGError: its files do not fit together.

    Source: the layout of the data set, http://got-10k.aitestunion.com. The caption is SMCD's.
    """
    said = dict(_words(line) for line in read_text(folder / "meta_info.ini").splitlines() if ":" in line)
    thing, motion = said.get("object_class"), said.get("motion_class")
    if not thing or not motion:
        raise IVGError("its meta_info.ini says neither object_class nor motion_class: download it anew")
    pictures = pictures_in(folder)
    lines = read_text(folder / "groundtruth.txt").split()
    absent = read_text(folder / "absence.label").split() if os.path.isfile(folder / "absence.label") else []
    if not pictures or len(lines) != len(pictures) or len(absent) not in (0, len(pictures)):
        raise IVGError(f"its groundtruth.txt or absence.label is not of its {len(pictures)} pictures: download it anew")
    size = _size(pictures[0])
    boxes = [_of_corner(_numbers(line), size) for line in lines]
    boxes = [None if gone == "1" else box for box, gone in zip(boxes, absent or lines, strict=True)]
    if not any(boxes):
        raise IVGError("its thing is absent in every frame")
    return Tracked(folder.name, folder, f"A {thing} that is {motion}.", Track((Thing.of_frames(thing, boxes),)))


def is_youtube_vis(folder: Path) -> bool:
    """Whether a folder is a split of YouTube-VIS."""
    return os.path.isfile(folder / "instances.json") and os.path.isdir(folder / "JPEGImages")


def youtube_vis(folder: Path) -> Iterator[Tracked | tuple[str, str]]:
    """The videos of a split of YouTube-VIS 2021: `instances.json`, and `JPEGImages/<video>/*.jpg`.

    Yields:
        Each, or its name and why it cannot be used.

    Raises:
        IVGError: the list cannot be read.

    Source: the layout of the data set, https://youtube-vos.org/dataset/vis.
    """
    where = folder / "instances.json"
    try:
        values = read_json(_whole(where))
        kinds = {kind["id"]: plain(kind["name"], "a category").replace("_", " ") for kind in values["categories"]}
        of_video: dict[Any, list[tuple[str, list]]] = {}
        for row in values["annotations"]:
            of_video.setdefault(row["video_id"], []).append((kinds[row["category_id"]], row["bboxes"]))
        videos = [
            (plain(video["file_names"][0], "a file name"), _pixels(video), of_video.get(video["id"], []))
            for video in values["videos"]
        ]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise IVGError(f"data: {where} is not the list of YouTube-VIS ({said}): download it anew.") from error
    for first, size, found in videos:
        path = named_in(folder / "JPEGImages", first).parent
        try:
            yield _video(path, size, found)
        except IVGError as error:
            yield path.name, str(error)


def _whole(path: Path) -> bytes:
    """A list that is larger than people's texts are, since it also holds the outlines of all things."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise IVGError(f"data: {path} cannot be read ({error.strerror}): check who may read it.") from error
    if len(data) > MOST_BYTES:
        raise IVGError(f"data: {path} has more than {MOST_BYTES >> 20} MiB: take videos out of it.")
    return data


def _pixels(video: dict[str, Any]) -> tuple[float, float]:
    width, height = float(video["width"]), float(video["height"])
    if not (width > 0 and height > 0):
        raise ValueError(f"a video is {width:g} x {height:g}")
    return width, height


def _video(path: Path, size: tuple[float, float], found: list[tuple[str, list]]) -> Tracked:
    if not os.path.isdir(path):
        raise IVGError(f"it is listed, but there is no folder {path}: download it")
    count = len(pictures_in(path))
    things = []
    for kind, rows in found:
        if not isinstance(rows, list) or len(rows) != count:
            raise IVGError(f"its boxes are not of its {count} pictures: download it anew")
        boxes = [_of_corner(row, size) if row else None for row in rows]
        if any(boxes):
            things.append(Thing.of_frames(kind, boxes))
    if not things:
        raise IVGError("it is listed without any box")
    kept = tuple(sorted(things, key=_area, reverse=True)[:MOST_THINGS])
    kinds = dict.fromkeys(thing.phrase for thing in kept)
    names = " and ".join(f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}" for kind in kinds)
    return Tracked(path.name, path, f"{names[0].upper()}{names[1:]}.", Track(kept), len(things) - len(kept))


def _area(thing: Thing) -> float:
    return sum((box[2] - box[0]) * (box[3] - box[1]) for box in (key.box for key in thing.keyframes) if box)


def _of_corner(numbers: Sequence[float], size: tuple[float, float]) -> Box | None:
    """A box of x, y, width, height in pixels, as far as it lies in the picture; None: nowhere."""
    try:
        x, y, width, height = map(float, numbers)
    except (TypeError, ValueError):
        said = str(numbers)[:60]
        raise IVGError(f"one of its boxes is {said}, not four numbers x, y, width, height: download it anew") from None
    return box_in_picture((x, y, x + width, y + height), size)


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as picture:  # its first bytes are enough
            return picture.size
    except (OSError, ValueError) as error:
        raise IVGError(f"{path} cannot be read as a picture: download it anew") from error


def _numbers(line: str) -> Any:
    try:
        return [float(word) for word in line.split(",")]
    except ValueError:
        return line


def _words(line: str) -> tuple[str, str]:
    key, _, value = line.partition(":")
    return key.strip(), value.strip()
