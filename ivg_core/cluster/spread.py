"""Work that others do: what a library function hands its tasks to, and Ray as one of those."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..errors import IVGError
from .pool import Outcome, place_of, run_on_ray

T = TypeVar("T")
R = TypeVar("R")

#: Does the tasks given, in any order and anywhere, and calls the function with each and its result as it is done.
Spread = Callable[[Sequence[T], Callable[[T, R], None]], None]


def over_ray(
    load: Callable[[], Callable[[T], R]], name: Callable[[T], str], address: str, device: str = "cpu"
) -> Spread[T, R]:
    """Tasks are done by the workers of a Ray cluster, and who begins what is told on stderr.

    Args:
        load, address, device: see `run_on_ray`.
        name: of a task, for people.

    Returns:
        A `Spread`. It raises IVGError as `run_on_ray` does, and in the end if any task has failed.
    """

    def spread(tasks: Sequence[T], done: Callable[[T, R], None]) -> None:
        failed: list[str] = []

        def start(task: T, machine: str, workers: int) -> None:
            print(name(task), place_of(machine, workers), file=sys.stderr, flush=True)

        def end(task: T, outcome: Outcome[R]) -> None:
            outcome.warn(name(task))
            if outcome.error or outcome.result is None:
                failed.append(f"{name(task)} on {outcome.machine}: {outcome.error.rstrip('.')}.")
            else:
                done(task, outcome.result)

        run_on_ray(tasks, load, on_done=end, on_start=start, address=address, device=device)
        if failed:
            raise IVGError(
                f"{len(failed)} of {len(tasks)} failed, the first was {failed[0]} Mend it and run the same command "
                "again: what is done is kept."
            )

    return spread
