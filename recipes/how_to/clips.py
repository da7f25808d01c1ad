"""Steps of drawn plans, encoded once: clips in which the hand reaches, acts and goes back to rest."""

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
from ivg_core.models.codec import ImageCodec
from ivg_core.models.text import encode_text
from ivg_core.synthetic.plans import drawn_plan
from ivg_core.training.batches import bucketed_batches
from ivg_core.training.sample import Sample
from recipes.embedded.clips import grown
from recipes.embedded.sentences import paraphrase

if TYPE_CHECKING:
    from ivg_core.models.bundle import IVGModel

#: Plans in one file.
SHARD = 25
STEPS = 5
#: Actions that leave a thing elsewhere: what is hardest to learn comes twice as often.
MOVES = ("pick up", "push")
#: How often a clip comes in an epoch: in other words each time, and with another mask.
TIMES = 8


def draw_shard(job: tuple[Path, int]) -> None:
    """Draw and encode two steps of each of 25 plans into one file, unless it is there: the first, and a later one.

    The later one goes through the autoencoder twice: in a how-to it begins with a picture that the model made.
    """
    path, first = job
    if path.exists():
        return
    torch.set_num_threads(1)
    model = load_model("embedded")
    codec = ImageCodec(model.vae.to(memory_format=torch.channels_last))
    latents, moving, boxes, said = [], [], [], []
    for seed in range(first, first + SHARD):
        plan = drawn_plan(seed, STEPS, model.defaults.width, model.defaults.height)
        for step, later in ((plan[0], False), (plan[1 + seed % (STEPS - 1)], True)):
            clip = step.clip(model.defaults.num_frames)
            with torch.no_grad():
                encoded = codec.encode(torch.from_numpy(clip.frames).float() / 255)  # (4, F, h, w)
                encoded = codec.encode(codec.decode(encoded[None])[0]) if later else encoded
            latents.append(encoded.half())
            moving.append(torch.from_numpy(np.packbits(clip.rom_mask, axis=-1)))
            boxes.append(clip.track.boxes(len(clip.frames)))
            said.append([clip.action, clip.text])
    partial = path.with_suffix(".part")
    tensors = {"latents": torch.stack(latents), "moving": torch.stack(moving), "boxes": torch.stack(boxes)}
    save_file(tensors, partial, {"said": json.dumps(said)})
    partial.replace(path)


class Steps:
    """A `ClipDataset` of the shards, in which every action comes equally often, those of `MOVES` twice.

    The boxes are for the loss alone: they say where the thing is, and where it was.

    Args:
        shards: their files.
        model: its text encoder is used.
    """

    def __init__(self, shards: list[Path], model: IVGModel):
        parts: list[dict[str, Tensor]] = []
        said: list[list[str]] = []
        for shard in shards:
            with safe_open(shard, framework="pt") as file:
                parts.append({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118 (it is no dict)
                said += json.loads(file.metadata()["said"])
        self.latents, self.moving, self.boxes = (
            torch.cat([part[key] for part in parts]) for key in ("latents", "moving", "boxes")
        )
        self.texts = [text for _, text in said]
        by_action: dict[str, list[int]] = {}
        for index, (action, _) in enumerate(said):
            by_action.setdefault(action, []).append(index)
        most = max(map(len, by_action.values()))
        self.items = [
            clips[i % len(clips)]
            for action, clips in by_action.items()
            for i in range(2 * most if action in MOVES else most)
        ]
        self._encode = lru_cache(maxsize=None)(lambda sentence: encode_text(model, [sentence])[0].cpu())

    def __len__(self) -> int:
        return len(self.items) * TIMES

    def __getitem__(self, number: int) -> Sample:
        index, rng = self.items[number % len(self.items)], random.Random(number)
        text = paraphrase(self.texts[index], rng)
        moving = torch.from_numpy(np.unpackbits(self.moving[index].numpy(), axis=-1)).float()  # (H, W)
        latents = self.latents[index].float()
        return {
            "latents": latents,
            "photo": latents[:, :1],
            "boxes": self.boxes[index],
            "rom_mask": grown(moving, rng.randint(3, 12)),
            "caption": text,
            "text": self._encode(text),
            "empty_text": self._encode(""),
            "name": f"clip {index}",
        }

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        return bucketed_batches([()] * len(self), batch_size, seed, epoch)
