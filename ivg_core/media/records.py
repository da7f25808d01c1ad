"""A file of records, one line of JSON each, only ever appended: a crash, even kill -9, tears the last line at most."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import IVGError
from ..settings import read_json
from .lock import lock


class Records:
    """A file of records that this process alone writes until it is closed; anybody may read it.

    A record is on the disk before `append` returns. What a crash tore off the last line is cut away.

    Args:
        path: of the file; folders above it are made.
        what: writes it, such as "run", for the messages.

    Raises:
        IVGError: the folder cannot be written to, or another process writes the file.
    """

    def __init__(self, path: Path, what: str):
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "ab+")  # noqa: SIM115
        except OSError as error:
            raise IVGError(f"{path} cannot be written ({error.strerror}): choose another folder.") from error
        try:
            lock(self._file, path.parent, what)
        except IVGError:
            self._file.close()
            raise
        self._cut_torn_line()

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record.

        Raises:
            IVGError: the disk is full or gone.
        """
        try:
            # Halves of letters become JSON's escapes.
            self._file.write(json.dumps(record, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise IVGError(f"{self.path} cannot be written ({error.strerror}): free some space, then go on.") from error

    def close(self) -> None:
        """Let other processes write to it."""
        with contextlib.suppress(OSError):  # a full disk was reported when the line was written
            self._file.close()

    def _cut_torn_line(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file in their order; lines that a crash tore, or another program wrote, are left aside."""
    for line in path.read_bytes().split(b"\n"):
        try:
            record = read_json(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record
