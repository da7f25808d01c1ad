"""What is known of the videos of a folder: many processes write it, each a file of its own, and all is read."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from ..media.files import atomic_write
from ..media.records import Records, read_records
from ..settings import read_json
from .annotate_video import ClipReport

log = logging.getLogger("ivg")

REPORT = "annotate.json"

#: A run, its settings, the name of a video, and its report; None where it was forgotten.
Event = tuple[int, Any, str, ClipReport | None]


class Reports:
    """The reports of a folder of masks, and this process's own file of them, `.annotate-<process>.jsonl`.

    Every run has a number above those that it found, so the newest report of a video is that of the highest run, with
    no need of clocks that agree. `annotate.json` holds all of them for people and programs; it counts as run 0, as
    earlier versions kept no other.

    Args:
        folder: of the masks; made if need be.
        settings: what masks follow from; reports of masks that were made with others do not count.
        process: number of this process.

    Raises:
        IVGError: the folder cannot be written to, or another process of this number is at work in it.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], process: int = 0):
        self.folder, self._settings = folder, settings
        self._records = Records(folder / f".annotate-{process}.jsonl", "annotation")
        self._whole = _read_whole(folder / REPORT)
        newest = self._newest().values()
        self._run, self._begun = 1 + max((run for run, *_ in newest), default=0), False
        if any(known != settings for _, known, report in newest if report):
            log.warning("Masks in %s were made with other settings: they are done again.", folder)

    def known(self) -> dict[str, ClipReport]:
        """The newest report of each video by the name of its file, of all processes."""
        newest = sorted(self._newest().items())
        return {name: report for name, (_, settings, report) in newest if report and settings == self._settings}

    def keep(self, report: ClipReport) -> None:
        """Note what became of a video.

        Raises:
            IVGError: the disk is full or gone.
        """
        self._append(asdict(report))

    def forget(self, videos: Iterable[str]) -> None:
        """Let what was known of these videos count no more.

        Raises:
            IVGError: the disk is full or gone.
        """
        self._append({"forgotten": list(videos)})

    def write(self) -> Path:
        """Write `annotate.json` of all that is known.

        Raises:
            IVGError: it cannot be written.
        """
        path = self.folder / REPORT
        text = json.dumps({"settings": self._settings, "videos": [*map(asdict, self.known().values())]}, indent=1)
        with atomic_write(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        return path

    def __enter__(self) -> Reports:
        return self

    def __exit__(self, *_) -> None:
        self._records.close()

    def _append(self, record: dict[str, Any]) -> None:
        if not self._begun:
            self._records.append({"run": self._run, "settings": self._settings})
            self._begun = True
        self._records.append(record)

    def _newest(self) -> dict[str, tuple[int, Any, ClipReport | None]]:
        """The newest event of each video: the run, its settings, and the report."""
        newest: dict[str, tuple[int, Any, ClipReport | None]] = {}
        of_processes = map(_events, sorted(self.folder.glob(".annotate-*.jsonl")))
        for run, settings, name, report in chain(self._whole, *of_processes):
            if name not in newest or run >= newest[name][0]:
                newest[name] = run, settings, report
        return newest


def _read_whole(path: Path) -> list[Event]:
    """What `annotate.json` says."""
    if not path.is_file():
        return []
    try:
        kept = read_json(path.read_text(encoding="utf-8"))
        reports = [ClipReport(**entry) for entry in kept["videos"]]
        return [(0, kept.get("settings"), str(report.video), report) for report in reports]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        log.warning("%s cannot be read: it is left aside.", path)
        return []


def _events(path: Path) -> Iterator[Event]:
    """What one process noted."""
    run, settings = 0, None
    for record in read_records(path):
        if isinstance(record.get("run"), int):
            run, settings = record["run"], record.get("settings")
        elif isinstance(forgotten := record.get("forgotten"), list):
            yield from ((run, settings, str(name), None) for name in forgotten)
        else:
            try:
                report = ClipReport(**record)
            except TypeError:  # no report
                continue
            yield run, settings, str(report.video), report
