"""A data set of scenes on disk: one rendered clip a scene, and the exact motion masks of several sentences about it."""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from .clips import Scene

SCENES_PER_SHARD = 50
MASKS_PER_SCENE = 4
#: Seeds from here on are never trained on; benchmarks take theirs from this range.
HELD_OUT_SEED = 1_000_000


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Processes that begin anew: one that was forked from a process that has trained cannot compute gradients."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def render_dataset(folder: Path, scenes: int, num_frames: int, width: int, height: int, workers: int = 2) -> list[Path]:
    """Render the first ``scenes`` seeds into shards; shards that exist are kept.

    Args:
        folder: where the shards ``scenes-00000.npz`` … are written.
        scenes: number of seeds, rounded up to whole shards of 50 where there are more.
        num_frames, width, height: size of the clips.
        workers: processes.

    Returns:
        The shard files in order. Arrays of a shard of N scenes: ``frames`` (N, F, H, W, 3) uint8; ``rom``
        (N, 4, F, H, W) packed bits along W, row 0 belonging to the frames; ``texts`` JSON list of N lists of 4
        sentences ("" = none).
    """
    folder.mkdir(parents=True, exist_ok=True)
    per_shard = max(1, min(scenes, SCENES_PER_SHARD))
    starts = range(0, scenes, per_shard)
    small = f"-of-{per_shard}" if per_shard < SCENES_PER_SHARD else ""  # never taken for a whole one
    paths = [folder / f"scenes-{start:05d}{small}.npz" for start in starts]
    todo = [(path, start) for path, start in zip(paths, starts, strict=True) if not path.exists()]
    jobs = [(path, range(start, start + per_shard), num_frames, width, height) for path, start in todo]
    with worker_pool(workers) as pool:
        list(pool.map(_render_shard, jobs))
    return paths


def _render_shard(job: tuple[Path, range, int, int, int]) -> None:
    path, seeds, num_frames, width, height = job
    frames, rom, texts = [], [], []
    for seed in seeds:
        scene = Scene(seed, width, height)
        order = np.random.default_rng(seed).permutation(len(scene.tasks))[:MASKS_PER_SCENE]
        tasks = [scene.tasks[i] for i in order]
        clip = scene.clip(tasks[0], num_frames)
        masks = np.zeros((MASKS_PER_SCENE, *clip.rom.shape), np.uint8)
        masks[0] = clip.rom
        for row, task in enumerate(tasks[1:], 1):
            masks[row] = scene.rom_frames(task, num_frames)
        frames.append(clip.frames)
        rom.append(np.packbits(masks > 127, axis=-1))
        texts.append([task.text for task in tasks] + [""] * (MASKS_PER_SCENE - len(tasks)))
    partial = path.with_suffix(".part.npz")
    np.savez(partial, frames=np.stack(frames), rom=np.stack(rom), texts=json.dumps(texts))
    os.replace(partial, path)


def load_shard(path: Path) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    """Read a shard: frames (N, F, H, W, 3) uint8, rom (N, 4, F, H, W) bool, texts."""
    with np.load(path) as shard:
        frames = shard["frames"]
        rom = np.unpackbits(shard["rom"], axis=-1, count=frames.shape[3]).astype(bool)
        return frames, rom, json.loads(str(shard["texts"]))
