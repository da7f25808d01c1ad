"""Whether installing this pack changes a package that ComfyUI's environment already has.

    python benchmarks/install.py ~/ComfyUI [another ComfyUI …] [--torch torch==2.13.0 torchvision==0.28.0]

For each ComfyUI an environment is made from its own requirements.txt, then this pack's requirements.txt is installed
into it. One more holds packages of October 2025, which ComfyUI 0.3.64 still runs with; the pack is installed into it
twice, with and without what is there as constraints. Writes benchmarks/results/install.json: how many packages changed
their version or went, and how many came.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import runpy
import shutil
import subprocess
import tempfile
import venv

from benchmarks.record import record

ROOT = pathlib.Path(__file__).resolve().parents[1]
REQUIREMENTS = ["-r", str(ROOT / "requirements.txt")]
OCTOBER_2025 = (
    "numpy==1.26.4 scipy==1.13.1 pillow==11.3.0 safetensors==0.4.5 einops==0.8.0 psutil==5.9.8 pyyaml==6.0.2 "
    "transformers==4.57.1 huggingface_hub==0.35.3"
).split()


def make_environment(folder: pathlib.Path, *requirements: str) -> str:
    """The interpreter of a new environment that holds what is asked for."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install(python, "--upgrade", "pip")
    install(python, *requirements)
    return python


def install(python: str, *what: str) -> None:
    subprocess.run([python, "-m", "pip", "install", "--quiet", *what], check=True)


def packages(python: str) -> dict[str, str]:
    """Name, in one spelling, -> version of everything that is installed."""
    listed = subprocess.run([python, "-m", "pip", "list", "--format", "json"], capture_output=True, check=True)
    return {one["name"].lower().replace("_", "-"): one["version"] for one in json.loads(listed.stdout)}


def install_pack(python: str, *more: str) -> tuple[list[str], list[str]]:
    """Install the pack's requirements; gives what changed and what came, a line each."""
    before = packages(python)
    install(python, *REQUIREMENTS, *more)
    after = packages(python)
    changed = [f"{name} {old} -> {after.get(name)}" for name, old in before.items() if after.get(name) != old]
    return changed, [f"{name} {after[name]}" for name in after if name not in before]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comfyui", nargs="+", type=pathlib.Path, help="folder of a ComfyUI")
    parser.add_argument("--torch", nargs="+", default=["torch==2.13.0", "torchvision==0.28.0"], help="what to pin")
    options = parser.parse_args()
    figures: dict = {"packages_changed": 0, "packages_added": 0, "comfyui": []}
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        for comfyui in options.comfyui:
            version = runpy.run_path(str(comfyui / "comfyui_version.py"))["__version__"]
            python = make_environment(work / version, *options.torch, "-r", str(comfyui / "requirements.txt"))
            changed, added = install_pack(python)
            print(f"ComfyUI {version}\n  changed: {changed}\n  added: {added}", flush=True)
            figures["packages_changed"] += len(changed)
            figures["packages_added"] = max(figures["packages_added"], len(added))
            figures["comfyui"].append(version)
            shutil.rmtree(work / version)

        python = make_environment(work / "2025", options.torch[0], *OCTOBER_2025)
        there = work / "there.txt"
        there.write_text("".join(f"{name}=={version}\n" for name, version in packages(python).items()))
        changed, added = install_pack(python, "-c", str(there))
        print(f"October 2025, constrained\n  changed: {changed}\n  added: {added}", flush=True)
        figures["october_2025_changed_with_constraints"] = len(changed)
        for name in (one.split()[0] for one in added):
            subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "-y", name], check=True)
        changed, added = install_pack(python)
        print(f"October 2025\n  changed: {changed}\n  added: {added}", flush=True)
        figures["october_2025_changed"] = len(changed)
    figures["comfyui"] = ", ".join(figures["comfyui"])
    print(record(ROOT / "benchmarks", "install", figures).read_text())


if __name__ == "__main__":
    main()
