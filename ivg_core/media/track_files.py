"""Box tracks as files: our own JSON, and the `bbox.txt` of SMCD, a box a frame in pixels of the photo."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path

from ..errors import IVGError
from ..settings import read_json
from .files import atomic_write
from .targets import user_path
from .text import plain, read_text
from .tracks import Box, Thing, Track, frame_times

log = logging.getLogger("ivg")

#: What stands in a `bbox.txt` for a frame without the thing. An empty line between others means the same.
ABSENT = "-"


def read_track(path: str | os.PathLike, phrase: str | None = None, size: tuple[int, int] | None = None) -> Track:
    """Read a file that holds a box track; its content says of which kind.

    Args:
        path: of the file.
        phrase: what the thing of a `bbox.txt` is, such as "cup"; JSON says itself what its things are.
        size: (width, height) of the photo that a `bbox.txt` counts the pixels of.

    Raises:
        IVGError: it cannot be read; or see `parse_track`.
    """
    return parse_track(read_text(path), os.fspath(path), phrase, size)


def parse_track(text: str, where: str, phrase: str | None = None, size: tuple[int, int] | None = None) -> Track:
    """The box track that a text is: JSON as `Track.to_json` writes it, or the lines of a `bbox.txt`.

    A line of the latter is `x1,y1,x2,y2` for each frame, in pixels. However many lines there are, they are spread over
    the whole clip. A frame without the thing is an empty line or `-`; empty lines at the end are nothing.

    Args:
        text: as the file has it.
        where: what to call it in an error.
        phrase, size: see `read_track`.

    Raises:
        IVGError: it is neither, a box cannot be, or the phrase or the size is missing; with the line.
    """
    if text.lstrip().startswith(("{", "[")):
        try:
            values = read_json(text)
        except ValueError as error:
            raise IVGError(f"{where} is no JSON ({error}): write it anew, or mend it.") from error
        track = Track.of_json(values, where)
        for name in track.phrases:  # JSON can spell half a character, which no file holds
            plain(name, f"A phrase in {where}")
        return track
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if not any(line.strip(ABSENT) for line in lines):
        raise IVGError(f"{where} holds no box: write a line x1,y1,x2,y2 for each frame.")
    if not phrase:
        raise IVGError(f'{where} does not say what its boxes are around: give the phrase, such as "cup".')
    if size is None:
        raise IVGError(f"{where} counts pixels, and of which photo is not known: give the photo.")
    boxes = [_box_of(line, f"Line {number} of {where}", size) for number, line in enumerate(lines, 1)]
    log.info(
        "%s holds %d boxes: they are spread over the clip, and boxes in between are interpolated.", where, len(boxes)
    )
    return Track((Thing.of_frames(phrase, boxes),))


def write_track(track: Track, path: str | os.PathLike) -> Path:
    """Write a track as JSON, whole or not at all.

    Returns:
        The file.

    Raises:
        IVGError: the place cannot be written to.
    """
    return _write(track.to_json(), path)


def write_boxes(thing: Thing, path: str | os.PathLike, num_frames: int, size: tuple[int, int]) -> Path:
    """Write where one thing is as SMCD's `bbox.txt`, whole or not at all.

    Args:
        thing: the one; its phrase is not kept.
        path: where to.
        num_frames: lines to write, at least 1.
        size: (width, height) of the photo, in whose pixels the boxes are told.

    Returns:
        The file.

    Raises:
        IVGError: the place cannot be written to.
    """
    lines = [line_of(thing.at(time), size) for time in frame_times(num_frames)]
    return _write("\n".join(lines), path)


def line_of(box: Box | None, size: tuple[int, int]) -> str:
    """A box as a line of a `bbox.txt`."""
    # nine digits: a millionth of a pixel, without the noise of the sixteenth
    return ABSENT if box is None else ",".join(f"{share * side:.9g}" for share, side in zip(box, size * 2, strict=True))


def _box_of(line: str, where: str, size: tuple[int, int]) -> Box | None:
    if line in ("", ABSENT):
        return None
    try:
        x1, y1, x2, y2 = numbers = [float(word) for word in line.split(",")]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise IVGError(f"{where} is {line[:60]!r}: give four numbers, x1,y1,x2,y2, in pixels.")
    width, height = size
    if not (0 <= min(x1, x2) <= max(x1, x2) <= width and 0 <= min(y1, y2) <= max(y1, y2) <= height):
        raise IVGError(f"{where} is {line}, which leaves the photo of {width} x {height} pixels: keep the box inside.")
    if x1 >= x2 or y1 >= y2:
        raise IVGError(f"{where} is {line}, which has no area: give the upper left corner first, then the lower right.")
    return x1 / width, y1 / height, x2 / width, y2 / height


def _write(text: str, path: str | os.PathLike) -> Path:
    target = user_path(path)
    with atomic_write(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")
    return target
