"""One made-up input, the list of all kinds, and how it is judged what became of one."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

Surface = Literal["library", "commands", "nodes"]
#: What can become of an input; only the first two are right.
OUTCOMES = (
    "fine", "sentence", "tracebacks", "nonsense", "over_memory", "executed", "outside", "too_slow",
)  # fmt: skip
CANARY = "canary"  # what hostile files write into the folder of their case
SECRET = "secret_of_others"  # a folder in that of the case that no node may look into
ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "golden" / "tiny_ckpt"  # random weights
SD = ROOT / "tests" / "golden" / "glv_more" / "sd1"  # so is this image model, with a ControlNet


@dataclass(frozen=True)
class Case:
    """One made-up input.

    Args:
        said: what it is, so that it can be made again by hand.
        call: gives it to the pack.
        wrong: what is wrong with what came back, "" if nothing; NaN, U+FFFD and empty results are looked for anyway.
        success: what it is called if the call succeeds: "nonsense" for what must be refused, "outside" for what reads
            or writes a file that is none of its business.
        good: it is nothing bad at all: a refusal is wrong.
    """

    said: str
    call: Callable[[], Any]
    wrong: Callable[[Any], str] | None = None
    success: Literal["fine", "nonsense", "outside"] = "fine"
    good: bool = False


@dataclass(frozen=True)
class Kind:
    """How inputs of one kind are made: a function of chance and an empty folder, and how many are tried."""

    name: str
    surface: Surface
    count: int
    make: Callable[[random.Random, Path], Case]


KINDS: dict[str, Kind] = {}


def kind(surface: Surface, count: int) -> Callable:
    """Put a function (rng, folder) -> Case into the list, under its own name."""

    def add(make: Callable[[random.Random, Path], Case]) -> Callable:
        KINDS[make.__name__] = Kind(make.__name__, surface, count, make)
        return make

    return add


@dataclass(frozen=True)
class Verdict:
    """What became of one input: an outcome, and for people what was said or seen."""

    outcome: str
    text: str


def judge(case: Case, called: Callable[[], None] = lambda: None) -> Verdict:
    """Try one input. Memory, time, and code that ran are watched by the caller, who is told when the call has ended."""
    try:
        found = case.call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # some libraries' panics are no Exception
        return _refused(case, error)
    finally:
        called()
    wrong = oddity(found) or _looked_at(case, found)
    if wrong:
        return Verdict("nonsense", wrong)
    if case.success != "fine":
        return Verdict(case.success, f"it was taken, with {_short(found)}")
    return Verdict("fine", _short(found))


def _looked_at(case: Case, found: Any) -> str:
    try:
        return case.wrong(found) if case.wrong else ""
    except Exception as error:
        return f"what came back cannot be looked at: {type(error).__name__}: {error}"


def _refused(case: Case, error: BaseException) -> Verdict:
    said = _said(error)
    if isinstance(error, MemoryError) or "allocate memory" in said:
        return Verdict("over_memory", said)
    if not any(kind.__name__ == "IVGError" for kind in type(error).__mro__):  # the library's, or the pack's in ComfyUI
        return Verdict("tracebacks", f"{type(error).__name__}: {said} ({_where(error)})")
    if case.good:
        return Verdict("nonsense", f"a good input is refused: {said}")
    if "Traceback" in said or not said.strip():
        return Verdict("tracebacks", f"no sentence: {said!r}")
    return Verdict("sentence", said)


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as odd:
        return f"(its text cannot be read: {odd!r})"


def _where(error: BaseException) -> str:
    """The innermost line of the pack's own."""
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if any(part in frame.filename for part in ("/ivg_core/", "/nodes/")) and "site-packages" not in frame.filename
    ]
    if not ours:
        return "outside the pack"
    place = Path(ours[-1].filename)
    return f"{place.parent.name}/{place.name}:{ours[-1].lineno}"


def oddity(found: Any, depth: int = 0) -> str:
    """What can be wrong with any result: NaN, U+FFFD, nothing in it."""
    if isinstance(found, np.ndarray):
        found = torch.from_numpy(found) if found.dtype.kind in "fiub" else None
    if isinstance(found, Tensor):
        if found.numel() == 0:
            return f"an empty result {tuple(found.shape)}"
        return "NaN or infinity in the result" if not bool(torch.isfinite(found.float()).all()) else ""
    if isinstance(found, float):
        return f"{found} in the result" if not np.isfinite(found) else ""
    if isinstance(found, str):
        return f"U+FFFD in {found[:60]!r}" if "\ufffd" in found else ""
    if depth > 3:
        return ""
    if is_dataclass(found) and not isinstance(found, type):
        found = [getattr(found, field.name, None) for field in fields(found)]
    elif isinstance(found, Mapping):
        found = [*found.keys(), *found.values()]
    if isinstance(found, Sequence) and not isinstance(found, (bytes, str)):
        return next((odd for item in list(found)[:500] if (odd := oddity(item, depth + 1))), "")
    return ""


def _short(found: Any) -> str:
    if isinstance(found, Tensor):
        return f"a tensor {tuple(found.shape)}"
    try:
        return repr(found)[:120]
    except Exception:
        return type(found).__name__
