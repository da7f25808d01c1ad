"""Which files are pictures and videos; writing one so that no crash, full disk or cancelled run leaves half of it."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path, PurePosixPath

from ..errors import IVGError
from .targets import user_path

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
VIDEOS = (".mp4", ".webm", ".mov", ".avi", ".mkv", ".m4v", ".mpg", ".mpeg", ".gif")


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`, which takes its place once the block has ended without an error.

    Args:
        path: the file to write; missing folders above it are made.

    Yields:
        The temporary path, in the same folder and with the same suffix (encoders choose their format by it).

    Raises:
        IVGError: the folder cannot be written to, or the disk is full.
    """
    target = user_path(path)
    if not target.name:
        raise IVGError(f"{target} is a folder: give a file in it.")
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if temporary.exists():
            to_disk(temporary)
        os.replace(temporary, target)
        to_disk(target.parent, whole=False)
    except Exception as error:
        reason = why_not_written(error)
        if not reason:
            raise
        raise IVGError(
            f"{target} could not be written ({reason}): choose a folder that exists, may be written to and "
            "has free space."
        ) from error
    finally:
        with suppress(OSError):  # the first error says better what is wrong with the folder
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary folder beside `path`, whose files take their places once the block has ended without an error.

    Args:
        path: the folder to write. If it is there, its other files stay.

    Yields:
        The temporary folder, empty.

    Raises:
        IVGError: the place cannot be written to, or the disk is full.
    """
    target = user_path(path)
    partial = target.with_name(f".{target.name}.part")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        partial.mkdir(parents=True)
        yield partial
        to_disk(partial)
        if target.exists():
            for file in sorted(file for file in partial.rglob("*") if file.is_file()):
                place = target / file.relative_to(partial)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, place)
        else:
            os.replace(partial, target)
        to_disk(target.parent, whole=False)
    except OSError as error:
        raise IVGError(
            f"{target} could not be written ({error.strerror or error}): choose a folder that may be written to and "
            "has free space."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def to_disk(path: Path, whole: bool = True) -> None:
    """Wait until a file, or a folder with all that is in it, has left the memory: a power cut then takes nothing.

    Args:
        path: of the file or folder.
        whole: False: of a folder only the names in it.
    """
    for part in [*path.rglob("*"), path] if whole and path.is_dir() else [path]:
        with suppress(OSError) if part.is_dir() else nullcontext():  # not every system can do so with folders
            handle = os.open(part, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def why_not_written(error: Exception) -> str:
    """What kept a file from being written, in a few words; "" if the error is about something else."""
    said = str(error)
    if isinstance(error, OSError):
        return error.strerror or said
    if "I/O error" in said:  # SafetensorError
        return said.partition("I/O error: ")[2]
    # torch keeps the system's reason to itself
    return "a file was cut short" if "unexpected pos" in said or "file write failed" in said else ""


def plain_path(name: str, source: object) -> PurePosixPath:
    """A file's name as an archive or a server gives it, if it stays in the folder that it is put into.

    Args:
        name: with folders, parted by either kind of slash.
        source: who gives it, for the error.

    Raises:
        IVGError: it leads out of the folder, or names none of its files.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
        raise IVGError(f"{source} wants to write to {name!r}, outside its own folder: do not use it.")
    return path
