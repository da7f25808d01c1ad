"""A batch of 100 items that is killed with SIGKILL at random moments until it is done: is anything lost, or done twice?

    PYTHONPATH=. python benchmarks/batch.py [--kills 20] [--record benchmarks]

The model is the tiny random one of the tests, and the videos are small, so that most kills fall between reading,
drawing masks, encoding, renaming and noting. Half of the items have a mask, for the other half stage 1 makes one.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ivg_core.batch.journal import DONE, FAILED
from ivg_core.batch.table import Item, read_table, write_table
from ivg_core.media.video import read_video
from ivg_core.synthetic.export import export_scenes

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "tests" / "golden" / "tiny_ckpt"
FRAMES = 3


def make_table(folder: Path, photos: int = 25) -> list[Item]:
    """Photos × 2 prompts × 2 seeds; every second photo has a mask."""
    export_scenes(folder, range(photos), (96, 64), 2)
    items = read_table(
        folder / "source",
        mask_folder=folder / "masks",
        prompts=["pick up the knife", "wipe the counter"],
        seeds=[0, 1],
    )
    items = [Item(i.image, i.prompt, i.seed, i.mask if int(i.image.stem) % 2 else None) for i in items]
    write_table(items, folder / "table.csv")
    return items


def start(table: Path, out: Path, *more: str) -> subprocess.Popen:
    words = ["batch", "--table", table, "--out", out, "--model", MODEL, "--rom-model", MODEL]
    words += ["--frames", FRAMES, "--steps", 1, "--size", "64x32", "--threshold", "0.1", *more]
    command = [sys.executable, "-m", "ivg_core", *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def results(out: Path) -> dict[str, tuple[int, int]]:
    """Result -> inode and time: both change if a file is written again."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.glob("*.mp4") if path.name[0] != "."
    }


def run_with_kills(table: Path, out: Path, kills: int, rng: random.Random) -> tuple[int, int, int]:
    """Kill and start again `kills` times, then let it end: kills, results replaced, results lost."""
    journal, seen, killed, replaced, lost = out / "results.jsonl", {}, 0, 0, 0
    while True:
        size = journal.stat().st_size if journal.exists() else 0
        process = start(table, out)
        if killed < kills:
            if rng.random() < 0.1:
                time.sleep(rng.uniform(0, 5))  # while it starts
            else:
                while process.poll() is None and (not journal.exists() or journal.stat().st_size == size):
                    time.sleep(0.002)
                time.sleep(rng.uniform(0, 1.2))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed += 1
        ended = process.wait()
        now = results(out)
        replaced += sum(now[name] != state for name, state in seen.items() if name in now)
        lost += len(seen.keys() - now.keys())
        seen = now
        if ended != -signal.SIGKILL:
            return killed, replaced, lost


def frames_of(path: Path) -> str:
    frames, _ = read_video(path)
    if len(frames) != FRAMES:
        raise ValueError(f"{path} has {len(frames)} frames")
    return hashlib.sha256(frames.numpy().tobytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--record", type=Path, help="benchmarks folder to record the figures in")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ivg-batch-"))
    items = make_table(folder)
    began = time.monotonic()
    killed, replaced, lost = run_with_kills(
        folder / "table.csv", folder / "out", options.kills, random.Random(options.seed)
    )
    seconds = time.monotonic() - began
    start(folder / "table.csv", folder / "undisturbed").wait()

    events = [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()]
    done = collections.Counter(event["name"] for event in events if event["status"] == DONE)
    made = {item.name: folder / "out" / f"{item.name}.mp4" for item in items}
    whole = {name: frames_of(path) for name, path in made.items() if path.is_file()}
    figures = {
        "items": len(items),
        "kills": killed,
        "lost": lost + len(made.keys() - whole.keys()) + len(made.keys() - done.keys()),
        "repeated": replaced + sum(count - 1 for count in done.values()),
        "different": sum(frames_of(folder / "undisturbed" / f"{name}.mp4") != digest for name, digest in whole.items()),
        "begun_again": len([e for e in events if e["status"] == "started"]) - len(items),
        "noted_after_the_kill": len([e for e in events if e.get("recovered")]),
        "failed": len([e for e in events if e["status"] == FAILED]),
        "leftovers": len([path for path in (folder / "out").rglob(".*") if path.is_file()]),
        "seconds": round(seconds, 1),
    }
    for name, value in figures.items():
        print(f"{name:24} {value}")
    if options.record:
        from benchmarks.record import record

        record(options.record, "batch", figures)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
