"""`bench-rom`, `bench-ablation` and `bench-fast`: measure the embedded model, and record the figures."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from .shared import command, flush_denormals, load, model_options, record_options, report


def add(commands) -> None:
    """Add the commands to the parser."""
    bench = command(
        commands,
        "bench-rom",
        _bench_rom,
        "measure predicted masks on held-out drawn scenes beside baselines",
        model_options(),
        record_options(),
    )
    bench.add_argument("--scenes", type=int, default=200, help="how many held-out scenes")

    text = "the paper's Table 2 on exact ground truth: masks, and the hand loss, against each other"
    ablation = command(commands, "bench-ablation", _bench_ablation, text, model_options(), record_options())
    ablation.add_argument("--work", type=Path, default=Path("out/ablation"), help="folder of scenes and checkpoints")
    ablation.add_argument("--scenes", type=int, default=24, help="how many held-out scenes")
    ablation.add_argument("--seeds", type=int, default=3, help="how many repetitions")
    ablation.add_argument("--steps", type=int, default=150, help="of each training")
    ablation.add_argument(
        "--hands", type=json.loads, default="{}", metavar="JSON", help='options of the hand loss: {"weight": 3}'
    )

    text = "measure the fast modes of sampling on held-out drawn scenes, beside full sampling"
    fast = command(commands, "bench-fast", _bench_fast, text, model_options(), record_options())
    fast.add_argument("--scenes", type=int, default=12, help="how many held-out scenes")


def _bench_rom(options: argparse.Namespace) -> None:
    from ..bench.rom import bench_rom

    report(options, "rom", bench_rom(load(options), options.scenes))


def _bench_ablation(options: argparse.Namespace) -> None:
    from ..bench.ablation import Settings, bench_ablation

    flush_denormals()
    settings = Settings(steps=options.steps)
    settings = replace(settings, hands={**settings.hands, **options.hands})
    report(options, "ablation", bench_ablation(load(options), options.work, options.scenes, options.seeds, settings))


def _bench_fast(options: argparse.Namespace) -> None:
    from ..bench.fast import bench_fast

    report(options, "fast", bench_fast(load(options), options.scenes))
