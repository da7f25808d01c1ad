"""The drawn scenes as the trainer reads them."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from ivg_core.models.text import encode_text
from ivg_core.synthetic.clips import CUTTING_VERBS
from ivg_core.synthetic.dataset import load_shard
from ivg_core.training.batches import bucketed_batches
from ivg_core.training.sample import Sample
from recipes.embedded.latents import SENTENCES
from recipes.embedded.sentences import paraphrase

if TYPE_CHECKING:
    from ivg_core.models.bundle import IVGModel


class Scenes:
    """All encoded scenes in memory: latents, exact masks and sentences."""

    def __init__(self, latents: list[Path], shards: list[Path]):
        clips, masks, moving = [], [], []
        self.texts: list[list[str]] = []
        for latent, shard in zip(latents, shards, strict=True):
            state = load_file(latent)
            clips.append(state["clips"])
            masks.append(state["masks"])
            _, rom, texts = load_shard(shard)
            moving.append(np.packbits(rom[:, :SENTENCES], axis=-1))
            self.texts += [sentences[:SENTENCES] for sentences in texts]
        self.clips = torch.cat(clips)  # (N, F, 4, h, w)
        self.masks = torch.cat(masks)  # (N, S, F, 4, h, w)
        self._moving = np.concatenate(moving)  # (N, S, F, H, W / 8)

    def moving(self, scene: int, row: int) -> Tensor:
        """What moves when the scene's sentence `row` is done, (F, H, W) of 0 and 1; row 0 is the clip's own."""
        return torch.from_numpy(np.unpackbits(self._moving[scene, row], axis=-1)).float()


class DrawnClips:
    """Clips of the scenes for one stage, a `ClipDataset` in which every action comes equally often.

    Stirring is ten times rarer than picking up, and no easier: its scenes come ten times, in other words each time.

    Args:
        scenes: all of them.
        model: its text encoder is used.
        stage: 2 takes only the sentence that the clip was drawn of; 1 needs no clip, and takes all.
        frames: indices of the frames to learn; a few teach where, all of them also when.
        only: take so many scenes; None = all.
    """

    def __init__(self, scenes: Scenes, model: IVGModel, stage: int, frames: list[int], only: int | None = None):
        self.scenes, self.stage, self.frames = scenes, stage, frames
        by_action: dict[str, list[tuple[int, int]]] = {}
        for scene in range(len(scenes.texts))[:only]:
            for row, sentence in enumerate(scenes.texts[scene][: SENTENCES if stage == 1 else 1]):
                if sentence:
                    verb = sentence.split()[0]
                    by_action.setdefault("cut" if verb in CUTTING_VERBS else verb, []).append((scene, row))
        most = max(map(len, by_action.values()))
        self.items = [pairs[i % len(pairs)] for pairs in by_action.values() for i in range(most)]
        self._encode = lru_cache(maxsize=None)(lambda sentence: encode_text(model, [sentence])[0].cpu())

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        scene, row = self.items[index]
        rng = random.Random(index)
        said = paraphrase(self.scenes.texts[scene][row], rng)
        clip, moving = self.scenes.clips[scene].float(), self.scenes.moving(scene, row)
        sample: Sample = {
            "latents": clip[self.frames].transpose(0, 1),  # (4, F, h, w)
            "photo": clip[:1].transpose(0, 1),
            "frame_masks": moving[self.frames],
            "rom_mask": grown(moving.amax(0), rng.randint(3, 12)),
            "caption": said,
            "text": self._encode(said),
            "empty_text": self._encode(""),
            "name": f"scene {scene}",
        }
        if self.stage == 1:
            sample["mask_latents"] = self.scenes.masks[scene, row][self.frames].float().transpose(0, 1)
        return sample

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        return bucketed_batches([()] * len(self), batch_size, seed, epoch)


def grown(mask: Tensor, pixels: int) -> Tensor:
    """The mask (H, W) grown: predicted masks are uneven, and stage 2 has to bear it."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1,) * 2)
    return torch.from_numpy(cv2.dilate(mask.numpy(), kernel))
