"""Tasks for whatever machines a Ray cluster has: each worker gets the next one when it is free."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .. import __version__
from ..errors import IVGError, shortly
from .ray_cluster import LOCAL, Machine, Need, machines, ray_cluster
from .worker import Driver, Worker

log = logging.getLogger("ivg")

T = TypeVar("T")
R = TypeVar("R")

DEATHS = 3  # of workers at a task, after which it is given up; while loading on a machine, after which that is left out
LOOK_EVERY = 1.0  # seconds, for machines that have come
PATIENCE = 60.0  # seconds, after which it is said that no worker has begun


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """How a task ended. With neither result nor error its worker died, and `finished` says that it is done."""

    machine: str  # its host's name
    result: R | None = None
    error: str = ""  # why it failed
    seconds: float = 0.0  # that it took
    said: Sequence[str] = ()  # what was warned of meanwhile

    def warn(self, name: str) -> None:
        """Say here what was warned of there; `name` is the task's, for people."""
        for text in self.said:
            log.warning("%s: %s", name, text)


def place_of(machine: str, workers: int) -> str:
    """Where a task is begun, for people."""
    return f"on {machine}, one of {workers} worker{'s' * (workers > 1)}"


def run_on_ray(
    tasks: Sequence[T],
    load: Callable[[], Callable[[T], R]],
    *,
    on_done: Callable[[T, Outcome[R]], None],
    on_start: Callable[[T, str, int], None] | None = None,
    finished: Callable[[T], bool] = lambda task: False,
    address: str = LOCAL,
    device: str = "cpu",
) -> None:
    """Do every task once, on all machines that the cluster has or gets meanwhile.

    A worker takes one GPU, or as many CPUs as this process has torch threads, and computes with that many threads. A
    task whose worker dies goes to another one, after all the others; it fails when that was so three times. Machines
    where nothing can be loaded are left out, with a warning.

    Args:
        tasks: what can be pickled.
        load: called once in each worker, where it loads what is heavy; gives the function that does one task. It is
            pickled by its name, so it is one of a module, or a `partial` of such a one.
        on_done: called here as `on_done(task, outcome)` when a task has ended, however it ended; an exception of it
            ends the run.
        on_start: called here as `on_start(task, machine, workers)` before a task is handed out; `workers` are there.
        finished: whether the result of a task whose worker died is there all the same.
        address: of the cluster, see `read_address`.
        device: "cpu", or "cuda" for one GPU each.

    Raises:
        IVGError: Ray is not installed, there is no such cluster, or no machine of it can do the tasks.
    """
    if device not in ("cpu", "cuda"):
        raise IVGError(f"Ray cannot give out the device {device!r}: choose cpu or cuda, of which each worker gets one.")
    if not tasks:
        return
    with ray_cluster(address) as ray:
        pool: _Pool[T, R] = _Pool(ray, tasks, load, device)
        pool.on_done, pool.on_start, pool.finished = on_done, on_start, finished
        pool.run()


@dataclass(eq=False)
class _Hand:
    """A worker, as this process sees it."""

    machine: Machine
    actor: Any
    task: int | None = None  # its number; None: it loads, or is idle


class _Pool(Generic[T, R]):
    on_done: Callable[[T, Outcome[R]], None]
    on_start: Callable[[T, str, int], None] | None
    finished: Callable[[T], bool]

    def __init__(self, ray: Any, tasks: Sequence[T], load: Callable[[], Callable[[T], R]], device: str):
        import torch

        self._ray, self._tasks, self._load = ray, tasks, load
        threads = torch.get_num_threads()
        self._need = Need(0, 1) if device == "cuda" else Need(threads, 0)
        self._driver = Driver(__version__, os.getcwd(), threads)
        self._queue = deque(range(len(tasks)))
        self._open = len(tasks)  # those that have not ended
        self._deaths: Counter[int] = Counter()  # by task
        self._stillborn: Counter[str] = Counter()  # by machine
        self._out: dict[str, str] = {}  # machine -> why it is left out
        self._told: set[str] = set()  # warnings of loading
        self._busy: dict[Any, _Hand] = {}  # by what its worker will give
        self._idle: list[_Hand] = []
        self._next_look = 0.0
        self._complain_at = time.monotonic() + PATIENCE

    def run(self) -> None:
        while self._open:
            if time.monotonic() >= self._next_look:
                self._hire()
            while self._idle and self._queue:
                self._hand_out(self._idle.pop())
            ready, _ = self._ray.wait(list(self._busy), timeout=LOOK_EVERY)
            for reply in ready:
                self._take(reply)
            if time.monotonic() >= self._complain_at:
                self._complain_at = math.inf
                log.warning("No worker is ready yet: they load, or %s is taken by other work everywhere.", self._need)

    def _hire(self) -> None:
        """Start workers where there are places for them, and tasks that nobody has."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._next_look = time.monotonic() + LOOK_EVERY
        alive = machines(self._ray, self._need)
        self._idle = [hand for hand in self._idle if hand.machine in alive]  # the dead get no task
        there = {machine: machine.places for machine in alive if machine.id not in self._out}
        hands = [*self._busy.values(), *self._idle]
        for hand in hands:
            if hand.machine in there:
                there[hand.machine] -= 1
        wanted = len(self._queue) - sum(hand.task is None for hand in hands)
        for _ in range(min(wanted, sum(free for free in there.values() if free > 0))):
            machine = max(there, key=lambda machine: there[machine])  # the emptiest
            there[machine] -= 1
            where = NodeAffinitySchedulingStrategy(machine.id, soft=False)
            needs = {"num_cpus": self._need.cpus, "num_gpus": self._need.gpus, "scheduling_strategy": where}
            actor = self._ray.remote(Worker).options(**needs).remote()
            self._busy[actor.begin.remote(self._driver, self._load)] = _Hand(machine, actor)
        if not self._busy and not self._idle:
            raise IVGError(self._why_nobody())

    def _why_nobody(self) -> str:
        if self._out:
            return f"No machine can do this: {next(reversed(self._out.values()))}"
        if self._need.gpus:
            return "No machine of the cluster has a GPU: start one that has, or choose --device cpu."
        return (
            f"No machine of the cluster has {self._need}, one for each torch thread of this process: start one that "
            "has, or set OMP_NUM_THREADS to fewer."
        )

    def _hand_out(self, hand: _Hand) -> None:
        hand.task = self._queue.popleft()
        if self.on_start:
            self.on_start(self._tasks[hand.task], hand.machine.name, 1 + len(self._busy) + len(self._idle))
        self._busy[hand.actor.do.remote(self._tasks[hand.task])] = hand

    def _take(self, reply: Any) -> None:
        """What a worker gave."""
        hand = self._busy.pop(reply)
        task, hand.task = hand.task, None
        result, error, seconds, said = None, "", 0.0, ()
        try:
            if task is None:
                error, said = self._ray.get(reply)
            else:
                result, error, seconds, said = self._ray.get(reply)
        except self._ray.exceptions.RayActorError:
            self._bury(hand, task)
            return
        except self._ray.exceptions.RayError as failure:  # what cannot be sent, or is not installed there
            error = shortly(getattr(failure, "cause", None) or failure).partition(" traceback:")[0]
            if task is None:
                error = f"what is to be done is not understood there ({error}): install the same packages there."
        if task is None and error:
            self._leave_out(hand.machine, error)
            self._ray.kill(hand.actor)
            return
        self._complain_at = math.inf
        if task is None:
            self._tell_once(said)
        if self._queue:
            self._hand_out(hand)  # first, so that nobody waits for what is done with the result
        else:
            self._idle.append(hand)
        if task is not None:
            self._end(task, Outcome(hand.machine.name, result, error, seconds, said))

    def _tell_once(self, said: Sequence[str]) -> None:
        """What was warned of at loading, which is the same in every worker."""
        for text in said:
            if text not in self._told:
                self._told.add(text)
                log.warning("%s", text)

    def _bury(self, hand: _Hand, task: int | None) -> None:
        name = hand.machine.name
        self._ray.kill(hand.actor)  # it may only be out of reach
        self._next_look = 0.0  # another is needed
        if task is None:
            self._stillborn[hand.machine.id] += 1
            if self._stillborn[hand.machine.id] == DEATHS:
                self._leave_out(hand.machine, f"{DEATHS} workers died there while they loaded (is memory short?).")
        elif self.finished(self._tasks[task]):
            self._end(task, Outcome(name))
        else:
            self._deaths[task] += 1
            if self._deaths[task] == DEATHS:
                reason = f"{DEATHS} workers died at it, the last one on {name} (is memory short?)"
                self._end(task, Outcome(name, error=reason))
            else:
                log.warning("A worker on %s died: what it had begun is begun again by another.", name)
                self._queue.append(task)

    def _leave_out(self, machine: Machine, reason: str) -> None:
        self._out[machine.id] = f"{machine.name}: {reason}"
        self._next_look = 0.0
        if self._busy or self._idle:  # otherwise it is told as an error
            log.warning("A machine is left out. %s", self._out[machine.id])

    def _end(self, task: int, outcome: Outcome[R]) -> None:
        self._open -= 1
        self.on_done(self._tasks[task], outcome)
