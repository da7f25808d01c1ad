"""Calling ffmpeg, which reads and writes all videos but GIFs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

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


def write_with_ffmpeg(arguments: list[str], stdin: bytes, target: Path) -> None:
    """Run ffmpeg to write a file.

    Args:
        arguments: all of them, the file's path among them.
        stdin: what it is fed.
        target: the file as the user knows it, for the message.

    Raises:
        IVGError: ffmpeg could not.
    """
    words = [ffmpeg_program(), "-loglevel", "error", "-y", *arguments]
    done = subprocess.run(words, input=stdin, capture_output=True)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise IVGError(
            f"{target} could not be written ({said[-1] if said else 'ffmpeg failed'}): choose a folder that may be "
            "written to and has free space, or another format."
        )
