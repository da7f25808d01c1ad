"""`bench-handscore` and `bench-annotate`: measure what is made from hands, and record the figures."""

from __future__ import annotations

import argparse
from pathlib import Path

from .shared import command, record_options, report


def add(commands) -> None:
    """Add the commands to the parser."""
    text = "measure whether the hand score notices made-up faults"
    score = command(commands, "bench-handscore", _handscore, text, record_options())
    score.add_argument("--clips", type=int, default=24, help="how many drawn clips")
    score.add_argument("--media", type=Path, help="folder of real clips to measure too")
    text = "measure pseudo masks against exact ones of drawn clips"
    annotate = command(commands, "bench-annotate", _annotate, text, record_options())
    annotate.add_argument("--clips", type=int, default=100, help="how many drawn clips")


def _handscore(options: argparse.Namespace) -> None:
    from ..bench.handscore import bench_handscore

    report(options, "handscore", bench_handscore(options.clips, options.media))


def _annotate(options: argparse.Namespace) -> None:
    from ..bench.annotate import bench_annotate

    report(options, "annotate", bench_annotate(options.clips))
