"""`train`: a LoRA or the model itself, from your clips."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import IVGError
from ..media.targets import check_folder, user_path
from .kinds import a_path
from .shared import flush_denormals, plugin_option, say

if TYPE_CHECKING:
    from ..models.bundle import IVGModel
    from ..training.config import TrainConfig

EPILOG = """\
examples:
  python -m ivg_core train --preset stage2-lora-hands --data my_clips --model models/IVG.1.0 --dry-run
      what would be trained on: clips, captions, masks, and which clips are left out and why
  python -m ivg_core train --preset stage2-lora-hands --data my_clips --model models/IVG.1.0 --out out/stirring
      train; Ctrl-C saves and stops, a second one stops at once
  python -m ivg_core train --preset stage2-lora-hands --data my_clips --model models/IVG.1.0 --out out/stirring \\
      --resume auto --set steps=800
      go on where it was stopped, or killed, to step 800
  python -m ivg_core train --config my.yaml --plugin my_losses.py
      with losses of your own, which my_losses.py gives a name by ivg_core.register_loss; my.yaml: losses: {mine: 1}
  accelerate launch --multi_gpu --num_processes 2 -m ivg_core train --config my.yaml
      on several GPUs; with ACCELERATE_USE_CPU=true on several processors; several machines: docs/scale.md
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    train = commands.add_parser(
        "train",
        help="train a LoRA, or the model itself, from clips",
        description="Train a LoRA, or the model itself, from clips with captions. Every setting stands in a yaml, and "
        "each preset explains its own.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.set_defaults(run=_train)
    source = train.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=a_path, help="yaml of settings")
    source.add_argument("--preset", help=f"one of {', '.join(_presets())}")
    train.add_argument(
        "--data",
        help="folder of clips, one clip, or a json list; needed with --preset, and replaces a yaml's data.source",
    )
    train.add_argument("--model", help='checkpoint to train on; replaces model ("embedded" if the yaml names none)')
    train.add_argument("--out", help="folder of the run; replaces out")
    train.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace a setting, such as steps=200 or "
        "lora.spatial.rank=8; may be given several times",
    )  # fmt: skip
    plugin_option(train)
    train.add_argument("--resume", help='"auto", or a folder checkpoint-…: go on from there')
    train.add_argument("--dry-run", action="store_true", help="report on the data and train nothing")


def _presets() -> list[str]:
    # Without importing the library's training: `--help` must not load torch.
    return sorted(path.stem for path in (Path(__file__).parents[1] / "training" / "presets").glob("*.yaml"))


def _train(options: argparse.Namespace) -> None:
    from ..settings import from_mapping
    from ..training.config import read_config
    from ..training.data.dataset import load_data, survey
    from ..training.data.settings import DataSettings
    from ..training.engine import main_process_first
    from ..training.resume import checkpoint_to_resume
    from ..training.trainer import train

    overrides = {key: value for key in ("model", "out") if (value := getattr(options, key))}
    config = read_config(options.config or options.preset, overrides, _assignments(options), options.plugin)
    if not config.data.get("source"):
        raise IVGError(
            "There is nothing to train on: give your clips with --data, a folder of clips with captions in .txt files, "
            "one clip, or a .json list."
        )
    settings = from_mapping(DataSettings, config.data, "data")
    check_folder(user_path(config.out))
    if not options.dry_run:
        checkpoint_to_resume(user_path(config.out), options.resume)
    model = _load(config)
    if options.dry_run:
        print(survey(settings, model, config.stage, on_clip=_look))
        return
    with main_process_first(config):  # the others find everything in the cache
        cache = Path(config.out) / "cache"
        data = load_data(settings, model, config.stage, cache, pixels=config.needs_pixels, on_clip=_look)
    if not options.resume and data.heldout is None and config.validation.every:
        print("note: nothing is held out to measure with; data.heldout=1 holds out a clip", file=sys.stderr)
    flush_denormals()
    stop = _StopOnSignal()
    resume = options.resume
    done = train(config, model, data.train, data.heldout, resume=resume, on_step=_show, should_stop=stop)
    if int(os.environ.get("RANK", 0)) == 0:
        if done.path is not None:
            say(done.path)
        if not done.finished:
            print(f"stopped after step {done.step} of {config.steps}; go on with --resume auto")


def _look(done: int, total: int, name: str) -> None:
    print(f"clip {done + 1}/{total}  {name}", file=sys.stderr, flush=True)


def _assignments(options: argparse.Namespace) -> list[tuple[str, str]]:
    pairs = [("data.source", options.data)] if options.data else []
    for text in options.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise IVGError(f"--set {text} assigns nothing: write --set steps=200.")
        pairs.append((key.strip(), value))
    return pairs


def _load(config: TrainConfig) -> IVGModel:
    import torch

    from ..checkpoints.load import load_model

    # What is frozen may be kept in 16 bits; what is trained may not.
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(config.precision)
    dtype = half if half is not None and config.method == "lora" else torch.float32
    return load_model(config.model, dtype=dtype)


def _show(step: int, total: int, figures: dict[str, float]) -> None:
    names = ("loss", "noise", "motion", "miou", "hands", "heldout", "seconds")
    shown = "  ".join(f"{name} {figures[name]:.4g}" for name in names if name in figures)
    print(f"step {step}/{total}  {shown}", file=sys.stderr, flush=True)


class _StopOnSignal:
    """True once Ctrl-C was pressed or the process was asked to end; a second Ctrl-C works as ever."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("stopping after this step; what was learned is saved (Ctrl-C again stops at once)", file=sys.stderr)

    def __call__(self) -> bool:
        return self.asked
