"""The results as files: JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

from ..media.files import atomic_write
from ..versions import made_with
from .families import METRICS
from .grid import Grid, computed, grid_of, legend
from .run import Evaluation

WIDEST = 118  # letters of a line of a table
INTERVAL = "95 %"


def write_report(result: Evaluation, folder: Path) -> list[Path]:
    """Write `results.json` (everything), `results.csv` (the figures), `clips.csv` (each clip's) and `results.md`.

    Args:
        result: what was measured.
        folder: where to; made if missing.

    Returns:
        The files.

    Raises:
        IVGError: the folder cannot be written to.
    """
    texts = {
        "results.json": json.dumps(as_json(result), indent=1, ensure_ascii=False) + "\n",
        "results.csv": _figures(result),
        "clips.csv": _clips(result),
        "results.md": as_markdown(result),
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def as_json(result: Evaluation) -> dict:
    """Everything that was measured and what was not, and by what, as JSON holds it: null where there is no number."""
    return {
        "made_with": {**made_with(), "networks": result.networks},
        "metrics_computed": computed(result),
        "metrics_missing": {key: result.missing[key] for key in METRICS if key in result.missing},
        "notes": result.notes,
        "legend": legend(result),
        "subsets": result.subsets,
        "table": {
            subset: {
                name: {
                    key: {
                        "value": _number(figure.value),
                        "low": _number(figure.low),
                        "high": _number(figure.high),
                        "clips": figure.clips,
                    }
                    for key, figure in row.items()
                }
                for name, row in rows.items()
            }
            for subset, rows in result.table.items()
        },
        "clips": {
            name: {scene: {key: _number(value) for key, value in values.items()} for scene, values in clips.items()}
            for name, clips in result.values.items()
        },
    }


def as_markdown(result: Evaluation) -> str:
    """Tables of each subset with 95 % intervals, the best figures bold; how to read them; what is missing.

    They can be read as they stand: columns are aligned, and a table that would be wider than `WIDEST` is several.
    """
    parts = ["# Evaluation"]
    for subset in result.table:
        count = len(result.subsets[subset])
        parts.append(f"## {subset[0].upper()}{subset[1:]} ({count} {'scene' if count == 1 else 'scenes'})")
        parts += _tables(grid_of(result, subset))
    sections = {"How to read it": legend(result), "Not computed": missing_lines(result), "Notes": result.notes}
    for title, lines in sections.items():
        if lines:
            parts.append(f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines))
    return "\n\n".join(parts) + "\n"


def _tables(grid: Grid) -> list[str]:
    """The columns, in as many tables as it takes; intervals have rows of their own, which leaves room for methods."""
    first, columns = ["", "---"], [[_escaped(head), "---"] for head in grid.heads]
    for title, cells in grid.rows:
        rows = [(title, [f"**{cell}**" if cell.best else str(cell) for cell in cells])]
        rows += [(INTERVAL, [cell.interval for cell in cells])] if any(cell.interval for cell in cells) else []
        for name, texts in rows:
            first.append(_escaped(name))
            for column, text in zip(columns, texts, strict=True):
                column.append(_escaped(text))
    groups: list[list[list[str]]] = []
    for column in columns:
        if not groups or _width([first, *groups[-1], column]) > WIDEST:
            groups.append([])
        groups[-1].append(column)
    return ["\n".join(_lines([first, *group])) for group in groups]


def _lines(columns: list[list[str]]) -> list[str]:
    padded = [[text.ljust(_longest(column)) for text in column] for column in columns]
    return [f"| {' | '.join(cells)} |" for cells in zip(*padded, strict=True)]


def _width(columns: list[list[str]]) -> int:
    return sum(_longest(column) + 3 for column in columns) + 1


def _longest(column: list[str]) -> int:
    return max(map(len, column))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def missing_lines(result: Evaluation) -> list[str]:
    """What was not computed: for each reason the metrics that it concerns."""
    titles: dict[str, list[str]] = {}
    for key in METRICS:
        if key in result.missing:
            titles.setdefault(result.missing[key], []).append(METRICS[key].title)
    return [f"{', '.join(names)}: {reason}" for reason, names in titles.items()]


def _figures(result: Evaluation) -> str:
    rows = [["subset", "method", "metric", "value", "low", "high", "clips", "not computed"]]
    for subset, methods in result.table.items():
        for name, row in methods.items():
            for key in METRICS:
                if key in row:
                    f = row[key]
                    rows.append([subset, name, key, *map(_cell, (f.value, f.low, f.high)), str(f.clips), ""])
                elif key in result.missing:
                    rows.append([subset, name, key, "", "", "", "0", result.missing[key]])
    return _csv(rows)


def _clips(result: Evaluation) -> str:
    found = {key for clips in result.values.values() for values in clips.values() for key in values}
    keys = [key for key in METRICS if key in found]
    rows = [["method", "clip", *keys]]
    for name, clips in result.values.items():
        for scene, values in clips.items():
            rows.append([name, scene, *[_cell(values.get(key, float("nan"))) for key in keys]])
    return _csv(rows)


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _cell(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
