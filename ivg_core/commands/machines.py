"""What commands share that many processes or machines can do together."""

from __future__ import annotations

import argparse

from ..cluster.shard import Shard, read_shard, this_process
from .kinds import kind


def machine_options() -> argparse.ArgumentParser:
    """Which part of the work is done here; `shard_of` reads it."""
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("several machines that share the folders")
    group.add_argument(
        "--shard",
        type=kind(read_shard),
        metavar="I/N",
        help="do only this share of the work, 0/4 to 3/4 or 1/4 to 4/4; in a Slurm array "
        "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT",
    )
    return options


def shard_of(options: argparse.Namespace) -> Shard:
    """This process's share; `options.device` becomes its own GPU.

    Raises:
        IVGError: --shard says something else than the launcher.
    """
    shard, options.device = this_process(options.device, options.shard)
    return shard
