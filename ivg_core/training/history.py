"""The figures of every step, one JSON line each, so that a curve can be drawn while a training runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ..errors import IVGError
from ..media.files import atomic_write
from ..settings import read_json


def append_figures(path: Path, step: int, figures: dict[str, float]) -> None:
    """Add one step, the first of which is 1."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(_line_of(step, figures))
    except OSError as error:
        raise IVGError(f"{path} could not be written ({error.strerror}): make room on the disk, then go on.") from error


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Begin the file anew with these steps."""
    with atomic_write(path) as temporary:
        lines = (_line_of(step, figures) for step, figures in enumerate(history, 1))
        temporary.write_text("".join(lines), encoding="utf-8")


def read_history(path: Path) -> list[dict[str, float]]:
    """The figures of the steps so far, from the first on; a last line that a killed run left unfinished is dropped."""
    history: list[dict[str, float]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            figures = read_json(line)
            figures.pop("step", None)  # which follows from its place; files of an older version do not say it
        except (AttributeError, ValueError):
            break
        history.append(figures)
    return history


def _line_of(step: int, figures: Mapping[str, float]) -> str:
    return json.dumps({"step": step, **figures}) + "\n"


INK, PAPER, GRID, GREY = (32, 33, 36), (255, 255, 255), (226, 228, 232), (110, 112, 118)
FAINT, CLEAR, DOT = (178, 203, 240), (26, 95, 190), (214, 88, 20)
MARGIN = (64, 66, 20, 40)  # left, top, right, bottom, pixels
#: The running mean looks back over about this share of the training.
MEMORY = 0.05


def draw_curve(
    history: Sequence[Mapping[str, float]], total: int, title: str = "", size: tuple[int, int] = (768, 432)
) -> Image.Image:
    """Draws the curve so far.

    Args:
        history: the figures of each step, with `loss` and sometimes `heldout`.
        total: steps of the whole training, the width of the picture.
        title: a line above it.
        size: (width, height) in pixels.

    Returns:
        An RGB picture.
    """
    picture = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(picture)
    small, large = ImageFont.load_default(13), ImageFont.load_default(16)
    left, top, right, bottom = MARGIN[0], MARGIN[1], size[0] - MARGIN[2], size[1] - MARGIN[3]
    draw.text((left, 12), title, fill=INK, font=large)
    losses = [figures["loss"] for figures in history]
    heldout = [(step, figures["heldout"]) for step, figures in enumerate(history, 1) if "heldout" in figures]
    values = sorted(value for value in [*losses, *(value for _, value in heldout)] if math.isfinite(value))
    if not values:
        draw.text((left, (top + bottom) / 2), "no step has been done yet", fill=GREY, font=small)
        return picture
    # A few wild steps at the top must not flatten all the others.
    ticks = _ticks(min(0.0, values[0]), values[min(len(values) - 1, int(0.98 * len(values)))] * 1.05 or 1.0)
    low, high = ticks[0], ticks[-1]

    def place(step: float, value: float) -> tuple[float, float]:
        share = (min(max(value, low), high) - low) / (high - low)
        return left + (right - left) * step / max(total, 1), bottom - (bottom - top) * share

    for value in ticks:
        y = place(0, value)[1]
        draw.line([(left, y), (right, y)], fill=GRID)
        draw.text((left - 8, y), f"{value:.3g}", fill=GREY, font=small, anchor="rm")
    for step in _ticks(0, total):
        if step <= total and step == int(step):
            x = place(step, low)[0]
            draw.line([(x, bottom), (x, bottom + 4)], fill=GREY)
            draw.text((x, bottom + 8), f"{step:g}", fill=GREY, font=small, anchor="ma")
    draw.text((right, size[1] - 6), "steps", fill=GREY, font=small, anchor="rd")

    _line(draw, [place(step, value) for step, value in enumerate(losses, 1)], FAINT, 1)
    _line(draw, [place(step, value) for step, value in enumerate(running_mean(losses, total), 1)], CLEAR, 3)
    for step, value in heldout:
        x, y = place(step, value)
        draw.ellipse([x - 4, y - 4, x + 4, y + 4], fill=DOT)
    _legend(draw, right, top, small, bool(heldout))
    return picture


def running_mean(values: Sequence[float], total: int) -> list[float]:
    """Exponential mean of the values so far, unbiased at the beginning; what is not a number is passed over."""
    keep = 1 - 1 / max(1.0, MEMORY * total)
    found, mean, weight = [], 0.0, 0.0
    for value in values:
        if math.isfinite(value):
            mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
        found.append(mean / weight if weight else math.nan)
    return found


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from at most `low` to at least `high`."""
    rough = max(high - low, 1e-9) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.floor(low / step)
    count = max(1, math.ceil(high / step - 1e-9) - first)
    return [(first + i) * step for i in range(count + 1)]


def _line(
    draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: tuple[int, int, int], width: int
) -> None:
    points = [point for point in points if all(math.isfinite(value) for value in point)]
    if len(points) == 1:
        (x, y), r = points[0], width + 1
        draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    elif points:
        draw.line(points, fill=colour, width=width, joint="curve")


def _legend(draw: ImageDraw.ImageDraw, right: int, top: int, font: Any, heldout: bool) -> None:
    entries = [(FAINT, "each step"), (CLEAR, "mean")] + ([(DOT, "held-out clips")] if heldout else [])
    x = right
    for colour, text in reversed(entries):
        x -= round(draw.textlength(text, font=font))
        draw.text((x, top - 12), text, fill=INK, font=font, anchor="ls")
        draw.rectangle([x - 18, top - 19, x - 6, top - 13], fill=colour)
        x -= 34
