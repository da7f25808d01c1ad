"""Drawn kitchen scenes with hands: photo, sentence, video, exact joints, exact Region of Motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def example(seed: int = 0) -> tuple[Tensor, str]:
    """A photo that the embedded model understands, and something to do in it.

    Args:
        seed: 0 and up; these scenes are not in the embedded model's training set.

    Returns:
        The photo (H, W, 3) 0..1, and the sentence.
    """
    import torch

    from .clips import Scene
    from .dataset import HELD_OUT_SEED

    scene = Scene(HELD_OUT_SEED + seed)
    task = scene.tasks[seed % len(scene.tasks)]
    return torch.from_numpy(scene.photo()).float() / 255, task.text
