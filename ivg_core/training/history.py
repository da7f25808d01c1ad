"""The figures of every step, one JSON line each, so that a curve can be drawn while a training runs."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import IVGError
from ..media.files import atomic_write


def append_figures(path: Path, figures: dict[str, float]) -> None:
    """Add one step."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")
    except OSError as error:
        raise IVGError(f"{path} could not be written ({error.strerror}): make room on the disk, then go on.") from error


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Begin the file anew with these steps."""
    with atomic_write(path) as temporary:
        temporary.write_text("".join(json.dumps(figures) + "\n" for figures in history), encoding="utf-8")


def read_history(path: Path) -> list[dict[str, float]]:
    """The steps so far; a last line that a killed run left unfinished is dropped."""
    history = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            history.append(json.loads(line))
        except ValueError:
            break
    return history
