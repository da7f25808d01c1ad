"""Image models made video models: against Gen-L-Video's own numbers, and ComfyUI's networks against the library's.

    COMFYUI_PATH=… PYTHONPATH=.:tests python benchmarks/image_models.py [FOLDER …]

FOLDER is one of tests/golden/check_relatives.py, by default the recording that is here. Writes
benchmarks/results/image_models.json: checks and how many are within their limits; and the largest difference between
what the nodes in ComfyUI and the library make of the same random weights, as a share of the largest value.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.record import record
from comfy_harness import installed_comfyui, told_by

ROOT = Path(__file__).resolve().parents[1]
#: What inflated_in_core.py compares with the library.
COMPARED = ["sampled", "windows", "lora", "control", "control_windows", "inpainting", "inpainting_windows"]
COMPARED += ["depth_windows"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[ROOT / "tests" / "golden" / "glv_more"])
    options = parser.parse_args()
    if installed_comfyui() is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    script, within, checks = ROOT / "tests" / "golden" / "check_relatives.py", 0, 0
    for folder in options.folders:
        done = subprocess.run([sys.executable, script, "genlvideo", folder], capture_output=True, text=True)
        print(done.stdout, done.stderr[-2000:] if done.returncode else "")
        counted = done.stdout.splitlines()[-1].split()  # "N of M within"
        within, checks = within + int(counted[0]), checks + int(counted[2])
    core = told_by(ROOT / "tests" / "comfyui" / "inflated_in_core.py")
    compared = {f"node_vs_library_{name}": core[name] for name in COMPARED}
    figures = {"golden_within": within, "golden_checks": checks, "node_vs_library": max(compared.values()), **compared}
    print(record(ROOT / "benchmarks", "image_models", figures).read_text())


if __name__ == "__main__":
    main()
