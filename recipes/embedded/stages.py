"""Steps 4 and 5: train stage 1 (the mask video) and stage 2 (the video) with the trainer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ivg_core.models.bundle import IVGModel
from ivg_core.training.config import TrainConfig
from ivg_core.training.trainer import train
from recipes.embedded.clips import DrawnClips, Scenes
from recipes.embedded.parts import FRAMES

#: Frames that the first part of a stage sees: enough to learn where, at half the cost of learning when.
FEW_FRAMES = [1, 4, 7]
#: The frame in which the hand has reached what the sentence names.
ONE_FRAME = [4]
ALL_FRAMES = list(range(FRAMES))
#: Clips whose hands the last part looks for, once each; all of them would take an hour.
HAND_CLIPS = 240


def train_stage1(folder: Path, model: IVGModel, scenes: Scenes, steps: tuple[int, int, int], batch: int) -> IVGModel:
    """Teach a network to turn photo and sentence into the mask video.

    In three parts: where things move; in one frame and in much noise, which of the things the sentence means; when.

    Args:
        folder: of the checkpoints, where a run that was stopped goes on.
        model: with a network as `rom_unet`, and the final VAE and text encoder.
        scenes: to learn from.
        steps: of each part; 0 leaves it out.
        batch: clips a step; twice as many where there is one frame.

    Returns:
        The model with the trained network.
    """
    iou = {"miou": {"weight": 0.1, "frames": 1}}
    parts: list[dict[str, Any]] = [
        {"name": "where", "frames": FEW_FRAMES, "learning_rate": 1.5e-3, "from_photo": 0.25},
        {"name": "which", "frames": ONE_FRAME, "learning_rate": 1.2e-3, "from_photo": 0.8, "batch_size": 2 * batch},
        {"name": "when", "frames": ALL_FRAMES, "learning_rate": 8e-4, "from_photo": 0.5, "losses": {"noise": 1} | iou},
    ]
    for part, count in _chosen(parts, steps):
        clips = DrawnClips(scenes, model, 1, part.pop("frames"))
        model = replace(model, rom_unet=_train(folder, 1, model, clips, {"steps": count, "batch_size": batch} | part))
    return model


def train_stage2(folder: Path, model: IVGModel, scenes: Scenes, steps: tuple[int, int, int], batch: int) -> IVGModel:
    """Teach a network to turn photo, sentence, mask and motion strength into the video.

    In three parts: where things move; when; and, with the hand structure loss, what hands look like. Arguments and
    result as of :func:`train_stage1`, with `unet` in place of `rom_unet`.
    """
    parts: list[dict[str, Any]] = [
        {"name": "where", "frames": FEW_FRAMES, "learning_rate": 1.5e-3},
        {"name": "when", "frames": ALL_FRAMES, "learning_rate": 8e-4},
        {
            "name": "hands",
            "frames": ALL_FRAMES,
            "only": HAND_CLIPS,
            "learning_rate": 2e-4,
            "batch_size": batch // 2,
            "losses": {"noise": 1, "motion": 0.001, "hands": {"weight": 4, "frames": 2, "presence": 0.03}},
        },
    ]
    for part, count in _chosen(parts, steps):
        clips = DrawnClips(scenes, model, 2, part.pop("frames"), part.pop("only", None))
        settings = {"steps": count, "batch_size": batch, "from_photo": 0.25} | part
        model = replace(model, unet=_train(folder, 2, model, clips, settings))
    return model


def _chosen(parts: list[dict[str, Any]], steps: tuple[int, int, int]) -> list[tuple[dict[str, Any], int]]:
    return [(part, count) for part, count in zip(parts, steps, strict=True) if count]


def _train(folder: Path, stage: Literal[1, 2], model: IVGModel, clips: DrawnClips, settings: dict[str, Any]):
    config = TrainConfig(
        **{"losses": {"noise": 1} if stage == 1 else {"noise": 1, "motion": 0.001}} | settings,
        stage=stage,
        method="full",
        out=str(folder / f"stage{stage}-{settings['name']}"),
        schedule="cosine",
        warmup=100,
        betas=(0.9, 0.99),
        ema=0.995,
        precision="bf16",
        device="cpu",
    )
    return train(config, model, clips, resume="auto").network
