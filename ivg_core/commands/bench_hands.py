"""`bench-handscore` and `bench-annotate`: measure what is made from hands, and record the figures."""

from __future__ import annotations

import argparse
from pathlib import Path

from .shared import command, say


def add(commands) -> None:
    """Add the commands to the parser."""
    score = command(commands, "bench-handscore", _handscore, "measure whether the hand score notices made-up faults")
    score.add_argument("--clips", type=int, default=24, help="how many drawn clips")
    score.add_argument("--media", type=Path, help="folder of real clips to measure too")
    annotate = command(commands, "bench-annotate", _annotate, "measure pseudo masks against exact ones of drawn clips")
    annotate.add_argument("--clips", type=int, default=100, help="how many drawn clips")
    for bench in (score, annotate):
        bench.add_argument("--record", type=Path, help="benchmarks folder to record the figures in")


def _handscore(options: argparse.Namespace) -> None:
    from ..bench.handscore import bench_handscore

    _show(options, "handscore", bench_handscore(options.clips, options.media))


def _annotate(options: argparse.Namespace) -> None:
    from ..bench.annotate import bench_annotate

    _show(options, "annotate", bench_annotate(options.clips))


def _show(options: argparse.Namespace, name: str, figures: dict[str, float]) -> None:
    from ..bench.record import record

    for key, value in figures.items():
        print(f"{key:32} {value:.4g}")
    if options.record:
        say(record(options.record, name, figures))
