"""This process among several that share the work by their numbers alone."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..errors import IVGError

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """One of several shares of the same work.

    The processes never speak to each other, so that machines may come late, leave early or die.
    """

    number: int = 0  # from 0
    count: int = 1

    def of(self, things: Sequence[T]) -> list[T]:
        """Every count-th thing, from the number-th on."""
        return list(things[self.number :: self.count])


WHOLE = Shard()


def read_shard(text: str) -> Shard:
    """A share as people and Slurm's arrays number them: 0/4 to 3/4, or 1/4 to 4/4, which is the same share as 0/4.

    Raises:
        IVGError: something else stands there.
    """
    parts = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    number, count = (int(parts[1]), int(parts[2])) if parts else (1, 0)
    if number > count or not count:
        raise IVGError(f"{text!r} is no share: number the shares of four 0/4 to 3/4, or 1/4 to 4/4 (= 0/4).")
    return Shard(number % count, count)


def this_process(device: str = "cpu", asked: Shard | None = None) -> tuple[Shard, str]:
    """The share of this process.

    Args:
        device: as the user chose it; "cuda" becomes this process's own GPU among those of a launcher.
        asked: what the user says; None: what `accelerate launch`, torchrun or another launcher says by the variables
            RANK and WORLD_SIZE, or everything.

    Returns:
        The share, and the device.

    Raises:
        IVGError: the variables are no such numbers, or say something else than the user.
    """
    rank, world, local = (os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    try:
        launched, gpu = Shard(int(rank or 0), int(world or 1)), int(local or 0)
    except ValueError:
        launched, gpu = Shard(-1), 0
    if not 0 <= launched.number < launched.count:
        raise IVGError(
            f"This process is number {rank} of {world}, say RANK and WORLD_SIZE: number them from 0 to WORLD_SIZE - 1."
        )
    if launched.count == 1:
        return asked or WHOLE, device
    if asked and asked != launched:
        raise IVGError(
            f"This process is asked for the share {asked.number}/{asked.count}, and its launcher says "
            f"{launched.number}/{launched.count} (RANK/WORLD_SIZE): leave one of them out."
        )
    return launched, f"cuda:{gpu}" if device == "cuda" else device
