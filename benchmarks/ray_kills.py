"""A batch of 200 items on a Ray cluster of three nodes in this machine, of which two are killed at random moments while
one is added: is anything lost, done twice, or other than in a plain run? And what does Ray cost where nothing happens?

    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/ray_kills.py [--rounds 5] [--record benchmarks]

Model and items are those of benchmarks/batch.py, so that most kills fall between reading, drawing masks, encoding,
renaming and noting. Each node has one CPU. What Ray costs is measured with one worker and no kills, in rounds that
take turns with plain runs of the same items; a run's time is that from its first video to its last, so that start-up is
apart. The items are as short as can be, which is the worst case: what Ray costs, it costs for each item. Other work of
the machine moves `overhead`; it does not move `overhead_between_items`, which compares how much longer each run took
than the items in it were at work.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from ray.cluster_utils import Cluster

from benchmarks.batch import make_table, results, start
from benchmarks.record import record_options, report
from ivg_core.batch.journal import DONE, FAILED, STARTED
from ivg_core.batch.table import Item

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


def plain_run(table: Path, out: Path) -> tuple[float, float]:
    """Seconds from the first video to the last, and those of them in which items were being made."""
    if start(table, out).wait():
        raise SystemExit(f"the plain run in {out} failed")
    return between(out), at_work(out)


def ray_run(table: Path, out: Path) -> tuple[float, float]:
    """The same with one worker."""
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    ended = start(table, out, "--ray", cluster.address).wait()
    cluster.shutdown()
    if ended:
        raise SystemExit(f"the run on Ray in {out} failed")
    return between(out), at_work(out)


def between(out: Path) -> float:
    times = [time for _, time in results(out).values()]
    return (max(times) - min(times)) / 1e9


def at_work(out: Path) -> float:
    """Seconds in which items were being made, but for the first."""
    events = [event for event in events_of(out) if event["status"] == DONE]
    return sum(event["seconds"] for event in events[1:])


def events_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def run_with_kills(table: Path, out: Path, count: int, rng: random.Random) -> dict[str, float]:
    """Two of three nodes are killed and one is added, each when a random number of items is done."""
    cluster = Cluster(initialize_head=True, head_node_args=NODE)  # this process's own node must live
    victims = [cluster.add_node(**NODE) for _ in range(2)]
    kill, add = "kill", "add"
    moments = sorted(zip(rng.sample(range(count // 20, count * 3 // 4), 3), (kill, kill, add), strict=True))
    process = start(table, out, "--ray", cluster.address)
    seen: dict[str, tuple[int, int]] = {}
    replaced = killed = added = 0
    began = time.monotonic()
    while process.poll() is None:
        now = results(out)
        replaced += sum(now.get(name) != state for name, state in seen.items())
        seen = now
        if moments and len(seen) >= moments[0][0]:
            at, what = moments.pop(0)
            time.sleep(rng.uniform(0, 0.5))
            print(f"{what} a node after {at} items", flush=True)
            if what == kill:
                cluster.remove_node(victims.pop(rng.randrange(len(victims))), allow_graceful=False)
                killed += 1
            else:
                cluster.add_node(**NODE)
                added += 1
        time.sleep(0.02)
    seconds = time.monotonic() - began
    now = results(out)
    replaced += sum(now.get(name) != state for name, state in seen.items())
    cluster.shutdown()
    return {"nodes_killed": killed, "nodes_added": added, "replaced": replaced, "seconds": round(seconds, 1)}


def compare(items: list[Item], out: Path, plain: Path, replaced: float) -> dict[str, float]:
    """What the journal and the videos say."""
    events = events_of(out)
    done = collections.Counter(event["name"] for event in events if event["status"] == DONE)
    made = {item.name: out / f"{item.name}.mp4" for item in items}
    there = {name: path for name, path in made.items() if path.is_file()}
    return {
        "lost": len(made.keys() - there.keys()) + len(made.keys() - done.keys()),
        "repeated": replaced + sum(count - 1 for count in done.values()),
        "different": differing([item for item in items if item.name in there], out, plain),
        "begun_again": sum(event["status"] == STARTED for event in events) - len(items),
        "found_after_the_kill": sum(bool(event.get("recovered")) for event in events),
        "failed": sum(event["status"] == FAILED for event in events),
        "leftovers": len([path for path in out.rglob(".*") if path.is_file()]),
    }


def differing(items: list[Item], out: Path, plain: Path) -> int:
    """How many videos have other bytes than those of the plain run."""
    return sum((out / f"{i.name}.mp4").read_bytes() != (plain / f"{i.name}.mp4").read_bytes() for i in items)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[record_options()]
    )
    parser.add_argument("--rounds", type=int, default=5, help="of plain runs and runs on Ray, which take turns")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ivg-ray-"))
    items = make_table(folder, 50)
    table = folder / "table.csv"
    taken: dict[str, list[tuple[float, float]]] = {"plain": [], "ray": []}
    for number in range(options.rounds):
        for name, run in sorted({"plain": plain_run, "ray": ray_run}.items(), reverse=number % 2 > 0):
            taken[name].append(run(table, folder / f"{name}-{number}"))
            print(f"{name}: {taken[name][-1][0]:.1f} s, {taken[name][-1][1]:.1f} s of them at work", flush=True)
    disturbed = run_with_kills(table, folder / "out", len(items), random.Random(options.seed))
    found = compare(items, folder / "out", folder / "plain-0", disturbed.pop("replaced"))
    rounds = list(zip(taken["plain"], taken["ray"], strict=True))
    figures = {
        "items": len(items),
        **disturbed,
        **found,
        "overhead": statistics.median(ray / plain for (plain, _), (ray, _) in rounds) - 1,
        "overhead_between_items": statistics.median(
            (ray / ray_work) / (plain / plain_work) for (plain, plain_work), (ray, ray_work) in rounds
        )
        - 1,
        "rounds": len(rounds),
        "plain_seconds": round(statistics.median(plain for plain, _ in taken["plain"]), 1),
        "ray_seconds": round(statistics.median(ray for ray, _ in taken["ray"]), 1),
        "different_with_one_worker": differing(items, folder / "ray-0", folder / "plain-0"),
    }
    report(options, "ray", figures)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
