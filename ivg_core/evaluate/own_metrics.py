"""Metrics of a user's own, beside those of the paper."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ..errors import IVGError, shortly
from .clips import MeasuredClip
from .families import FAMILIES, INPUTS, METRICS, Family, Features, Measure, Metric, Values


def register_metric(
    key: str,
    measure: Callable[[MeasuredClip], float | Features],
    *,
    title: str,
    better: Literal["higher", "lower"],
    needs: Sequence[str] = (),
    digits: int = 3,
) -> None:
    """Adds a metric that `evaluate_methods` measures: it has its column in tables, results.json, clips.csv and page.

    What was measured is kept until the file changes in which the function stands.

    Args:
        key: in files; a plain word that no other metric has. The same function may be given again, as when a cell of a
            notebook is run anew.
        measure: called with each clip that has what it needs; its frames are (F, H, W, 3) in 0..1, see `MeasuredClip`.
            It gives a number, whose mean over clips is told with an interval, NaN where a clip has none; or `Features`,
            for a Fréchet distance between all that the clips of a method gave.
        title: for people; no other metric has it.
        better: which way.
        needs: of "truth" (the true clip), "mask" (the Region of Motion), "own_mask" (the one that the clip was made
            with, beside the true one) and "prompt"; a clip that lacks one is not measured.
        digits: behind the point in tables, 0 to 9.

    Raises:
        IVGError: key or title is taken or cannot be used, or another argument is of the wrong kind.
    """
    if not isinstance(key, str) or not key.isidentifier():
        raise IVGError(f"A metric cannot be called {key!r}: give a plain word.")
    if not callable(measure):
        raise IVGError(f"The metric {key!r} is no function of a clip but a {type(measure).__name__}: give one.")
    if key in METRICS and not _same(key, measure):
        raise IVGError(f"There is a metric {key!r} already: register yours under another name.")
    if not title or any(metric.title == title for metric in METRICS.values() if metric.key != key):
        raise IVGError(f"The metric {key!r} has no title of its own ({title!r}): give another one.")
    if better not in ("higher", "lower"):
        raise IVGError(f'The metric {key!r} says better={better!r}: give "higher" or "lower".')
    given = [needs] if isinstance(needs, str) else list(needs)
    if unknown := [need for need in given if need not in INPUTS]:
        raise IVGError(f"The metric {key!r} needs {unknown[0]!r}, which no clip has: choose of {', '.join(INPUTS)}.")
    if not isinstance(digits, int) or not 0 <= digits <= 9:
        raise IVGError(f"The metric {key!r} has {digits!r} digits: give 0 to 9.")
    METRICS[key] = Metric(key, title, better, " ".join(given), digits)
    checked = _checked(key, measure)
    family = Family((key,), lambda folder, device: checked, version=_code_of(measure), own=True)
    place = next((number for number, known in enumerate(FAMILIES) if key in known.keys), len(FAMILIES))
    FAMILIES[place : place + 1] = [family]
    _FUNCTIONS[key] = measure


#: key -> the function as it was given
_FUNCTIONS: dict[str, Callable[[MeasuredClip], float | Features]] = {}


def _same(key: str, measure: object) -> bool:
    """Whether a metric is a user's, by this very function, perhaps defined anew."""
    known = _FUNCTIONS.get(key)
    return known is not None and all(
        getattr(known, name, 0) == getattr(measure, name, 1) for name in ("__module__", "__qualname__")
    )


def _checked(key: str, measure: Callable[[MeasuredClip], float | Features]) -> Measure:
    """The function, whose errors and odd values are told in a sentence."""

    widths: set[int] = set()  # of features: those of all clips are joined

    def figures(clip: MeasuredClip) -> Values:
        try:
            value = measure(clip)
        except Exception as error:  # it is not ours
            said = f"{type(error).__name__}: {shortly(error)}"
            raise IVGError(f"{key} fails on the clip {clip.name} ({said}): mend it") from error
        if isinstance(value, Features):
            both = (value.generated, value.true)
            if all(isinstance(x, Tensor) and x.ndim == 2 for x in both):
                widths.update(x.shape[1] for x in both)
                if len(widths) == 1:
                    return {key: value}
            raise IVGError(f"{key} gave features of odd shapes for the clip {clip.name}: give (N, D) and (M, D), one D")
        try:
            return {key: float(value)}
        except (TypeError, ValueError, RuntimeError) as error:
            raise IVGError(
                f"{key} gave a {type(value).__name__} for the clip {clip.name}: give one number, or Features"
            ) from error

    return figures


def _code_of(measure: Any) -> str:
    """A text that differs once the file has changed in which a function stands."""
    while isinstance(measure, partial):
        measure = measure.func
    try:
        said = Path(inspect.getsourcefile(measure if hasattr(measure, "__code__") else type(measure)) or "").read_text()
    except (OSError, TypeError, ValueError):  # written into a console
        code = getattr(measure, "__code__", None)
        said = repr(code and (code.co_code, code.co_names, [c for c in code.co_consts if not inspect.iscode(c)]))
    return hashlib.sha256(said.encode(errors="backslashreplace")).hexdigest()[:16]
