"""Drawn clips of three scenes, made to be measured: true ones, and those of two methods."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from ivg_core.evaluate.clips import ClipFiles, pair_clips
from ivg_core.media.images import save_png
from ivg_core.media.video import write_video

SCENES = ("carrot", "pan", "tap")


def clip_of(number: int, frames: int = 11) -> Tensor:
    """A bright square that moves to the right over a grey picture, further down in each scene."""
    clip = torch.full((frames, 48, 64, 3), 0.3)
    for index, frame in enumerate(clip):
        frame[8 * number : 8 * number + 16, 4 + 2 * index : 20 + 2 * index] = 0.9
    return clip


def mask_of(number: int) -> Tensor:
    mask = torch.zeros(48, 64)
    mask[8 * number : 8 * number + 16, : 46 + 6 * number] = 1  # the last scene's is the largest
    return mask


def write_folders(root: Path) -> Path:
    """True clips, masks, sentences; a method that gives the truth, and one that gives other scenes' clips."""
    lines = []
    for number, scene in enumerate(SCENES):
        write_video(clip_of(number), root / "truth" / f"{scene}.mp4", 8)
        write_video(clip_of(number), root / "copied" / f"{scene}.mp4", 8)
        write_video(0.6 * clip_of(2 - number).flip(0), root / "wrong" / f"{scene}.mp4", 8)
        save_png(mask_of(number), root / "masks" / f"{scene}.png")
        save_png(mask_of(0), root / "wrong" / f"{scene}_mask.png")
        lines.append({"source": f"source/{scene}.png", "target": f"target/{scene}.mp4", "prompt": f"stir the {scene}"})
    (root / "prompt.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def clips_in(root: Path, method: str) -> list[ClipFiles]:
    """The clips of a method in `write_folders`, with all that belongs to them."""
    return pair_clips(root / method, root / "truth", root / "prompt.json", root / "masks")
