"""The results as files: JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

from ..media.files import atomic_write
from .bootstrap import Estimate
from .families import METRICS
from .run import Evaluation

ARROWS = {"higher": "↑", "lower": "↓"}


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
    """Everything that was measured and what was not, as JSON holds it: null where there is no number."""
    return {
        "metrics_computed": computed(result),
        "metrics_missing": {key: result.missing[key] for key in METRICS if key in result.missing},
        "notes": result.notes,
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


def computed(result: Evaluation) -> list[str]:
    """Keys of the metrics that have a figure for at least one method, in the order of the table."""
    rows = [row for rows in result.table.values() for row in rows.values()]
    return [key for key in METRICS if any(key in row for row in rows)]


def as_markdown(result: Evaluation) -> str:
    """A table a subset, the best figure of each metric bold, with 95 % intervals; then what is missing, and notes."""
    keys = computed(result)
    parts = ["# Evaluation"]
    for subset, rows in result.table.items():
        count = len(result.subsets[subset])
        parts.append(f"## {subset[0].upper()}{subset[1:]} ({count} {'scene' if count == 1 else 'scenes'})")
        titles = [f"{METRICS[key].title} {ARROWS[METRICS[key].better]}" for key in keys]
        lines = [_line("method", *titles), _line("---", *["---"] * len(keys))]
        best = {key: best_of(key, rows) for key in keys}
        for name, row in rows.items():
            cells = [figure_text(key, row.get(key)) for key in keys]
            lines.append(_line(name, *[f"**{c}**" if name in best[k] else c for k, c in zip(keys, cells, strict=True)]))
        parts.append("\n".join(lines))
    if result.missing:
        parts.append("## Not computed\n\n" + "\n".join(f"- {line}" for line in missing_lines(result)))
    if result.notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in result.notes))
    return "\n\n".join(parts) + "\n"


def missing_lines(result: Evaluation) -> list[str]:
    """What was not computed: for each reason the metrics that it concerns."""
    titles: dict[str, list[str]] = {}
    for key in METRICS:
        if key in result.missing:
            titles.setdefault(result.missing[key], []).append(METRICS[key].title)
    return [f"{', '.join(names)}: {reason}" for reason, names in titles.items()]


def best_of(key: str, rows: dict[str, dict[str, Estimate]]) -> set[str]:
    """The methods with the best figure, of at least two that have one."""
    values = {name: row[key].value for name, row in rows.items() if key in row and not math.isnan(row[key].value)}
    if len(values) < 2:
        return set()
    best = max(values.values()) if METRICS[key].better == "higher" else min(values.values())
    return {name for name, value in values.items() if value == best}


def figure_text(key: str, figure: Estimate | None) -> str:
    """A figure with its interval, such as `0.412 (0.371–0.455)`; a dash where there is none."""
    if figure is None:
        return "–"
    digits = METRICS[key].digits
    text = f"{figure.value:.{digits}f}"
    return text if math.isnan(figure.low) else f"{text} ({figure.low:.{digits}f}–{figure.high:.{digits}f})"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


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
