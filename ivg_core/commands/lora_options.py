"""Which LoRAs are on the model, and how each is read and added."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints.embedded import EMBEDDED_LORAS
from ..checkpoints.lora_choice import for_each, strengths_of
from ..errors import IVGError
from .kinds import a_lora, count, number

if TYPE_CHECKING:
    from ..models.bundle import IVGModel
    from ..models.lora import LoRA

STAGES = {1: "the mask video", 2: "the video"}  # what each makes


def wearing_options(group: Any) -> None:
    """Add what `with_loras` reads."""
    group.add_argument(
        "--lora",
        type=a_lora,
        action="append",
        metavar="FILE[:STRENGTH]",
        help="LoRA to add, of any format that the loader reads, or embedded-back, with which the embedded model's hand "
        "goes back to rest; FILE:0.8 adds it at that strength: 0 adds nothing, 1 what was trained. It goes to the "
        "stage that the file says. May be given repeatedly, each is added; and so may the options below that say "
        "--lora, once for all or once for each",
    )
    group.add_argument(
        "--lora-strength", type=number(), action="append", help="where none stands behind FILE (default: 1)"
    )
    lora_options(group)


def lora_options(parser: Any) -> None:
    """Add what `read_loras` reads."""
    reading_options(parser)
    parser.add_argument(
        "--lora-spatial", type=number(), action="append", help="factor of what things look like in it (default: 1)"
    )
    parser.add_argument(
        "--lora-temporal", type=number(), action="append", help="factor of how things move in it (default: 1)"
    )


def reading_options(parser: Any) -> None:
    """Add `--lora-partial` and `--lora-adapter`, of `lora_options` those that say how a file is read."""
    text = "use a LoRA without those of its layers that the model does not have; otherwise it is refused"
    parser.add_argument("--lora-partial", action="store_true", help=text)
    text = "which one, from 1, of a file that holds the spatial adapters of several clips; 0: the file holds one"
    parser.add_argument("--lora-adapter", type=count(0), action="append", help=text)


def read_loras(options: argparse.Namespace, paths: Sequence[str | Path], model: IVGModel) -> list[LoRA]:
    """LoRAs for a model, as `lora_options` were given.

    Raises:
        IVGError: one cannot be read, or an option is neither given once nor once for each.
    """
    from ..checkpoints.add_loras import read_lora_for

    adapters, spatial, temporal = (
        for_each(f"--lora-{name}", vars(options).get(f"lora_{name}"), len(paths), default)
        for name, default in (("adapter", 0), ("spatial", 1.0), ("temporal", 1.0))
    )
    return [
        read_lora_for(model, path, options.lora_partial, adapter or None).balanced(looks, moves)
        for path, adapter, looks, moves in zip(paths, adapters, spatial, temporal, strict=True)
    ]


def lora_strengths(options: argparse.Namespace) -> list[float]:
    """How strong each --lora is.

    Raises:
        IVGError: `--lora-strength` says it too, or too often.
    """
    return strengths_of(options.lora or [], options.lora_strength, "--lora-strength")


def check_loras(options: argparse.Namespace) -> None:
    """Says what is wrong with each --lora before the model is loaded, which takes its time.

    Raises:
        IVGError: there is no such file, or a strength is told twice.
    """
    lora_strengths(options)
    for choice in options.lora or []:
        if choice.file not in EMBEDDED_LORAS and not Path(choice.file).exists():
            names = ", ".join(EMBEDDED_LORAS)
            raise IVGError(f"--lora: there is no file at {choice.file}: check the path, or give {names} by its name.")


def with_loras(options: argparse.Namespace, model: IVGModel, stages: Sequence[int]) -> IVGModel:
    """The model with each --lora added.

    Args:
        options: of `wearing_options`.
        model: that was loaded.
        stages: that are sampled.

    Raises:
        IVGError: one cannot be read, or is for another network, or for a stage that is not sampled.
    """
    from ..checkpoints.add_loras import model_with_loras

    files = [choice.file for choice in options.lora or []]
    loras = read_loras(options, files, model)
    for file, lora in zip(files, loras, strict=True):
        if lora.stage not in stages:
            raise IVGError(
                f"--lora: {file} is for stage {lora.stage}, {STAGES[lora.stage]}, and all that is made here is "
                f"{STAGES[stages[0]]}: leave it out."
            )
    return model_with_loras(model, zip(loras, lora_strengths(options), strict=True))
