"""One process at a time in a folder, and a place in it that a process has to itself."""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
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
    except BlockingIOError as error:
        raise IVGError(
            f"Another {what} is at work in {folder}: wait until it has ended, or choose another folder."
        ) from error
    except OSError as error:
        log.warning("This file system knows no locks (%s): do not start the same work twice at once.", error)


@contextmanager
def workplace(folder: Path, what: str) -> Iterator[Path]:
    """A hidden folder for what is half made, which is gone when the block has ended.

    A process that is killed leaves it behind. Then `sweep` takes it away, which leaves those of living processes, on
    this machine or another, as they are.

    Args:
        folder: it lies in; must be there.
        what: is done in it, such as "annotation".

    Yields:
        The hidden folder, empty.

    Raises:
        IVGError: the folder cannot be written to.
    """
    place = folder / f".{what}-{secrets.token_hex(8)}.partial"
    guard = place.with_suffix(".lock")
    with ExitStack() as stack:
        stack.callback(guard.unlink, missing_ok=True)
        try:
            file = stack.enter_context(open(guard, "xb"))
            with suppress(OSError):  # where there are no locks, nothing is swept
                _lock(file)
            stack.callback(shutil.rmtree, place, ignore_errors=True)
            place.mkdir()
        except OSError as error:
            raise IVGError(f"{folder} cannot be written to ({error.strerror}): choose another folder.") from error
        yield place


def sweep(folder: Path) -> None:
    """Remove the workplaces in a folder that processes left behind which were killed."""
    for place in folder.glob(".*.partial"):
        guard = place.with_suffix(".lock")
        try:
            with open(guard, "rb+") as file:
                _lock(file)
        except FileNotFoundError:
            pass  # it has ended just now, or it is of an older version
        except OSError:  # it lives, or there are no locks to tell
            continue
        shutil.rmtree(place, ignore_errors=True)
        guard.unlink(missing_ok=True)


def _lock(file: IO[bytes]) -> None:
    """Lock a file.

    Raises:
        BlockingIOError: another process has it.
        OSError: this file system knows no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0x7FFFFFFF)  # beyond what is written, so that others can still read
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            raise BlockingIOError(*error.args) from error
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
