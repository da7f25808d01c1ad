"""`train`: a LoRA or the model itself, from your clips."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import IVGError
from ..media.targets import check_folder, user_path
from .kinds import a_path, new_folder
from .shared import flush_denormals, plugin_option, say

if TYPE_CHECKING:
    from ..cluster.shard import Shard
    from ..models.bundle import IVGModel
    from ..training.config import TrainConfig
    from ..training.data.settings import DataSettings

EPILOG = """\
examples:
  python -m ivg_core train --show stage2-lora-hands > my.yaml
      every setting with its meaning; change what you like, and train with --config my.yaml
  python -m ivg_core train --preset stage2-lora-hands --data my_clips --model models/IVG.1.0 --dry-run
      what would be trained on: clips, captions, masks, and which clips are left out and why
  python -m ivg_core train --preset stage2-lora-hands --data my_clips --model models/IVG.1.0 --out out/stirring
      train; Ctrl-C saves and stops, a second one stops at once
  python -m ivg_core train --preset stage2-lora-hands --data my_clips --model models/IVG.1.0 --out out/stirring \\
      --resume auto --set steps=800
      go on where it was stopped, or killed, to step 800
  tensorboard --logdir out/stirring/log
      watch a run that was started with --set log=tensorboard; its figures also are in out/stirring/losses.jsonl, its
      settings in config.yaml, and what each start ran with, and on which clips, in run.json
  python -m ivg_core train --config my.yaml --plugin my_losses.py
      with losses of your own, which my_losses.py gives a name by ivg_core.register_loss; my.yaml: losses: {mine: 1}
  accelerate launch --multi_gpu --num_processes 2 -m ivg_core train --config my.yaml
      on several GPUs; with ACCELERATE_USE_CPU=true on several processors; several machines: docs/scale.md
"""


#: Figures of a step that losses.jsonl alone holds: how it was stepped, and not what was lost.
NOT_SHOWN = {"rate", "grad_norm"}


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
    settings_options(train).add_argument(
        "--show",
        metavar="PRESET",
        help="print a preset or a yaml with what every setting means, also those left at their defaults, and end",
    )
    train.add_argument("--resume", help='"auto", or a folder checkpoint-…: go on from there')
    train.add_argument("--dry-run", action="store_true", help="report on the data and train nothing")


def settings_options(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """The settings of a training, which `read_settings` reads; the group of those that name them."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=a_path, help="yaml of settings")
    source.add_argument("--preset", help=f"one of {', '.join(_presets())}")
    parser.add_argument(
        "--data",
        help="folder of clips, one clip, or a json list; needed with --preset, and replaces a yaml's data.source",
    )
    parser.add_argument("--model", help='checkpoint to train on; replaces model ("embedded" if the yaml names none)')
    parser.add_argument("--out", help="folder of the run; replaces out")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace a setting, such as steps=200 or "
        "lora.spatial.rank=8; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--cache",
        type=new_folder,
        metavar="FOLDER",
        help="where prepared clips are kept, for as many trainings as you like; replaces data.cache (default: in the "
        "folder of the run)",
    )
    plugin_option(parser)
    return source


def _presets() -> list[str]:
    # Without importing the library's training: `--help` must not load torch.
    return sorted(path.stem for path in (Path(__file__).parents[1] / "training" / "presets").glob("*.yaml"))


def _train(options: argparse.Namespace) -> None:
    from ..training.boards import check_board
    from ..training.data.beforehand import prepare_share
    from ..training.data.dataset import load_data, survey
    from ..training.engine import prepare_together, process_device
    from ..training.resume import checkpoint_to_resume
    from ..training.trainer import train

    if options.show:
        from ..training.explain import show

        print(show(options.show, options.plugin), end="")
        return
    config, settings = read_settings(options)
    check_board(config)
    if not options.dry_run:
        checkpoint_to_resume(user_path(config.out), options.resume)
    model = load_to_train(config)
    if options.dry_run:
        report = survey(settings, model, config.stage, on_clip=look)
        print(report)
        report.check_usable()
        return
    cache = Path(config.out) / "cache"
    pixels = config.needs_pixels

    def work(shard: Shard) -> Iterator[Any]:
        return prepare_share(settings, model, config.stage, cache, pixels=pixels, shard=shard, on_clip=look)

    model.work_device = process_device(config)
    with model.at_work(model.vae, model.text_encoder):
        together = prepare_together(config, work)  # then all find everything in the cache
        data = load_data(settings, model, config.stage, cache, pixels=pixels, on_clip=None if together else look)
    model.work_device = None
    if not options.resume and data.heldout is None and config.validation.every:
        print("note: nothing is held out to measure with; data.heldout=1 holds out a clip", file=sys.stderr)
    flush_denormals()
    stop = _StopOnSignal()
    resume = options.resume
    record = {"data": data.report.to_dict()}
    done = train(config, model, data.train, data.heldout, resume=resume, on_step=_show, should_stop=stop, record=record)
    if int(os.environ.get("RANK", 0)) == 0:
        if done.path is not None:
            say(done.path)
        if not done.finished:
            print(f"stopped after step {done.step} of {config.steps}; go on with --resume auto")


def read_settings(options: argparse.Namespace) -> tuple[TrainConfig, DataSettings]:
    """What `settings_options` were given.

    Raises:
        IVGError: there is no such yaml, something in it cannot be, or there is nothing to train on.
    """
    from ..settings import from_mapping
    from ..training.config import read_config
    from ..training.data.settings import DataSettings

    overrides = {key: value for key in ("model", "out") if (value := getattr(options, key))}
    config = read_config(options.config or options.preset, overrides, _assignments(options), options.plugin)
    if not config.data.get("source"):
        raise IVGError(
            "There is nothing to train on: give your clips with --data, a folder of clips with captions in .txt files, "
            "one clip, or a .json list."
        )
    check_folder(user_path(config.out))
    settings = from_mapping(DataSettings, config.data, "data")
    return config, replace(settings, cache=str(options.cache)) if options.cache else settings


def look(done: int, total: int, name: str) -> None:
    """Says which clip is looked at."""
    print(f"clip {done + 1}/{total}  {name}", file=sys.stderr, flush=True)


def _assignments(options: argparse.Namespace) -> list[tuple[str, str]]:
    pairs = [("data.source", options.data)] if options.data else []
    for text in options.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise IVGError(f"--set {text} assigns nothing: write --set steps=200.")
        pairs.append((key.strip(), value))
    return pairs


def load_to_train(config: TrainConfig, device: str = "cpu") -> IVGModel:
    """The model of a training, in the number format that the training keeps it in."""
    import torch

    from ..checkpoints.load import load_model

    # What is frozen may be kept in 16 bits; what is trained may not.
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(config.precision)
    dtype = half if half is not None and config.method == "lora" else torch.float32
    return load_model(config.model, dtype=dtype, device=device)


def _show(step: int, total: int, figures: dict[str, float]) -> None:
    shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items() if name not in NOT_SHOWN)
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
