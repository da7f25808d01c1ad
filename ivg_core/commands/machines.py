"""What commands share that many processes or machines can do together."""

from __future__ import annotations

import argparse

from ..cluster.ray_cluster import LOCAL, read_address
from ..cluster.shard import WHOLE, Shard, read_shard, this_process
from ..errors import IVGError
from .kinds import kind


def machine_options() -> argparse.ArgumentParser:
    """Who does the work; `shard_of` and `options.ray`, the address of a cluster, say it."""
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("several machines that share the folders")
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--shard",
        type=kind(read_shard),
        metavar="I/N",
        help="do only this share of the work, 0/4 to 3/4 or 1/4 to 4/4; in a Slurm array "
        "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT",
    )
    either.add_argument(
        "--ray",
        type=kind(read_address),
        nargs="?",
        const=LOCAL,
        metavar="ADDRESS",
        help='let the machines of a Ray cluster do the work, "auto" or host:port of its head (default: all of this '
        "machine); each worker takes a GPU, or as many CPUs as OMP_NUM_THREADS says",
    )
    return options


def shard_of(options: argparse.Namespace) -> Shard:
    """The share of this process, all if Ray hands the work out.

    `options.device` becomes this process's own, which is looked for here: only now is known that it is not a worker of
    Ray that computes. So --device is a mere text (`a_text`) where this is called, before any work.

    Raises:
        IVGError: this process has no such device; or --shard or --ray and a launcher say different things.
    """
    shard, device = this_process(options.device, options.shard)
    if options.ray:
        if shard != WHOLE:
            raise IVGError("Ray hands out the work itself: give --ray without accelerate, torchrun and the like.")
        return WHOLE
    if device != "cpu":
        from ..devices import usable_device

        usable_device(device)
    options.device = device
    return shard
