"""Calling ffmpeg, which reads and writes all videos but GIFs."""

from __future__ import annotations

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
