"""What a batch has done so far: one line of JSON an event, only ever appended, in a file that survives kill -9."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..media.records import Records, read_records
from ..media.targets import user_path
from .table import Item

STARTED, DONE, FAILED = "started", "done", "failed"
FORMATS = (".mp4", ".webm", ".gif")


@dataclass
class State:
    """What the journals say of one item, by its name."""

    status: str = ""
    attempts: int = 0  # how often it was begun
    last: dict[str, Any] = field(default_factory=dict)  # the newest line of it


class Journal:
    """The journal of one process, `results.jsonl` in the batch's folder (`results-1.jsonl` for process 1 of several).

    A line goes to the disk before the next thing is begun. What a crash tore off the last line is forgotten, since the
    result itself is the proof (see `result_of`). While it is open no second process can write to it.

    Args:
        folder: of the batch.
        process: number of this process.

    Raises:
        IVGError: the folder cannot be written to, or another run is at work there.
    """

    def __init__(self, folder: str | Path, process: int = 0):
        self.path = user_path(folder) / (f"results-{process}.jsonl" if process else "results.jsonl")
        self._records = Records(self.path, "run")

    def write(self, item: Item, status: str, **facts: Any) -> None:
        """Append one event of an item.

        Raises:
            IVGError: the disk is full or gone.
        """
        line: dict[str, Any] = {"name": item.name, "status": status, "image": str(item.image), "prompt": item.prompt}
        line |= {"seed": item.seed, "mask": str(item.mask) if item.mask else None}
        line |= {**item.said_loras, **facts, "time": time.strftime("%Y-%m-%dT%H:%M:%S")}
        self._records.append(line)

    def close(self) -> None:
        """Let other processes write to it."""
        self._records.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def read_journal(folder: str | Path) -> dict[str, State]:
    """What all the processes' journals in a folder say, by item name; lines that no journal writes are left aside."""
    states: dict[str, State] = {}
    for path in _journals(folder):
        for event in filter(_is_event, read_records(path)):
            state, status = states.setdefault(event["name"], State()), event["status"]
            state.attempts += status == STARTED
            if state.status != DONE or status == DONE:
                state.status, state.last = status, event
    return states


def has_journal(folder: str | Path) -> bool:
    """Whether a batch was ever begun in this folder."""
    return bool(_journals(folder))


def result_of(item: Item, folder: str | Path) -> Path | None:
    """The video that an item became, None if it is still to be made.

    A result is written whole or not at all, under a name that holds the item's key: so where the file is, the work is
    done, even if the process died before it could write its journal; and where it was taken away, it is made again.
    """
    paths = (user_path(folder) / f"{item.name}{suffix}" for suffix in FORMATS)
    return next((path for path in paths if path.is_file() and path.stat().st_size), None)


def pending(items: Iterable[Item], folder: str | Path) -> list[Item]:
    """The items that are still to be made, those that were never tried first.

    So an item that brings the process down comes last the next time, and cannot stand in the way of the others.
    """
    states = read_journal(folder)
    left = [item for item in items if not result_of(item, folder)]
    return sorted(left, key=lambda item: states[item.name].attempts if item.name in states else 0)


def adopt(journal: Journal, items: Iterable[Item]) -> None:
    """Note results that are there and that no journal calls done: the process died between the two."""
    folder, states = journal.path.parent, read_journal(journal.path.parent)
    for item in items:
        noted = item.name in states and states[item.name].status == DONE
        if not noted and (result := result_of(item, folder)):
            journal.write(item, DONE, file=result.name, recovered=True)


def _journals(folder: str | Path) -> list[Path]:
    return sorted(path for path in user_path(folder).glob("results*.jsonl") if path.is_file())


def _is_event(record: dict[str, Any]) -> bool:
    """Whether a journal wrote it, and no hand or other program."""
    if record.get("status") not in (STARTED, DONE, FAILED):
        return False
    texts = (record.get("name"), record.get("image"), record.get("prompt"), record.get("file", ""))
    if not all(isinstance(text, str) for text in (*texts, record.get("lora", ""))):
        return False
    # the name is that of files in the folder
    return isinstance(record.get("seed"), int) and Path(record["name"]).name == record["name"]
