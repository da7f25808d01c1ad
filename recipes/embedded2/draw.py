"""Draw scenes for as long as the others train: one file a scene, each in a process of its own."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ivg_core.hands.regions import roi_of_joints
from ivg_core.synthetic.clips import ACTIONS, DrawnClip, Scene, Task

#: Sentences of a scene whose mask videos are drawn.
SENTENCES = 3
#: Hands of a clip: the one that acts and the one that holds.
HANDS = 2
#: Pixels by which a clip's Region of Motion is grown: predicted masks are uneven, and stage 2 has to bear it.
GROWN = (1, 4, 8, 14)
#: Scenes without a clip, only mask videos, have their seeds from here on.
MASKS_ONLY_SEED = 200_000


class Size(NamedTuple):
    """Of the clips."""

    width: int
    height: int
    frames: int


class Drawn(NamedTuple):
    """A scene as it was drawn."""

    frames: np.ndarray  # (F, H, W, 3) uint8, or (1, H, W, 3): the photo alone
    # (S, F, H, W / 8), packed bits: what moves when each sentence is done; the first is the clip's own
    rom: np.ndarray
    grown: np.ndarray  # (G, H, W / 8), packed bits: the clip's Region of Motion, grown in several ways
    rois: np.ndarray  # (F, K, 4) regions of the hands, NaN where there is none; (0, K, 4) without a clip
    texts: list[str]


def draw_scenes(folder: Path, worker: int, workers: int, clips: bool, size: Size, until: float) -> None:
    """Draw every `workers`-th scene from the `worker`-th on, until the clock says so; files that exist are kept.

    Args:
        folder: of the files ``clip-…`` or ``mask-….npz``.
        worker, workers: which process of how many.
        clips: draw the clip too, not only the photo and the mask videos.
        size: of the clips.
        until: time.time() of the end.
    """
    os.nice(5)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    seed = worker
    while time.time() < until:
        path = folder / f"{'clip' if clips else 'mask'}-{seed:06d}.npz"
        if not path.exists():
            save(path, draw(Scene(seed + (0 if clips else MASKS_ONLY_SEED), size.width, size.height), size, clips))
        seed += workers


def draw(scene: Scene, size: Size, clips: bool, sentences: int = SENTENCES) -> Drawn:
    """One scene: the clip of one sentence (or the photo) and the mask videos of up to so many sentences."""
    tasks = choose(scene)[:sentences]
    rom = np.zeros((SENTENCES, size.frames, size.height, size.width), bool)
    rois = np.full((0, HANDS, 4), np.nan, np.float32)
    for row, task in enumerate(tasks):
        if row or not clips:
            rom[row] = scene.rom_frames(task, size.frames) > 127
    if clips:
        clip = scene.clip(tasks[0], size.frames)
        frames, rom[0], rois = clip.frames, clip.rom > 127, hand_regions(clip)
    else:
        frames = scene.photo()[None]
    union = rom[0].any(0).astype(np.uint8)
    kernels = [cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1,) * 2) for by in GROWN]
    grown = np.stack([cv2.dilate(union, kernel) for kernel in kernels])
    packed = np.packbits(rom, axis=-1), np.packbits(grown, axis=-1)
    return Drawn(frames, *packed, rois, [task.text for task in tasks])


def choose(scene: Scene) -> list[Task]:
    """Up to three different tasks. Rare actions come more often than they would, as they are no easier."""
    rng = np.random.default_rng([7, scene.seed])
    rarity = np.array([len(ACTIONS[task.action]) ** -0.5 for task in scene.tasks])
    count = min(SENTENCES, len(scene.tasks))
    return [scene.tasks[i] for i in rng.choice(len(scene.tasks), count, replace=False, p=rarity / rarity.sum())]


def hand_regions(clip: DrawnClip) -> np.ndarray:
    """The regions that a landmark network looks at, from the exact joints; NaN for hands that leave the picture."""
    frames, height, width, _ = clip.frames.shape
    rois = np.full((frames, HANDS, 4), np.nan, np.float32)
    for f in range(frames):
        for k, joints in enumerate(clip.joints[f, :, :, :2]):
            if ((joints >= 0) & (joints < [width, height])).all(1).sum() >= 16:
                rois[f, k] = roi_of_joints(torch.from_numpy(joints).float())
    return rois


def save(path: Path, drawn: Drawn) -> None:
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(
            file,
            frames=drawn.frames,
            rom=drawn.rom,
            grown=drawn.grown,
            rois=drawn.rois,
            texts=json.dumps(drawn.texts),
        )
    os.replace(partial, path)


class Folder:
    """The scenes in a folder that others are still drawing into."""

    def __init__(self, folder: Path, pattern: str):
        self.folder, self.pattern, self.seen = folder, pattern, set[str]()

    def fresh(self, most: int) -> list[Drawn]:
        """Up to `most` scenes that were not given out before."""
        names = [path.name for path in self.folder.glob(self.pattern) if path.name not in self.seen]
        names = sorted(names, key=lambda name: name[5:])[:most]  # clips and masks by turns
        self.seen |= set(names)
        return [self._load(self.folder / name) for name in names]

    @staticmethod
    def _load(path: Path) -> Drawn:
        with np.load(path) as file:
            texts = json.loads(str(file["texts"]))
            return Drawn(file["frames"], file["rom"], file["grown"], file["rois"], texts)


def unpack(bits: Tensor) -> Tensor:
    """Packed bits (..., W / 8) → (..., W) of 0 and 1, uint8."""
    shifts = torch.arange(7, -1, -1, device=bits.device, dtype=torch.uint8)
    return ((bits[..., None] >> shifts) & 1).flatten(-2)
