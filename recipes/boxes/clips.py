"""Clips of hands that carry things, encoded once, with their boxes: what the gates learn from."""

from __future__ import annotations

import json
import random
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ivg_core.checkpoints.load import load_model
from ivg_core.media.tracks import filled_up
from ivg_core.models.codec import ImageCodec
from ivg_core.models.text import encode_phrases, encode_text
from ivg_core.synthetic.carry import carried_clip, errand
from ivg_core.synthetic.clips import DrawnClip, Scene
from ivg_core.training.batches import bucketed_batches
from ivg_core.training.sample import Sample
from recipes.embedded.sentences import paraphrase

if TYPE_CHECKING:
    from ivg_core.models.bundle import IVGModel

SHARD = 50
#: How often a clip comes in an epoch where only some of its frames are taken.
TIMES = 8
#: One clip in so many shows one of the scene's ordinary tasks.
ORDINARY = 5


def drawn(seed: int, model: IVGModel) -> DrawnClip:
    """The clip of a seed, at the size that the embedded model is made for; in every second the hands have boxes."""
    made_for = model.defaults
    scene = Scene(seed, made_for.width, made_for.height)
    if seed % ORDINARY == 0:
        return scene.clip(scene.tasks[seed // ORDINARY % len(scene.tasks)], made_for.num_frames)
    return carried_clip(scene, errand(scene), made_for.num_frames, hands=seed % 2 == 0)


def draw_shard(job: tuple[Path, int]) -> None:
    """Draw and encode the clips of 50 seeds into one file, unless it is there."""
    path, first = job
    if path.exists():
        return
    torch.set_num_threads(1)
    model = load_model("embedded")
    codec = ImageCodec(model.vae)
    latents, boxes, moving, texts = [], [], [], []
    for seed in range(first, first + SHARD):
        clip = drawn(seed, model)
        with torch.no_grad():
            latents.append(codec.encode(torch.from_numpy(clip.frames).float() / 255).half())  # (4, F, h, w)
        boxes.append(filled_up(clip.track.boxes(len(clip.frames))))
        moving.append(torch.from_numpy(np.packbits(clip.rom_mask, axis=-1)))
        texts.append([clip.text, *clip.track.phrases])
    tensors = {"latents": torch.stack(latents), "boxes": torch.stack(boxes), "moving": torch.stack(moving)}
    partial = path.with_suffix(".part")
    save_file(tensors, partial, {"texts": json.dumps(texts)})
    partial.replace(path)


class CarriedClips:
    """A `ClipDataset` of the shards.

    In three of five clips everything may move, as where the user gives boxes alone; in the others what moves does.

    Args:
        shards: their files.
        model: its text encoder is used.
        frames: how many to learn of each clip, other ones each time; None = all. Gates see one frame at a time.
    """

    def __init__(self, shards: list[Path], model: IVGModel, frames: int | None = None):
        self.frames = frames
        parts: list[dict[str, Tensor]] = []
        self.texts: list[list[str]] = []
        for shard in shards:
            with safe_open(shard, framework="pt") as file:
                parts.append({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118 (it is no dict)
                self.texts += json.loads(file.metadata()["texts"])
        self.latents, self.boxes, self.moving = (
            torch.cat([part[key] for part in parts]) for key in ("latents", "boxes", "moving")
        )
        self._encode = lru_cache(maxsize=None)(lambda sentence: encode_text(model, [sentence])[0].cpu())
        self._name = lru_cache(maxsize=None)(lambda phrase: encode_phrases(model, [phrase])[0].cpu())

    def __len__(self) -> int:
        return len(self.texts) * (TIMES if self.frames else 1)

    def __getitem__(self, number: int) -> Sample:
        index, rng = number % len(self.texts), random.Random(number)
        said, *things = self.texts[index]
        said = paraphrase(said, rng)
        latents, every = self.latents[index].float(), range(1, self.latents.shape[2])
        chosen = sorted(rng.sample(every, self.frames)) if self.frames else [0, *every]
        moving = torch.from_numpy(np.unpackbits(self.moving[index].numpy(), axis=-1)).float()  # (H, W)
        return {
            "latents": latents[:, chosen],
            "photo": latents[:, :1],
            "boxes": self.boxes[index][chosen],
            "photo_boxes": self.boxes[index][:1],
            "phrases": filled_up(torch.stack([self._name(thing) for thing in things])),
            "rom_mask": torch.ones_like(moving) if rng.random() < 0.6 else moving,
            "caption": said,
            "text": self._encode(said),
            "empty_text": self._encode(""),
            "name": f"scene {number}",
        }

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        return bucketed_batches([()] * len(self), batch_size, seed, epoch)
