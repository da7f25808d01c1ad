"""What is measured of a long video: its seams, how far it drifts from where it began, and what moves in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import torch
from torch import Tensor

from ivg_core.evaluate.metrics.motion import CHANGE
from ivg_core.hands.score import score_hands
from ivg_core.hands.tracker import HandTracker
from ivg_core.sampling.context import Weights, frame_weights

Place = tuple[float, float]  # x, y in pixels


def borders(windows: list[slice], weights: Weights) -> list[int]:
    """The frames from which on another window than before weighs most; of isolated windows, their first frames."""
    rows = frame_weights(windows, weights)
    leads = []
    for frame in range(windows[-1].stop):
        there = [i for i, window in enumerate(windows) if window.start <= frame < window.stop]
        leads.append(max(there, key=lambda i: rows[i][frame - windows[i].start]))
    return [frame for frame, (before, now) in enumerate(pairwise(leads), 1) if before != now]


def changes(frames: Tensor, region: Tensor) -> Tensor:
    """How much each frame but the first differs from the one before it.

    Args:
        frames: (F, H, W, 3) 0..1.
        region: (H, W), above 0.5 = is looked at.

    Returns:
        (F - 1,), the mean absolute difference.
    """
    return frames.diff(dim=0).abs().mean(-1)[:, region > 0.5].mean(-1)


def seam(changed: Tensor, at: Sequence[int]) -> tuple[float, float]:
    """The jump at borders over the change elsewhere, 1 = no seam; and the change elsewhere.

    Args:
        changed: (F - 1,) of `changes`.
        at: frames that begin at a border.
    """
    there = torch.zeros(len(changed), dtype=torch.bool)
    there[[frame - 1 for frame in at]] = True
    inside = changed[~there].mean()
    return float(changed[there].mean() / inside), float(inside)


def worst_seam(changed: Tensor, stride: int, length: int) -> float:
    """The largest jump that repeats from window to window, wherever in a window it lies, over the change elsewhere.

    Args:
        changed: (F - 1,) of `changes`; the mean of many videos, as chance gives every single one a largest.
        stride, length: of the windows, in frames; the first window is left out, in which the act begins.
    """
    first = range(length, length + stride)
    late = changed[length - 1 :]
    return max(seam(late, [frame - length + 1 for frame in range(f, len(changed) + 1, stride)])[0] for f in first)


def looks(frames: Tensor, tracker: HandTracker) -> dict[str, Tensor]:
    """How sharp a stretch is, what colours it has, and how sound its hands are.

    Args:
        frames: (F, H, W, 3) 0..1.
        tracker: finds the hands.

    Returns:
        `sharpness` (1,), the variance of the Laplacian in grey levels; `colour` (3,), the mean of red, green and blue;
        `hands` (1,), see `score_hands`, not there where no hand is found.
    """
    grey = [cv2.cvtColor((frame.numpy() * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY) for frame in frames]
    sharp = np.mean([cv2.Laplacian(picture, cv2.CV_64F).var() for picture in grey])
    found = {"sharpness": torch.tensor([sharp]), "colour": frames.mean(dim=(0, 1, 2))}
    hands = score_hands(frames, tracker)
    return found | ({"hands": torch.tensor([hands.total])} if hands.found else {})


def drift(first: dict[str, Tensor], last: dict[str, Tensor]) -> dict[str, float]:
    """The relative change of each of the `looks`: 0 none, 1 as much as there was; hands that are lost count 1."""
    gone = {name: last.get(name, torch.zeros_like(value)) for name, value in first.items()}
    return {name: float((gone[name] - value).norm() / value.norm()) for name, value in first.items()}


def distance(frames: Tensor, place: Place) -> float:
    """How far from a place things move: the mean over the pixels that change, each counting as much as it does.

    Args:
        frames: (F, H, W, 3) 0..1, F >= 2.
        place: of a thing.

    Returns:
        Pixels; NaN if nothing moves.
    """
    change = frames.diff(dim=0).abs().mean(-1)
    moved = (change * (change > CHANGE / 255)).sum(0)
    rows, columns = torch.meshgrid(*(torch.arange(float(size)) for size in moved.shape), indexing="ij")
    away = torch.hypot(columns - place[0], rows - place[1])
    return float((moved * away).sum() / moved.sum())


def follows(stretches: Sequence[Tensor], places: Sequence[Place]) -> bool:
    """Whether in each stretch (F, H, W, 3) of two what moves is nearer to its own thing's place than to the other's."""
    own = [distance(frames, place) for frames, place in zip(stretches, places, strict=True)]
    other = [distance(frames, place) for frames, place in zip(stretches, reversed(places), strict=True)]
    return all(one < two for one, two in zip(own, other, strict=True))
