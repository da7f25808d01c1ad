"""Calling ffmpeg, which reads and writes all videos but GIFs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from ..errors import IVGError


def ffmpeg_program() -> str:
    """The path of ffmpeg.

    Raises:
        IVGError: there is none.
    """
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise IVGError("There is no ffmpeg on this machine: install it, or reinstall imageio-ffmpeg.") from error


def ffmpeg_options(options: Mapping[str, str]) -> list[str]:
    """{"crf": "17"} → ["-crf", "17"]."""
    return [word for name, value in options.items() for word in (f"-{name}", value)]


def notes_text(tags: Mapping[str, str], chapters: Iterable[tuple[int, int, str]] = ()) -> str:
    """The content of a file of metadata, as ffmpeg reads it with `-f ffmetadata`.

    Args:
        tags: of the whole file, name -> text.
        chapters: (start, end, title) of each, milliseconds.
    """
    lines = [";FFMETADATA1", *(f"{name}={_escaped(text)}" for name, text in tags.items())]
    for start, end, title in chapters:
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", f"START={start}", f"END={end}", f"title={_escaped(title)}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    text += " " * text.endswith("\\")  # ffmpeg takes one at a line's end for an escape of that end, escaped or not
    return re.sub(r"([=;#\\\n])", r"\\\1", text)


def write_with_ffmpeg(arguments: list[str], stdin: Iterable[bytes], target: Path) -> None:
    """Run ffmpeg to write a file.

    Args:
        arguments: all of them, the file's path among them.
        stdin: what it is fed, piece by piece. An error in making a piece ends ffmpeg.
        target: the file as the user knows it, for the message.

    Raises:
        IVGError: ffmpeg could not.
    """
    words = [ffmpeg_program(), "-loglevel", "error", "-y", *arguments]
    with TemporaryFile() as notes:  # not a pipe, which would be full one day
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=notes)
        assert process.stdin
        try:
            for piece in stdin:
                if not _fed(process.stdin.write, piece):
                    break
        except BaseException:
            process.kill()
            raise
        finally:
            _fed(process.stdin.close)
            process.wait()
        notes.seek(0)
        said = notes.read().decode(errors="replace").strip().splitlines()
    if process.returncode:
        raise IVGError(
            f"{target} could not be written ({said[-1] if said else 'ffmpeg failed'}): choose a folder that may be "
            "written to and has free space, or another format."
        )


def _fed(do: Callable[..., Any], *piece: bytes) -> bool:
    """Whether it could be done; not if ffmpeg has ended, which then says why."""
    try:
        do(*piece)
    except OSError:  # a broken pipe; on Windows an invalid argument
        return False
    return True
