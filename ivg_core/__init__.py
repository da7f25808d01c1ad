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
    from .checkpoints.add_loras import add_loras
    from .checkpoints.load import load_model
    from .checkpoints.save import save_file, save_folder
    from .evaluate.own_metrics import register_metric
    from .models.bundle import IVGModel
    from .rom.refine import refine_mask
    from .sampling.chain import generate_chain, predict_regions
    from .sampling.context import ContextWindows
    from .sampling.generate import Generated, generate
    from .sampling.predict import RoM, predict_rom
    from .sampling.prompts import PromptSchedule, Stretch, read_schedule
    from .sampling.settings import Sampling
    from .training.losses import register_loss

__version__ = "0.1.0"

_HOMES = {
    "add_loras": "checkpoints.add_loras",
    "IVGModel": "models.bundle",
    "load_model": "checkpoints.load",
    "save_file": "checkpoints.save",
    "save_folder": "checkpoints.save",
    "RoM": "sampling.predict",
    "predict_rom": "sampling.predict",
    "refine_mask": "rom.refine",
    "Generated": "sampling.generate",
    "Sampling": "sampling.settings",
    "generate": "sampling.generate",
    "ContextWindows": "sampling.context",
    "PromptSchedule": "sampling.prompts",
    "Stretch": "sampling.prompts",
    "read_schedule": "sampling.prompts",
    "predict_regions": "sampling.chain",
    "generate_chain": "sampling.chain",
    "register_loss": "training.losses",
    "register_metric": "evaluate.own_metrics",
}

__all__ = [
    "ContextWindows",
    "Generated",
    "IVGError",
    "IVGModel",
    "PromptSchedule",
    "RoM",
    "Sampling",
    "Stretch",
    "add_loras",
    "generate",
    "generate_chain",
    "load_model",
    "predict_regions",
    "predict_rom",
    "read_schedule",
    "refine_mask",
    "register_loss",
    "register_metric",
    "save_file",
    "save_folder",
]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
