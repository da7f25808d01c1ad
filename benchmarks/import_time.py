"""How many seconds this pack adds to ComfyUI's start: a real ComfyUI is started with and without it, in turns.

    COMFYUI_PATH=… PYTHONPATH=.:tests python benchmarks/import_time.py [--starts 5]

Writes benchmarks/results/import.json: medians in seconds from the start of the process until the server answers, and
the pack's own line of ComfyUI's "Import times for custom nodes", which has one decimal.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import statistics

from benchmarks.record import record
from comfy_harness import ComfyServer, installed_comfyui

ROOT = pathlib.Path(__file__).resolve().parents[1]


def start(packs: list[pathlib.Path]) -> tuple[float, float]:
    """Seconds until ComfyUI answers, and the seconds that it says the packs took."""
    comfyui, python = installed_comfyui() or (None, None)
    if comfyui is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    with ComfyServer(comfyui, packs, python=python) as server:
        if server.import_problems():
            raise SystemExit("\n".join(server.import_problems()))
        said = re.findall(rf"([\d.]+) seconds: .*/{re.escape(ROOT.name)}$", server.log_text(), re.MULTILINE)
        return server.startup_seconds, sum(map(float, said))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5, help="starts with the pack, and as many without")
    starts = parser.parse_args().starts
    start([ROOT])  # compiles what is not compiled yet
    rounds = [(start([]), start([ROOT])) for _ in range(starts)]
    without, with_pack = (statistics.median(pair[i][0] for pair in rounds) for i in (0, 1))
    figures = {
        "added_seconds": round(with_pack - without, 2),
        "seconds_with_pack": round(with_pack, 2),
        "seconds_without_pack": round(without, 2),
        "seconds_said_by_comfyui": max(pair[1][1] for pair in rounds),
        "starts": starts,
    }
    print(record(ROOT / "benchmarks", "import", figures).read_text())


if __name__ == "__main__":
    main()
