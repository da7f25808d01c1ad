"""Which LoRAs and how strong each, as command lines and tables say it: FILE, or FILE:0.8 with its strength."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..errors import IVGError

T = TypeVar("T")
ENDINGS = (".safetensors", ".pt", ".bin")


@dataclass(frozen=True)
class LoRAChoice:
    """A LoRA that is asked for; it need not be there."""

    file: str
    strength: float | None = None  # None: none stands behind its name


def read_choice(text: str, exists: Callable[[str], bool] = os.path.exists) -> LoRAChoice:
    """What FILE or FILE:STRENGTH says.

    A colon may also stand in a path, as in C:\\loras\\stir.safetensors, which has no strength.

    Args:
        text: as it was written.
        exists: tells whether there is a file of this name.

    Raises:
        IVGError: no number stands where a strength should.
    """
    file, colon, strength = text.rpartition(":")
    in_path = len(file) < 2 or set(strength) & set("/\\") or strength.lower().endswith(ENDINGS)
    if not colon or in_path or exists(text):
        return LoRAChoice(text)
    return LoRAChoice(file, read_strength(strength, f"strength: write {file}:0.8"))


def read_strength(text: str, wanted: str) -> float:
    """A finite number.

    Args:
        text: as it was written.
        wanted: what it should be and how to write it, for the error.

    Raises:
        IVGError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise IVGError(f"{text[:40]!r} is no {wanted}.")
    return value


def strengths_of(choices: Sequence[LoRAChoice], told: Sequence[float] | None, name: str) -> list[float]:
    """How strong each of several LoRAs is; 1 where nothing says it.

    Args:
        choices: the LoRAs.
        told: strengths that are given beside them, one for all or one for each.
        name: what these are called, for errors.

    Raises:
        IVGError: a strength is told twice, or `told` has another number of values.
    """
    if not told:
        return [1.0 if choice.strength is None else choice.strength for choice in choices]
    twice = next((choice for choice in choices if choice.strength is not None), None)
    if twice is not None:
        said = f"{twice.file} has its strength behind its name ({twice.strength:g}), and by {name}"
        raise IVGError(f"{said}: leave one out.")
    return for_each(name, told, len(choices), 1.0)


def for_each(name: str, values: Sequence[T] | None, count: int, default: T) -> list[T]:
    """The values of an option that is given once for all of several LoRAs, or once for each.

    Raises:
        IVGError: it is given another number of times.
    """
    values = values or [default]
    if len(values) not in (1, count):
        raise IVGError(f"{name} has {len(values)} values for {count} LoRAs: give one for all, or one for each.")
    return [*values] * count if len(values) == 1 else [*values]
