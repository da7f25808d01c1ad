"""Write drawn scenes as a data set that people and the released code can read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch

from ..media.files import atomic_write
from ..media.images import save_png
from ..media.video import write_video
from .clips import Scene


def export_scenes(folder: Path, seeds: Iterable[int], size: tuple[int, int], num_frames: int, fps: float = 8) -> Path:
    """Write one clip a scene, in the released test layout, with captions for training beside it.

    Args:
        folder: gets ``source/<seed>.png``, ``target/<seed>.mp4`` with its caption in ``<seed>.txt``,
            ``masks/<seed>.png``, ``prompt.json`` (JSON lines: source, target, prompt) and ``captions.json`` (the
            released ``video_json``: caption, video).
        seeds: of the scenes.
        size: (width, height) in pixels.
        num_frames: F.
        fps: of the clips.

    Returns:
        The folder.

    Raises:
        IVGError: the folder cannot be written.
    """
    prompts, captions = [], []
    for seed in seeds:
        scene = Scene(seed, *size)
        clip = scene.clip(scene.tasks[seed % len(scene.tasks)], num_frames)
        frames = torch.from_numpy(clip.frames).float() / 255
        source, target = f"source/{seed}.png", f"target/{seed}.mp4"
        save_png(frames[0], folder / source)
        save_png(torch.from_numpy(clip.rom_mask).float(), folder / "masks" / f"{seed}.png")
        write_video(frames, folder / target, fps)
        with atomic_write(folder / f"target/{seed}.txt") as path:
            path.write_text(clip.text + "\n")
        prompts.append({"source": source, "target": target, "prompt": clip.text})
        captions.append({"caption": clip.text, "video": f"{seed}.mp4"})
    with atomic_write(folder / "prompt.json") as path:
        path.write_text("".join(json.dumps(line) + "\n" for line in prompts))
    with atomic_write(folder / "captions.json") as path:
        path.write_text(json.dumps(captions, indent=1))
    return folder
