"""How sure a figure is: the same figure over clips drawn anew from those there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from ..errors import IVGError
from .families import Features
from .metrics.frechet import frechet_distance

T = TypeVar("T")
ROUNDS = 1000
DISTANCE_ROUNDS = 100  # a distance between distributions takes far longer than a mean


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % confidence interval.

    Attributes:
        value: over all clips.
        low, high: NaN where there are too few clips to say.
        clips: that it was measured on.
    """

    value: float
    low: float
    high: float
    clips: int


def estimate_mean(values: Sequence[float], rounds: int = ROUNDS) -> Estimate:
    """The mean over clips; clips without a value (NaN) do not count."""
    known = [value for value in values if not math.isnan(value)]
    return _estimate(known, lambda drawn: float(np.mean(drawn)), rounds)


def estimate_distance(features: Sequence[Features], rounds: int = DISTANCE_ROUNDS) -> Estimate:
    """The Fréchet distance between all generated and all true features.

    The interval tells how it varies with the clips; a distance is also biased upwards when they are few, and more so
    for clips drawn with repetition, so it may lie above the figure.

    Raises:
        IVGError: fewer than two rows of features.
    """

    def distance(drawn: Sequence[Features]) -> float:
        return frechet_distance(torch.cat([f.generated for f in drawn]), torch.cat([f.true for f in drawn]))

    return _estimate(features, distance, rounds)


def _estimate(clips: Sequence[T], figure: Callable[[Sequence[T]], float], rounds: int) -> Estimate:
    if not clips:
        raise IVGError("has a value on none of the clips")
    value, nan = figure(clips), float("nan")
    if len(clips) < 2:
        return Estimate(value, nan, nan, len(clips))
    rng = np.random.default_rng(0)  # the same draws for every method, so that they compare
    draws = [figure([clips[i] for i in rng.integers(0, len(clips), len(clips))]) for _ in range(rounds)]
    low, high = np.percentile(draws, [2.5, 97.5], method="nearest")  # between infinities there is nothing to take
    return Estimate(value, float(low), float(high), len(clips))
