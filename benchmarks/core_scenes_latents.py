"""The drawn clips as a core model is given them, encoded once."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from core_scenes_drawn import SCENES_PER_SHARD, TASKS, Clips
from core_scenes_vae import mask_video
from safetensors.torch import load_file, save_file
from torch import Tensor

from ivg_pack.nodes._core_condition import GREY
from ivg_pack.nodes._core_decode import CoreCodec


@dataclass(frozen=True)
class Encoded:
    """Latents of N scenes.

    Attributes:
        photos: the photo before grey, as core's nodes lay it beside the noise (N, 16, T, h, w).
        clips: what the base learns, as its network reads it (N, 2, 16, T, h, w).
        masks: what the LoRA learns, the photo before masks, likewise.
    """

    photos: Tensor
    clips: Tensor
    masks: Tensor


def encoded(folder: Path, codec: CoreCodec, clips: Clips) -> Encoded:
    """Latents of clips, made where they are not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for start in range(0, len(clips.texts), SCENES_PER_SHARD):
        path = folder / f"{start:05d}.safetensors"
        if not path.exists():
            scenes = range(start, min(start + SCENES_PER_SHARD, len(clips.texts)))
            partial = path.with_suffix(".part")
            save_file(_encode(codec, clips, scenes), partial)
            os.replace(partial, path)
        found.append(load_file(path))
    return Encoded(**{field.name: torch.cat([part[field.name] for part in found]) for field in fields(Encoded)})


def _encode(codec: CoreCodec, clips: Clips, scenes: range) -> dict[str, Tensor]:
    def of_each_task(video: Callable) -> Tensor:
        return torch.stack(
            [torch.stack([codec.encode(_floats(video(scene, task))) for task in range(TASKS)]) for scene in scenes]
        )

    def photo(scene: int) -> Tensor:
        frames = _floats(clips.frames[scene, 0])
        frames[1:] = GREY
        return codec.encode_raw(frames)[0]

    return {
        "photos": torch.stack([photo(scene) for scene in scenes]),
        "clips": of_each_task(lambda scene, task: clips.frames[scene, task]),
        "masks": of_each_task(lambda scene, task: mask_video(clips, scene, task)),
    }


def _floats(frames) -> Tensor:
    """(F, H, W, 3) 0..1 of levels of 255."""
    return torch.from_numpy(frames).float() / 255
