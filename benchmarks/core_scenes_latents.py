"""The drawn clips as a core model is given them, encoded once."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from core_scenes_drawn import SCENES_PER_SHARD, TASKS, Clips
from safetensors.torch import load_file, save_file
from torch import Tensor

from ivg_pack.nodes._core_condition import GREY


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


@torch.inference_mode(False)
@torch.no_grad()
def encoded(folder: Path, model, vae, clips: Clips) -> Encoded:
    """Latents of clips, as a MODEL and its VAE have them, made where they are not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for start in range(0, len(clips.texts), SCENES_PER_SHARD):
        path = folder / f"{start:05d}.safetensors"
        if not path.exists():
            scenes = range(start, min(start + SCENES_PER_SHARD, len(clips.texts)))
            partial = path.with_suffix(".part")
            save_file(_encode(model, vae, clips, scenes), partial)
            os.replace(partial, path)
        found.append(load_file(path))
    return Encoded(**{field.name: torch.cat([part[field.name] for part in found]) for field in fields(Encoded)})


def _encode(model, vae, clips: Clips, scenes: range) -> dict[str, Tensor]:
    made = [_of_scene(vae, clips, scene) for scene in scenes]
    photos, videos = torch.stack([one[0] for one in made]), torch.stack([one[1:] for one in made])
    known = model.model.process_latent_in(videos.flatten(0, 1)).unflatten(0, videos.shape[:2])
    return {"photos": photos, "clips": known[:, :TASKS].contiguous(), "masks": known[:, TASKS:].contiguous()}


def _of_scene(vae, clips: Clips, scene: int) -> Tensor:
    """Latents of the photo before grey, of the clips and of their mask videos (5, 16, T, h, w), in one batch."""
    drawn = [clips.video(scene, task) for task in range(TASKS)]
    shown = torch.full_like(drawn[0], GREY)
    shown[0] = drawn[0][0]
    masks = [clips.mask_video(scene, task) for task in range(TASKS)]
    pixels = torch.stack([shown, *drawn, *masks]).movedim(-1, 1)
    return vae.first_stage_model.encode(vae.process_input(pixels))  # `VAE.encode` would cut videos in a batch short
