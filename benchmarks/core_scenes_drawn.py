"""Drawn scenes for a small core model: of two or three things the sentence names the one that a hand picks up."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ivg_pack.ivg_core.synthetic.clips import Scene, Task
from ivg_pack.ivg_core.synthetic.dataset import HELD_OUT_SEED
from ivg_pack.nodes._core_data import mask_video

SIDE, FRAMES = 96, 9
TASKS = 2  # of each scene: its sentence can be swapped
SCENES_PER_SHARD = 25
#: Seeds at which the scenes for choosing parameters and the held-out ones begin; training begins at 0.
CHOOSING, HELD_OUT = HELD_OUT_SEED + 20_000, HELD_OUT_SEED + 21_000


@dataclass(frozen=True)
class Clips:
    """Clips of N scenes, of each what `TASKS` sentences ask for.

    Attributes:
        frames: (N, 2, F, H, W, 3) uint8.
        masks: (N, 2, F, H, W) bool, what moves in each frame.
        texts: N pairs of sentences.
    """

    frames: np.ndarray
    masks: np.ndarray
    texts: list[list[str]]

    @property
    def regions(self) -> np.ndarray:
        """(N, 2, H, W) bool: what moves in any frame after the photo."""
        return self.masks[:, :, 1:].any(2)

    def video(self, scene: int, task: int) -> Tensor:
        """A clip (F, H, W, 3), 0..1."""
        return torch.from_numpy(self.frames[scene, task]).float() / 255

    def mask_video(self, scene: int, task: int) -> Tensor:
        """What stage 1 makes in place of that clip (F, H, W, 3), 0..1."""
        return mask_video(self.masks[scene, task] * np.uint8(255), self.video(scene, task)[0])

    def first(self, count: int) -> Clips:
        """Those of the first so many scenes."""
        return Clips(self.frames[:count], self.masks[:count], self.texts[:count])


def drawn(folder: Path, first: int, count: int) -> Clips:
    """The first so many scenes from a seed on that can be used, drawn into a folder where they are not yet.

    Args:
        folder: gets one file for 25 scenes.
        first: seed at which they begin.
        count: N.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found, seeds = [], _usable(first)
    for start in range(0, count, SCENES_PER_SHARD):
        path = folder / f"{first}-{start:05d}.npz"
        tasks = [next(seeds) for _ in range(SCENES_PER_SHARD)]
        if not path.exists():
            _draw(path, tasks)
        with np.load(path) as shard:
            masks = np.unpackbits(shard["masks"], axis=-1, count=SIDE).astype(bool)
            found.append(Clips(shard["frames"], masks, json.loads(str(shard["texts"]))))
    frames, masks = (np.concatenate([getattr(part, name) for part in found]) for name in ("frames", "masks"))
    return Clips(frames, masks, [pair for part in found for pair in part.texts]).first(count)


def _usable(seed: int) -> Iterator[tuple[Scene, list[Task]]]:
    """Scenes in which several things can be picked up, with the tasks to draw."""
    while True:
        scene = Scene(seed, SIDE, SIDE)
        tasks = [task for task in scene.tasks if task.action == "pick up"]
        if len(tasks) >= TASKS:
            chosen = np.random.default_rng([20261127, seed]).permutation(len(tasks))[:TASKS]
            yield scene, [tasks[index] for index in chosen]
        seed += 1


def _draw(path: Path, scenes: list[tuple[Scene, list[Task]]]) -> None:
    clips = [[scene.clip(task, FRAMES) for task in tasks] for scene, tasks in scenes]
    frames = np.stack([[clip.frames for clip in pair] for pair in clips])
    masks = np.stack([[clip.rom > 127 for clip in pair] for pair in clips])
    texts = [[clip.text.split(" with ")[0] for clip in pair] for pair in clips]  # which hand it is, the photo shows
    partial = path.with_suffix(".part.npz")
    np.savez(partial, frames=frames, masks=np.packbits(masks, axis=-1), texts=json.dumps(texts))
    os.replace(partial, path)
