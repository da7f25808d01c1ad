"""What commands that make many videos share: how each one is made, and what their folder keeps of that."""

from __future__ import annotations

import argparse
from typing import Any, TypeVar

from .kinds import a_share, count, not_negative, number, size
from .lora_options import lora_strengths
from .shared import sampling_of

T = TypeVar("T")
D = TypeVar("D")


def item_options(least_frames: int = 1) -> argparse.ArgumentParser:
    """How each video is made; `item_settings` reads it.

    Args:
        least_frames: of a video.
    """
    options = argparse.ArgumentParser(add_help=False)
    how = options.add_argument_group("how (by default as the model was made for)")
    how.add_argument("--size", type=size, metavar="WxH", help="of the videos, multiples of 8")
    how.add_argument("--frames", type=count(least_frames), help="of each video; of steps that do not say how long")
    how.add_argument("--fps", type=number(1e-3, 240), help="frames a second")
    how.add_argument("--negative", default="", help="what the videos should not show")
    how.add_argument("--motion", type=not_negative, default=5.0, help="motion strength, 1 to 20 (default: 5)")
    how.add_argument("--threshold", type=a_share, default=0.5, help="of predicted masks, 0..1 (default: 0.5)")
    how.add_argument(
        "--grow", type=count(-10_000, 10_000), default=4, help="pixels by which predicted masks are grown (default: 4)"
    )
    how.add_argument(
        "--fallback",
        choices=("white", "find"),
        help="mask to use in place of a predicted one: everything, or around the hands of each photo (see find-rom)",
    )
    return options


def item_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `BatchSettings` that model, network, sampling and item options give."""
    from ..checkpoints.mark import weights_mark

    loras = [choice.file for choice in options.lora or ()]
    return {
        "model": options.model,
        "weights": weights_mark([options.model, options.rom_model, options.boxes_model, *loras]),
        "rom_model": options.rom_model,
        "lora": _plain(loras, None),
        "lora_strength": _plain(lora_strengths(options), 1.0),
        "lora_spatial": _plain(options.lora_spatial, 1.0),
        "lora_temporal": _plain(options.lora_temporal, 1.0),
        "lora_adapter": _plain(options.lora_adapter, 0),
        "how": sampling_of(options),
        "num_frames": options.frames,
        "size": options.size,
        "negative_prompt": options.negative,
        "motion_strength": options.motion,
        "threshold": options.threshold,
        "grow": options.grow,
        "fallback": options.fallback,
        "fps": options.fps,
    }


def _plain(values: list[T] | None, default: D) -> T | list[T] | D:
    """One value, or one for all, as itself, as batches of earlier versions noted it."""
    if not values:
        return default
    return values if len(values) > 1 else values[0]
