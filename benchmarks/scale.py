"""Where batches end: 1,000 simulated workers on the real journals, the real driver of Ray batches and the real page.

    PYTHONPATH=. python benchmarks/scale.py [--items 10000] [--record benchmarks]

Ray, the machines and the clock are simulated: a video takes a time drawn around its mean, and the clock goes on by that
or, while the driver works, by what this really takes here: its processor seconds, so that other programs do not count,
and the time for which it waits for the disk (fsync). All else is what a batch runs: `run_batch_on_ray` with its pool
and its journal on the disk, `begin` of one process among 1,000, `write_page`. The results are one real video and
thumbnail under as many names. What Ray itself takes for a task is not in the figures.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from benchmarks.record import record_options, report
from ivg_core.batch import course, on_ray
from ivg_core.batch.journal import DONE, STARTED, Journal, read_journal
from ivg_core.batch.page import save_thumbnail, write_page
from ivg_core.batch.run import BatchSettings, begin
from ivg_core.batch.table import Item
from ivg_core.cluster import pool
from ivg_core.cluster.shard import Shard
from ivg_core.media.video import read_video
from ivg_core.synthetic.export import export_scenes

WORKERS = 1000
PHOTOS = 100
SPREAD = 0.3  # of a video's seconds: log-normal, as machines differ


class Clock:
    """Simulated seconds, which also go on by what the driver really takes, on the processor and for the disk.

    Args:
        counts: whether they do; else the driver takes no time.
    """

    def __init__(self, counts: bool) -> None:
        self._skipped = self._disk = 0.0
        self._fsync, self.counts = os.fsync, counts

    def worked(self) -> float:
        return time.process_time() + self._disk

    def monotonic(self) -> float:
        return self._skipped + (self.worked() if self.counts else 0.0)

    def wait_until(self, moment: float) -> None:
        self._skipped += max(0.0, moment - self.monotonic())

    def fsync(self, file: int) -> None:
        began, busy = time.perf_counter(), time.process_time()
        self._fsync(file)
        self._disk += time.perf_counter() - began - (time.process_time() - busy)


class SimulatedRay:
    """As much of the package `ray` as the pool calls."""

    class exceptions:
        class RayError(Exception): ...

        class RayActorError(RayError): ...

    def __init__(self, clock: Clock, seconds: float, make: Callable[[Item], dict[str, str]], deaths: float, seed: int):
        self.clock, self.seconds, self.make, self.deaths = clock, seconds, make, deaths
        self.rng = random.Random(seed)
        self.due: list[tuple[float, int]] = []  # of what is under way
        self.given: dict[int, tuple[str, Any]] = {}
        self.worked = self.span = self.driver = self.pages = 0.0
        self.died = 0

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": f"{n:056x}", "NodeManagerHostname": f"machine-{n}", "Resources": {"CPU": 1.0}, "Alive": True}
            for n in range(WORKERS)
        ]

    def remote(self, _worker: type) -> Any:
        def call(kind: str) -> Any:
            return SimpleNamespace(remote=lambda *words: self._begin(kind, words[0]))

        actor = SimpleNamespace(begin=call("begin"), do=call("do"))
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: actor))

    def kill(self, _actor: Any) -> None: ...

    def _begin(self, kind: str, what: Any) -> int:
        number, takes = len(self.given), self.rng.uniform(20, 60)  # to load a model
        if kind == "do":
            takes = self.seconds * self.rng.lognormvariate(0, SPREAD)
            if self.rng.random() < self.deaths:
                kind, takes = "death", takes * self.rng.random()
            self.worked += takes
        self.given[number] = kind, (what, takes)
        heapq.heappush(self.due, (self.clock.monotonic() + takes, number))
        return number

    def wait(self, _busy: list[int], timeout: float) -> tuple[list[int], None]:
        moment, number = self.due[0]
        if moment - self.clock.monotonic() > timeout:
            self.clock.wait_until(self.clock.monotonic() + timeout)
            return [], None
        self.clock.wait_until(moment)
        heapq.heappop(self.due)
        return [number], None

    def get(self, number: int) -> Any:
        kind, (what, takes) = self.given[number]
        if kind == "death":
            self.died += 1
            raise self.exceptions.RayActorError
        return ("", []) if kind == "begin" else (self.make(what), "", takes, [])


def make_items(folder: Path, count: int) -> list[Item]:
    """Videos of 100 photos, told apart by their seeds."""
    export_scenes(folder, range(PHOTOS), (192, 128), 2)
    photos = sorted((folder / "source").iterdir())
    return [Item(photos[n % PHOTOS], "pick up the knife", n // PHOTOS) for n in range(count)]


class Results:
    """What the workers write into the folder: under every name the same bytes."""

    def __init__(self, work: Path):
        export_scenes(work, [0], (192, 128), 16)
        [video] = (work / "target").iterdir()
        frames, fps = read_video(video)
        self.video, self.thumbnail = video, work / "one.webp"
        save_thumbnail(frames, fps, self.thumbnail)

    def make(self, folder: Path, item: Item) -> dict[str, str]:
        (folder / "thumbnails").mkdir(parents=True, exist_ok=True)
        names = {"file": f"{item.name}.mp4", "thumbnail": f"thumbnails/{item.name}.webp"}
        os.symlink(self.video, folder / names["file"])
        os.symlink(self.thumbnail, folder / names["thumbnail"])
        return names


def took(work: Callable[[], object]) -> float:
    """The processor's seconds; the folders are in the memory of the file system."""
    began = time.process_time()
    work()
    return time.process_time() - began


def lost_and_repeated(items: list[Item], folder: Path) -> tuple[int, int]:
    """Items that no journal calls done, and items that one calls done twice."""
    states = read_journal(folder)
    lines = (folder / "results.jsonl").read_text("utf-8").splitlines()
    done = Counter(line.split('"', 4)[3] for line in lines if f'"status": "{DONE}"' in line)
    return sum(states[item.name].status != DONE for item in items), sum(count > 1 for count in done.values())


def on_simulated_ray(
    items: list[Item], folder: Path, results: Results, seconds: float, deaths: float, counts: bool = True
) -> SimulatedRay:
    """`run_batch_on_ray` with 1,000 workers: what they did, and the driver, whose time counts or not."""
    clock = Clock(counts)
    ray = SimulatedRay(clock, seconds, lambda item: results.make(folder, item), deaths, seed=0)
    timed = SimpleNamespace(monotonic=clock.monotonic)

    @contextmanager
    def cluster(_address: str):
        yield ray

    def page(of: Path) -> Path:
        if not counts:  # it would take no time, and so be written every 10 items
            return of
        began = clock.worked()
        written = write_page(of)
        ray.pages += clock.worked() - began
        return written

    began, worked = clock.monotonic(), clock.worked()
    with (
        mock.patch.object(pool, "ray_cluster", cluster),
        mock.patch.object(pool, "time", timed),
        mock.patch.object(course, "time", timed),
        mock.patch.object(course, "write_page", page),
        mock.patch("os.fsync", clock.fsync),
    ):
        on_ray.run_batch_on_ray(_nothing, items, folder, BatchSettings(), address="local", device="cpu")
    ray.span, ray.driver = clock.monotonic() - began, clock.worked() - worked
    return ray


def _nothing() -> Any:
    raise AssertionError("simulated workers load no model")


def a_thousand_processes(items: list[Item], folder: Path, results: Results) -> dict[str, float]:
    """`--shard 7/1000` where the 1,000 processes have made half of the items; their journals are on the disk."""
    for number in range(WORKERS):
        mine = Shard(number, WORKERS).of(items)
        with Journal(folder, number) as journal, mock.patch("os.fsync"):
            for item in mine[: len(mine) // 2]:
                journal.write(item, STARTED)
                journal.write(item, DONE, **results.make(folder, item), seconds=60.0)
    figures = {"journals_read_seconds": took(lambda: read_journal(folder))}
    mine = Shard(7, WORKERS).of(items)
    with Journal(folder, 7) as journal:
        figures["shard_begins_seconds"] = took(lambda: begin(journal, mine, BatchSettings()))
    with Journal(folder) as journal:
        figures["whole_begins_seconds"] = took(lambda: begin(journal, items, BatchSettings()))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, parents=[record_options()])
    parser.add_argument("--items", type=int, default=10_000, help="of the simulated Ray batch")
    parser.add_argument("--seconds", type=float, default=60.0, help="that a video takes")
    parser.add_argument("--deaths", type=float, default=0.001, help="share of the items at which a worker dies")
    options = parser.parse_args()
    figures: dict[str, float] = {"workers": WORKERS, "items": options.items, "item_seconds": options.seconds}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        results = Results(work / "one")
        items = make_items(work / "photos", options.items)
        with Journal(work / "fsync") as journal:
            figures["journal_line_milliseconds"] = (
                took(lambda: [journal.write(items[0], STARTED) for _ in range(500)]) * 2
            )
        ray = on_simulated_ray(items, work / "ray", results, options.seconds, options.deaths)
        figures["workers_died"] = ray.died
        figures["lost"], figures["repeated"] = lost_and_repeated(items, work / "ray")
        figures["driver_milliseconds_an_item"] = 1000 * (ray.driver - ray.pages) / options.items
        figures["pages_milliseconds_an_item"] = 1000 * ray.pages / options.items
        figures["batch_seconds"] = ray.span
        figures["workers_busy"] = ray.worked / WORKERS / ray.span
        ideal = on_simulated_ray(items, work / "ideal", results, options.seconds, options.deaths, counts=False)
        figures["batch_seconds_if_the_driver_took_none"] = ideal.span
        figures["page_seconds"] = took(lambda: write_page(work / "ray"))
        figures["page_megabytes"] = (work / "ray" / "index.html").stat().st_size / 1e6
        many = make_items(work / "many", 100_000)
        figures |= a_thousand_processes(many, work / "shards", results)
    report(options, "scale", figures)


if __name__ == "__main__":
    main()
