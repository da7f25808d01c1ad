"""Instructional video generation: a photo and a sentence become a motion mask, and then a video.

    import ivg_core as ivg
    model = ivg.load_model("embedded")
    rom = ivg.predict_rom(model, "kitchen.png", "julienne the carrot")
    mask = ivg.refine_mask(rom.mask, grow=4)
    video = ivg.generate(model, "kitchen.png", "julienne the carrot", mask=mask)

The names below are loaded when they are first used, so that ``import ivg_core`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import IVGError

if TYPE_CHECKING:
    from .checkpoints.add_loras import add_loras, read_lora_for
    from .checkpoints.load import load_model
    from .checkpoints.lora_files import save_lora
    from .checkpoints.save import save_file, save_folder
    from .evaluate.bootstrap import Estimate
    from .evaluate.clips import ClipFiles, MeasuredClip, pair_clips
    from .evaluate.families import Features
    from .evaluate.own_metrics import register_metric
    from .evaluate.page import write_page
    from .evaluate.report import write_report
    from .evaluate.run import Evaluation, evaluate_methods
    from .hands.score import HandScore, score_hands
    from .hands.tracker import HandTracker
    from .media.images import load_image, load_mask, save_png
    from .media.video import read_video, write_video
    from .models.bundle import IVGModel, ModelDefaults
    from .models.lora import LoRA, model_with_lora
    from .models.lora_combine import Reduced, combine_loras, reduce_rank
    from .plugins import load_plugins
    from .rom.annotate import Annotation, annotate_clip
    from .rom.annotate_folder import annotate_folder
    from .rom.annotate_video import ClipReport, annotate_video
    from .rom.find import FoundRegion, find_rom, hands_in
    from .rom.refine import refine_mask
    from .sampling.chain import generate_chain, predict_regions
    from .sampling.context import ContextWindows
    from .sampling.edit import SourceVideo
    from .sampling.generate import Generated, generate
    from .sampling.predict import RoM, predict_rom
    from .sampling.prompts import PromptSchedule, Stretch, read_schedule
    from .sampling.settings import Sampling
    from .training.batches import Batch, ClipDataset, OrderedClips
    from .training.config import LoRASettings, TrainConfig, TrainingPath, ValidationSettings, presets, read_config
    from .training.data.dataset import Data, load_data, survey
    from .training.data.encoder import ModelEncoder
    from .training.data.report import Report
    from .training.data.settings import DataSettings
    from .training.data.sources import TrainingClip
    from .training.losses import LossTerm, register_loss
    from .training.prediction import Prediction
    from .training.sample import Sample
    from .training.trainer import Trained, train

__version__ = "0.1.0"

_HOMES = {
    "add_loras": "checkpoints.add_loras",
    "read_lora_for": "checkpoints.add_loras",
    "load_model": "checkpoints.load",
    "save_lora": "checkpoints.lora_files",
    "save_file": "checkpoints.save",
    "save_folder": "checkpoints.save",
    "Estimate": "evaluate.bootstrap",
    "ClipFiles": "evaluate.clips",
    "MeasuredClip": "evaluate.clips",
    "pair_clips": "evaluate.clips",
    "Features": "evaluate.families",
    "register_metric": "evaluate.own_metrics",
    "write_page": "evaluate.page",
    "write_report": "evaluate.report",
    "Evaluation": "evaluate.run",
    "evaluate_methods": "evaluate.run",
    "HandScore": "hands.score",
    "score_hands": "hands.score",
    "HandTracker": "hands.tracker",
    "load_image": "media.images",
    "load_mask": "media.images",
    "save_png": "media.images",
    "read_video": "media.video",
    "write_video": "media.video",
    "IVGModel": "models.bundle",
    "ModelDefaults": "models.bundle",
    "LoRA": "models.lora",
    "model_with_lora": "models.lora",
    "Reduced": "models.lora_combine",
    "combine_loras": "models.lora_combine",
    "reduce_rank": "models.lora_combine",
    "load_plugins": "plugins",
    "Annotation": "rom.annotate",
    "annotate_clip": "rom.annotate",
    "annotate_folder": "rom.annotate_folder",
    "ClipReport": "rom.annotate_video",
    "annotate_video": "rom.annotate_video",
    "FoundRegion": "rom.find",
    "find_rom": "rom.find",
    "hands_in": "rom.find",
    "refine_mask": "rom.refine",
    "generate_chain": "sampling.chain",
    "predict_regions": "sampling.chain",
    "ContextWindows": "sampling.context",
    "SourceVideo": "sampling.edit",
    "Generated": "sampling.generate",
    "generate": "sampling.generate",
    "RoM": "sampling.predict",
    "predict_rom": "sampling.predict",
    "PromptSchedule": "sampling.prompts",
    "Stretch": "sampling.prompts",
    "read_schedule": "sampling.prompts",
    "Sampling": "sampling.settings",
    "Batch": "training.batches",
    "ClipDataset": "training.batches",
    "OrderedClips": "training.batches",
    "LoRASettings": "training.config",
    "TrainConfig": "training.config",
    "TrainingPath": "training.config",
    "ValidationSettings": "training.config",
    "presets": "training.config",
    "read_config": "training.config",
    "Data": "training.data.dataset",
    "load_data": "training.data.dataset",
    "survey": "training.data.dataset",
    "ModelEncoder": "training.data.encoder",
    "Report": "training.data.report",
    "DataSettings": "training.data.settings",
    "TrainingClip": "training.data.sources",
    "LossTerm": "training.losses",
    "register_loss": "training.losses",
    "Prediction": "training.prediction",
    "Sample": "training.sample",
    "Trained": "training.trainer",
    "train": "training.trainer",
}

__all__ = [
    "Annotation",
    "Batch",
    "ClipDataset",
    "ClipFiles",
    "ClipReport",
    "ContextWindows",
    "Data",
    "DataSettings",
    "Estimate",
    "Evaluation",
    "Features",
    "FoundRegion",
    "Generated",
    "HandScore",
    "HandTracker",
    "IVGError",
    "IVGModel",
    "LoRA",
    "LoRASettings",
    "LossTerm",
    "MeasuredClip",
    "ModelDefaults",
    "ModelEncoder",
    "OrderedClips",
    "Prediction",
    "PromptSchedule",
    "Reduced",
    "Report",
    "RoM",
    "Sample",
    "Sampling",
    "SourceVideo",
    "Stretch",
    "TrainConfig",
    "Trained",
    "TrainingClip",
    "TrainingPath",
    "ValidationSettings",
    "add_loras",
    "annotate_clip",
    "annotate_folder",
    "annotate_video",
    "combine_loras",
    "evaluate_methods",
    "find_rom",
    "generate",
    "generate_chain",
    "hands_in",
    "load_data",
    "load_image",
    "load_mask",
    "load_model",
    "load_plugins",
    "model_with_lora",
    "pair_clips",
    "predict_regions",
    "predict_rom",
    "presets",
    "read_config",
    "read_lora_for",
    "read_schedule",
    "read_video",
    "reduce_rank",
    "refine_mask",
    "register_loss",
    "register_metric",
    "save_file",
    "save_folder",
    "save_lora",
    "save_png",
    "score_hands",
    "survey",
    "train",
    "write_page",
    "write_report",
    "write_video",
]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
