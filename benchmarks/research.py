"""The paper's pipeline as a researcher meets it: README's example, the script of docs/training.md, and two processes.

    PYTHONPATH=. python benchmarks/research.py --record benchmarks

Writes benchmarks/results/research.json: how near README's Python example comes to the true clip, and the command (dB,
mean of held-out drawn scenes); how many processes the documented command was, and how far its losses are from those of
one process with twice the accumulation; the steps of the script and the seconds of each.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import torch

from benchmarks.record import record_options, report
from benchmarks.rom import held_out_scenes
from ivg_core.cli import main as ivg
from ivg_core.errors import IVGError
from ivg_core.evaluate.metrics.pixels import psnr
from ivg_core.media.images import save_png
from ivg_core.media.video import read_video

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "ivg_core" / "training" / "launch" / "several-gpus.yaml"
SENTENCE = "julienne the carrot"  # README's


def readme_python() -> str:
    """README's Python examples."""
    return _code(ROOT / "README.md", "python")


def pipeline() -> str:
    """The script of docs/training.md."""
    return _code(ROOT / "docs" / "training.md", "sh")


def _code(page: Path, language: str) -> str:
    """The one piece of code in a language on a page."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return text


def example_and_command(scenes: int) -> dict[str, float]:
    """PSNR to the true clip of README's example and of `generate`, on the same scenes and seed."""
    example, command = [], []
    first = readme_python().partition("how = ")[0]  # up to its first video
    here = Path.cwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for item in held_out_scenes(scenes, 192, 128, 8):
                task = item.tasks[0]
                true = torch.from_numpy(item.scene.clip(task, 8).frames).float() / 255
                save_png(item.photo, Path("kitchen.png"))
                names: dict = {}
                exec(first.replace(SENTENCE, task.text), names)
                example.append(psnr(names["video"].frames, true))
                out = Path(str(item.scene.seed))
                ivg(["generate", "--image", "kitchen.png", "--prompt", task.text, "--out", f"{out}/v.png"])
                command.append(psnr(read_video(out)[0], true))
        finally:
            os.chdir(here)
    return {"example_psnr": fmean(example), "command_psnr": fmean(command), "example_scenes": scenes}


def two_processes(work: Path) -> dict[str, float]:
    """The documented command in two processes on this machine's processors, beside one with twice the accumulation."""
    ivg(["synth", "--out", str(work / "scenes"), "--scenes", "4"])
    train = ["train", "--preset", "stage2-lora-hands", "--data", str(work / "scenes" / "target")]
    for setting in ("precision=fp32", "data.frames=8", "steps=3", "warmup=0"):
        train += ["--set", setting]
    place = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    launch = ["-m", "accelerate.commands.launch", "--config_file", str(LAUNCH), "--num_processes", "2"]
    for words in (
        [*launch, "-m", "ivg_core", *train, "--out", str(work / "two")],
        ["-m", "ivg_core", *train, "--set", "accumulation=2", "--out", str(work / "one")],
    ):
        _run([sys.executable, *words], place)
    (checkpoint,) = (work / "two").glob("checkpoint-*")
    two, one = (_losses(work / name) for name in ("two", "one"))
    return {
        "processes_seen": json.loads((checkpoint / "progress.json").read_text())["processes"],
        "processes_loss_difference": max(abs(a - b) / abs(b) for a, b in zip(two, one, strict=True)),
    }


def run_pipeline(work: Path, steps: int) -> dict[str, float]:
    """The script, step by step; drawn scenes stand in for clips."""
    timed = re.sub(r"^# (\d+)\. .*$", r'echo "@\1 $(date +%s.%N)"', pipeline(), flags=re.MULTILINE)
    place = {**os.environ, "PYTHONPATH": str(ROOT), "IVG": f"{sys.executable} -m ivg_core"}
    said = _run(["sh", "-c", f'{timed}echo "@end $(date +%s.%N)"'], {**place, "OUT": str(work), "STEPS": str(steps)})
    marks = [line.split() for line in said.splitlines() if line.startswith("@")]
    seconds = [float(end) - float(begin) for (_, begin), (_, end) in pairwise(marks)]
    figures = {f"seconds_of_step_{mark[1:]}": took for (mark, _), took in zip(marks, seconds, strict=False)}
    return {"steps_of_the_pipeline": len(figures), "training_steps": steps, **figures}


def _losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "losses.jsonl").read_text().splitlines()]


def _run(words: list[str], place: dict[str, str]) -> str:
    done = subprocess.run(words, env=place, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise IVGError(f"It ended with {done.returncode}: {' '.join(words)[:200]}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, parents=[record_options()])
    parser.add_argument("--work", type=Path, default=Path("out/research"), help="folder of clips, runs and the report")
    parser.add_argument("--scenes", type=int, default=8, help="held-out scenes of README's example")
    parser.add_argument("--steps", type=int, default=60, help="of each training of the pipeline")
    options = parser.parse_args()
    figures = run_pipeline(options.work.resolve() / "pipeline", options.steps)
    figures |= two_processes(options.work.resolve() / "processes") | example_and_command(options.scenes)
    report(options, "research", figures)


if __name__ == "__main__":
    main()
