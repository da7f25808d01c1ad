"""`bench-fast`: measure what the fast modes give and cost, and record the figures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .shared import command, load, model_options, say


def add(commands) -> None:
    """Add the command to the parser."""
    text = "measure the fast modes of sampling on held-out drawn scenes, beside full sampling"
    bench = command(commands, "bench-fast", _bench_fast, text, model_options())
    bench.add_argument("--scenes", type=int, default=12, help="how many held-out scenes")
    bench.add_argument("--record", type=Path, help="benchmarks folder to record the figures in")


def _bench_fast(options: argparse.Namespace) -> None:
    from ..bench.fast import bench_fast
    from ..bench.record import record

    figures = bench_fast(load(options), options.scenes)
    print(json.dumps(figures, indent=1))
    if options.record:
        say(record(options.record, "fast", figures))
