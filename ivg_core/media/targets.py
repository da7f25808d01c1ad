"""What can be known of a file to write before the work for it begins: its name, its place, its speed, its size."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import psutil

from ..errors import IVGError

#: What `write_video` writes.
VIDEO_ENDINGS = (".mp4", ".webm", ".gif", ".png")
#: Bytes of a name, in every usual file system.
LONGEST_NAME = 255
#: Bytes of a path: what can be made folder by folder, and is far more than anybody types.
LONGEST_PATH = 1024


def user_path(text: str | os.PathLike) -> Path:
    """A path as a user writes it, with `~` for their folder.

    Raises:
        IVGError: no system has such a path.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise IVGError(f"{text} names a user whom this system does not know: write the whole path.") from error
    try:
        lengths = {part: len(os.fsencode(part)) for part in path.parts}
    except UnicodeEncodeError:
        raise IVGError(f"{path} is no path: it holds half a character.") from None
    if "\0" in str(path):
        raise IVGError(f"{str(path)!r} is no path: it holds a null character.")
    if long := [part for part, length in lengths.items() if length > LONGEST_NAME]:
        raise IVGError(f"{long[0][:40]}… is too long for a name: at most {LONGEST_NAME} bytes can be used.")
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise IVGError(f"{str(path)[:40]}… is too long for a path: at most {LONGEST_PATH} bytes can be used.")
    return path


def check_file(path: Path, endings: Sequence[str]) -> Path:
    """Let pass a file that can be written.

    Args:
        path: where to; folders that are missing will be made.
        endings: those that it may have.

    Raises:
        IVGError: another ending, a folder of that name, or a place that cannot be written to.
    """
    if path.suffix.lower() not in endings:
        *others, last = endings
        allowed = f"{', '.join(others)} or {last}" if others else last
        raise IVGError(f"{path.name} names no format to write: end it in {allowed}.")
    if path.is_dir():
        raise IVGError(f"{path} is a folder: give a file in it.")
    check_folder(path.parent)
    return path


def check_folder(path: Path) -> Path:
    """Let pass a folder that can be written to, or made.

    Raises:
        IVGError: a file lies in its way, or it may not be written to.
    """
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if os.path.lexists(folder))
    if not there.is_dir():
        raise IVGError(f"{there} is a file, so {path} cannot be a folder: choose another place.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise IVGError(f"{there} may not be written to: choose another folder.")
    return path


def check_fps(path: Path, fps: float) -> None:
    """Let pass frames a second that a video's format can hold.

    Raises:
        IVGError: too many, none, or no number.
    """
    most = 50 if path.suffix.lower() == ".gif" else 240
    if not (math.isfinite(fps) and 0 < fps <= most):
        raise IVGError(f"{path.name} cannot play {fps} frames a second: choose more than 0 and at most {most}.")


def check_memory(
    frames: int, size: tuple[int, int], advice: str = "make fewer or smaller frames", bytes_a_value: int = 4
) -> None:
    """Let pass frames in colour that fit into the memory that is free.

    Args:
        frames: how many.
        size: (width, height) of each.
        advice: what to do if they do not, for the message.
        bytes_a_value: 4 for float32.

    Raises:
        IVGError: they do not fit.
    """
    needed, free = frames * size[0] * size[1] * 3 * bytes_a_value, psutil.virtual_memory().available
    if needed <= free:
        return
    smaller = math.sqrt(free / needed / 2)  # half of it, as what comes next wants memory too
    width, height = (round(side * smaller) for side in size)
    would_do = f" ({width} x {height} would do)." if min(width, height) > 64 else "."
    raise IVGError(
        f"{frames} frames of {size[0]} x {size[1]} pixels take {needed / 1e9:.3g} GB of memory, and "
        f"{free / 1e9:.1f} GB are free: {advice}{would_do}"
    )
