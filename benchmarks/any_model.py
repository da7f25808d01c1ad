"""The paper's two stages on ComfyUI's video models: is training what sampling is, does it learn, does it generalise?

    COMFYUI_PATH=… PYTHONPATH=.:tests python benchmarks/any_model.py [--toy FILE] [--scenes FILE]

Writes benchmarks/results/any_model.json. Over the families that can be trained, with tiny random networks of core's
real classes: the largest difference of what the network is asked in training to what core's sampler asks it, of the
gradient to finite differences (a share), and of the trained network to the base with the LoRA's file loaded by core.
On a toy (core_toy.py, minutes) the region's IoU at its worst. On drawn scenes (core_scenes.py, hours) that of held-out
scenes with and without the LoRA, and how often the region follows another sentence. FILE is what these two printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.record import record
from comfy_harness import installed_comfyui, told_by

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", type=Path, help="what core_toy.py printed; without, it is run")
    parser.add_argument("--scenes", type=Path, help="what core_scenes.py printed; without, it is run")
    options = parser.parse_args()
    if installed_comfyui() is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    families = told_by(ROOT / "tests" / "comfyui" / "core_backbone_in_core.py")["families"].values()
    toy, scenes = printed_by("core_toy.py", options.toy), printed_by("core_scenes.py", options.scenes)
    regions = {who: [of[f"rom_{who}_{way}"] for of in toy.values() for way in WAYS] for who in ("with", "without")}
    figures = {
        "families": len(families),
        "parity_worst": max(of["parity"]["inputs"] for of in families),
        "slope_worst": max(abs(of["slope"]["said"] / of["slope"]["measured"] - 1) for of in families),
        "lora_roundtrip_worst": max(of["file"]["off"] for of in families),
        "toy_rom_iou": min(regions["with"]),
        "toy_rom_iou_without": max(regions["without"]),
        **{name: value for name, value in scenes.items() if isinstance(value, int | float)},
    }
    print(record(ROOT / "benchmarks", "any_model", figures).read_text())


WAYS = ("right", "left")


def printed_by(script: str, file: Path | None) -> dict[str, Any]:
    """The JSON in the last line of what a script prints, run by ComfyUI's Python, or printed before."""
    if file is not None:
        return json.loads(file.read_text().splitlines()[-1])
    path, python = installed_comfyui()
    done = subprocess.run([python, ROOT / "benchmarks" / script, path], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
