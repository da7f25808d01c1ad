"""Which files are pictures and videos; writing one so that no crash, full disk or cancelled run leaves half of it."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path, PurePosixPath

from PIL import Image

from ..errors import IVGError
from .targets import LONGEST_NAME, user_path

#: Endings of the pictures that people have. Which of them can be read is up to the PIL that is here.
_KINDS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".tga", ".psd"),
    *(".heic", ".heif", ".jxl", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"),
)
PICTURES = tuple(ending for ending in _KINDS if ending in Image.registered_extensions())
UNREADABLE = tuple(ending for ending in _KINDS if ending not in PICTURES)
VIDEOS = (".mp4", ".webm", ".mov", ".avi", ".mkv", ".m4v", ".mpg", ".mpeg", ".gif")
#: Bytes that a name may gain while it is written: the ends of two temporary names, one within the other.
_WHILE_WRITTEN = 36
_CHUNK = 1 << 20  # bytes
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def sha256_of(*paths: Path) -> str:
    """The SHA-256 of a file, or of several one after the other, as 64 hexadecimal digits."""
    return digest_of(paths, hashlib.sha256())


def digest_of(paths: Sequence[Path], digest: hashlib._Hash) -> str:
    """What a hash that was begun makes of files, one after the other, in hexadecimal digits."""
    for path in paths:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def entries_in(folder: str | os.PathLike) -> list[Path]:
    """What lies in a folder, sorted, but for names that begin with a dot: those are a system's own.

    Raises:
        IVGError: it is no folder, or may not be looked into.
    """
    try:
        return sorted(path for path in Path(folder).iterdir() if not path.name.startswith("."))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise IVGError(f"{os.fspath(folder)} cannot be looked into ({reason}): give another folder.") from error


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names."""
    found = [path for path in entries_in(folder) if path.suffix.lower() in PICTURES]
    return sorted(found, key=lambda path: _text_and_numbers(path.name.lower()))


def is_numbered(pictures: Sequence[Path]) -> bool:
    """Whether the names of pictures differ in one number only, as those of a clip's frames do."""
    names = [_text_and_numbers(path.name.lower()) for path in pictures]
    texts, numbers = {tuple(name[::2]) for name in names}, [name[1::2] for name in names]
    if len(texts) != 1 or not numbers[0]:
        return False
    return sum(len(set(column)) > 1 for column in zip(*numbers, strict=True)) <= 1


def _text_and_numbers(name: str) -> list[str | int]:
    parts: list[str | int] = list(re.split(r"(\d+)", name))
    parts[1::2] = map(int, parts[1::2])  # text and numbers in turn, so that like meets like
    return parts


def named_in(folder: Path, name: str) -> Path:
    """The file that a list in a folder names, also one that was written on Windows."""
    path = folder / user_path(name)
    return path if "\\" not in name or os.path.exists(path) else folder / user_path(name.replace("\\", "/"))


def short_name(stem: str, more: int) -> str:
    """A name that every usual disk takes: cut to whole letters, with _ for line breaks and halves of letters.

    Args:
        stem: any text; one that is fine stays as it is.
        more: bytes that are put behind it.
    """
    return _cut(_ODD.sub("_", stem), LONGEST_NAME - _WHILE_WRITTEN - more)


def _cut(text: str, most: int) -> str:
    return text.encode(errors="ignore")[:most].decode(errors="ignore")


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
    stem = target.stem
    if len(os.fsencode(stem)) > LONGEST_NAME - _WHILE_WRITTEN:
        stem = _cut(stem, LONGEST_NAME - _WHILE_WRITTEN)
    # Absolute, since ffmpeg takes the name a:b.mp4 for an address.
    temporary = target.absolute().with_name(f".{stem}.{secrets.token_hex(4)}{target.suffix}")
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
    target = user_path(path).absolute()  # "." alone has no name
    if not target.name:
        raise IVGError(f"{target} is a whole disk: give a folder on it.")
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
