"""Write the figures of a measurement, and the table of all of them."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivg_core.commands.shared import say

MARK = "<!-- the table below is made from results/*.json -->"


def record(folder: Path, name: str, figures: dict[str, float]) -> Path:
    """Write ``<folder>/results/<name>.json`` and renew the table in ``<folder>/README.md``.

    Args:
        folder: the ``benchmarks`` folder.
        name: of the measurement.
        figures: name -> number, flat.
    """
    path = write(folder / "results" / f"{name}.json", figures, machine())
    write_table(folder)
    return path


def write(path: Path, figures: Mapping[str, float | str], where: str) -> Path:
    """Write figures to a file, whole or not at all, with where and when they were measured and by which command.

    Args:
        path: of the file; its folder is made.
        figures: name -> number; texts stay out of the table.
        where: the machine.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    script = Path(sys.argv[0])
    command = f"-m {script.parent.name}" if script.name == "__main__.py" else f"{script.parent.name}/{script.name}"
    # Other people's folders say nothing: of a path only its last part is kept.
    words = [Path(word).name if os.sep in word else word for word in sys.argv[1:]]
    entry = {**figures, "machine": where, "date": datetime.date.today().isoformat()}
    entry["command"] = " ".join(["python", command, *(f'"{word}"' if " " in word else word for word in words)])
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(entry, indent=1) + "\n")
    os.replace(partial, path)
    return path


def recorded(folder: Path, name: str) -> dict[str, float]:
    """The figures that were recorded under a name before; none where nothing was."""
    path = folder / "results" / f"{name}.json"
    return _figures(json.loads(path.read_text())) if path.exists() else {}


def machine() -> str:
    """Processor, cores and Python, as recorded beside every figure."""
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def write_table(folder: Path) -> None:
    """Make the table in ``<folder>/README.md`` anew from ``<folder>/results``."""
    rows = ["| measurement | figure | value | date | machine |", "|---|---|---|---|---|"]
    for path in sorted((folder / "results").glob("*.json")):
        entry = json.loads(path.read_text())
        for key, value in _figures(entry).items():
            rows.append(f"| {path.stem} | {key} | {value:.4g} | {entry['date']} | {entry['machine']} |")
    readme = folder / "README.md"
    text = readme.read_text() if readme.exists() else f"# Benchmarks\n\n{MARK}\n"
    readme.write_text(text.split(MARK)[0] + MARK + "\n\n" + "\n".join(rows) + "\n")


def _figures(entry: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in entry.items() if isinstance(value, (int, float))}


def record_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--record", type=Path, help="benchmarks folder to record the figures in")
    return options


def report(options: argparse.Namespace, name: str, figures: dict[str, float]) -> None:
    """Show the figures of a measurement, and record them where `record_options` say so."""
    for figure, value in figures.items():
        print(f"{figure:32} {value:.4g}")
    if options.record:
        say(record(options.record, name, figures))
