"""A LoRA of stage 1 on the small core model, by our own trainer, on the mask videos of the drawn scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import comfy.sd
import comfy.utils
import torch
from core_scenes_base import UNTOLD, sentences
from core_scenes_drawn import TASKS, Clips
from core_scenes_latents import Encoded

from ivg_pack.ivg_core.models.told import Told
from ivg_pack.ivg_core.training.batches import bucketed_batches
from ivg_pack.ivg_core.training.config import LoRASettings, TrainConfig
from ivg_pack.ivg_core.training.sample import Sample
from ivg_pack.ivg_core.training.trainer import train
from ivg_pack.nodes._core_backbone import CoreBackbone

RANK, BATCH, STEPS, RATE = 32, 8, 2500, 2e-3
LEAST_NOISE = 0.4  # sigma: below it a mask is there already


class SceneClips:
    """The drawn scenes as training reads them, a `ClipDataset`: each scene with each of its sentences.

    Args:
        scenes: their latents.
        clips: what they show.
        language: the model whose text encoder is used.
    """

    def __init__(self, scenes: Encoded, clips: Clips, language):
        self.scenes, self.clips = scenes, clips
        self.said = [sentences(language, pair) for pair in clips.texts]
        self.nothing = sentences(language, [""])[0]
        self.opened = torch.ones(1, 1, *scenes.photos.shape[2:])
        self.opened[:, :, 0] = 0

    def __len__(self) -> int:
        return len(self.said) * TASKS

    def __getitem__(self, index: int) -> Sample:
        scene, task = divmod(index, TASKS)
        also = {"concat_latent_image": self.scenes.photos[scene, None], "concat_mask": self.opened}
        told = Told(self.said[scene][task][0][0], also=also)
        return {
            "latents": self.scenes.clips[scene, task],
            "mask_latents": self.scenes.masks[scene, task],
            "frame_masks": torch.from_numpy(self.clips.masks[scene, task]).float(),
            "told": told,
            "untold": replace(told, text=self.nothing[0][0]),
            "caption": self.clips.texts[scene][task],
            "name": f"scene {scene}",
        }

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        """See `ClipDataset`; a scene's sentences come together, so that what differs is what they say."""
        scenes = bucketed_batches([()] * len(self.said), batch_size // TASKS, seed, epoch)
        return [[TASKS * scene + task for scene in batch for task in range(TASKS)] for batch in scenes]


def trained_lora(folder: Path, model, vae, dataset: SceneClips, steps: int = STEPS):
    """The model with the LoRA as core's loader puts it there, and the seconds of the training.

    Args:
        folder: of the training; one that was stopped goes on.
        model, vae: the base.
        dataset: to train on.
        steps: of training.
    """
    config = TrainConfig(
        stage=1, out=str(folder), steps=steps, batch_size=BATCH, learning_rate=RATE, schedule="cosine", warmup=30,
        betas=(0.9, 0.99), weight_decay=0, device="cpu", text_dropout=UNTOLD, save_every=50, name="stage1",
        lora={role: LoRASettings(rank=RANK) for role in ("spatial", "text")}, losses={"noise": 1.0},
    )  # fmt: skip
    done = train(config, CoreBackbone(model, vae, LEAST_NOISE), dataset, resume="auto", on_step=_tell)
    tensors = comfy.utils.load_torch_file(str(done.path), safe_load=True)
    with torch.inference_mode():
        loaded, _ = comfy.sd.load_lora_for_models(model, None, tensors, 1.0, 0)
    return loaded, sum(figures["seconds"] for figures in done.history)


def _tell(step: int, total: int, figures: dict[str, float]) -> None:
    if step % 25 == 0:
        print(f"stage 1: step {step}/{total}  noise {figures['noise']:.4f}", flush=True)
