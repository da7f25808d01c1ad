"""The table of a report as people read it: which way it lies, what stands in a cell, and what has to be known of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .bootstrap import Estimate
from .families import METRICS
from .run import Evaluation

ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Cell:
    """One figure of one method.

    Attributes:
        value: the figure, a dash where there is none.
        interval: of 95 %, "" where there are too few clips to say.
        beside: the share without which the figure is misread, in words.
        best: whether no other method has a better one.
    """

    value: str
    interval: str = ""
    beside: str = ""
    best: bool = False

    def __str__(self) -> str:
        """Without the interval."""
        return f"{self.value}, {self.beside}" if self.beside else self.value


@dataclass(frozen=True)
class Grid:
    """A table: titles of its columns, and its rows, each with its title first."""

    heads: list[str]
    rows: list[tuple[str, list[Cell]]]


def grid_of(result: Evaluation, subset: str) -> Grid:
    """The figures of a subset: a row for each metric, or for each method where there are more of these."""
    rows, keys = result.table[subset], computed(result)
    titles = [f"{METRICS[key].title} {ARROWS[METRICS[key].better]}" for key in keys]
    best = {key: best_of(key, rows) for key in keys}
    cells = [[cell_of(key, row, name in best[key]) for name, row in rows.items()] for key in keys]
    if len(rows) > len(keys):
        turned = [list(column) for column in zip(*cells, strict=True)] if cells else [[] for _ in rows]
        return Grid(titles, list(zip(rows, turned, strict=True)))
    return Grid(list(rows), list(zip(titles, cells, strict=True)))


def computed(result: Evaluation) -> list[str]:
    """Keys of the metrics that have a figure for at least one method, in the order of the table."""
    rows = [row for rows in result.table.values() for row in rows.values()]
    return [key for key in METRICS if any(key in row for row in rows)]


def legend(result: Evaluation) -> list[str]:
    """What has to be known to read the figures that there are."""
    return list(dict.fromkeys(METRICS[key].legend for key in computed(result) if METRICS[key].legend))


def best_of(key: str, rows: dict[str, dict[str, Estimate]]) -> set[str]:
    """The methods with the best figure, of at least two that have one."""
    digits = METRICS[key].digits  # those that are shown alike are alike
    known = {name: row[key].value for name, row in rows.items() if key in row}
    values = {name: round(value, digits) for name, value in known.items() if not math.isnan(value)}
    if len(values) < 2:
        return set()
    best = max(values.values()) if METRICS[key].better == "higher" else min(values.values())
    return {name for name, value in values.items() if value == best}


def cell_of(key: str, row: dict[str, Estimate], best: bool = False) -> Cell:
    """What a method's row says of a metric."""
    metric, figure = METRICS[key], row.get(key)
    if figure is None:
        return Cell("–")
    value, low, high = (f"{number:.{metric.digits}f}" for number in (figure.value, figure.low, figure.high))
    interval = "" if math.isnan(figure.low) else f"{low}–{high}"
    share = row.get(metric.share)
    told = share is not None and not math.isnan(share.value)
    return Cell(value, interval, f"{share.value:.0%} {METRICS[metric.share].title}" if told and share else "", best)
