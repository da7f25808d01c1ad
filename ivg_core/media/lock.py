"""One process at a time in a folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import IVGError

log = logging.getLogger("ivg")


@contextmanager
def alone_in(folder: Path, what: str) -> Iterator[None]:
    """Keep every other process that asks the same out of a folder until the block has ended, however it ends.

    Args:
        folder: made if need be; `.<what>.lock` stays in it.
        what: is done there, such as "training".

    Raises:
        IVGError: another process is at work there, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / f".{what}.lock", "ab")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise IVGError(f"{folder} cannot be written to ({error.strerror}): choose another folder.") from error
    with file:
        lock(file, folder, what)
        yield


def lock(file: IO[bytes], folder: Path, what: str) -> None:
    """Keep a file to this process until it is closed or the process ends.

    Args:
        file: open for writing.
        folder, what: for the message.

    Raises:
        IVGError: another process has it.
    """
    try:
        _lock(file)
    except OSError as error:
        raise IVGError(
            f"Another {what} is at work in {folder}: wait until it has ended, or choose another folder."
        ) from error


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0x7FFFFFFF)  # beyond what is written, so that others can still read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            log.warning("This file system knows no locks (%s): do not start the same work twice at once.", error)
