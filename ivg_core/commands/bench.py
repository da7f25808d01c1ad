"""`bench-rom`: measure, and record the figures."""

from __future__ import annotations

import argparse
from pathlib import Path

from .shared import command, load, model_options, say


def add(commands) -> None:
    """Add the commands to the parser."""
    bench = command(
        commands,
        "bench-rom",
        _bench_rom,
        "measure predicted masks on held-out drawn scenes beside baselines",
        model_options(),
    )
    bench.add_argument("--scenes", type=int, default=200, help="how many held-out scenes")
    bench.add_argument("--record", type=Path, help="benchmarks folder to record the figures in")


def _bench_rom(options: argparse.Namespace) -> None:
    from ..bench.record import record
    from ..bench.rom import bench_rom

    figures = bench_rom(load(options), options.scenes)
    for name, value in figures.items():
        print(f"{name:24} {value:.4g}")
    if options.record:
        say(record(options.record, "rom", figures))
