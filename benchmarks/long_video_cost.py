"""What a long video costs: memory of sampling, which should not grow, and time, which should grow as its windows do.

The embedded model in its own windows of 8 frames, and the published width with random weights in windows of 16 at
128 x 128; one step without guidance, on one thread. Memory is the most that a fresh process holds while it samples,
less what it holds before, which are the weights. Latents count, though they are below 1 MiB each; nothing is decoded.
Time is the processor's: of the embedded model turn by turn in one process, of the published width in those that measure
memory, as it takes minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch

from benchmarks.full_size import SCHEDULER
from benchmarks.memory import resident
from benchmarks.random_weights import fill
from benchmarks.speed import Bare
from ivg_core.checkpoints.load import load_model
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.told import Told
from ivg_core.models.unet import IVGUNet
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.loop import sample_latents
from ivg_core.sampling.settings import Sampling
from ivg_core.sampling.solver import make_solver

ROUNDS = 4
FEW = 3  # windows; videos of no more are sampled three times, and the median counts
MIB, ROOT = 2**20, Path(__file__).parent.parent


class Job:
    """A network, ready to sample one step of a video of any length.

    Args:
        name: "embedded", or "published" for its width with random weights.
    """

    def __init__(self, name: str):
        self.backbone: UNetBackbone
        if name == "embedded":
            model = load_model("embedded")
            made, cell = model.defaults, model.vae_scale_factor
            self.backbone, self.scheduler = UNetBackbone(model, 2), model.scheduler_config
            self.own, self.cells = made.num_frames, (made.height // cell, made.width // cell)
        else:
            with torch.device("meta"):
                unet = IVGUNet(sample_size=32, motion_mask=True, motion_strength=True)
            self.backbone, self.scheduler = Bare(fill(unet)), SCHEDULER
            self.own, self.cells = 16, (16, 16)
        network = self.backbone.network
        for weights in network.parameters():
            weights.sum()  # reads what still lies in the file
        self.told = Told(
            torch.randn(1, 77, network.config["cross_attention_dim"]),
            torch.randn(1, 4, 1, *self.cells),
            torch.ones(1, 1, 1, *self.cells),
            torch.tensor([5.0]),
        )

    @torch.no_grad()
    def sample(self, frames: int, context: ContextWindows) -> float:
        """One step of a video of so many frames; seconds of the processor."""
        solver, how = make_solver(self.scheduler, 1), Sampling(context=context)
        noise = torch.randn(1, 4, frames, *self.cells)
        began = time.process_time()
        sample_latents(self.backbone, [(1.0, self.told)], how, solver, self.own, noise)
        return time.process_time() - began


def bench_cost(
    name: str, lengths: Sequence[int] = (16, 64, 160), log: Callable[[str], None] = print
) -> dict[str, float]:
    """Memory and time of sampling videos of several lengths.

    Args:
        name: of `Job`; the figures of "published" end in it.
        lengths: frames, the shortest first.
        log: receives progress.

    Returns:
        Of the longest and the shortest, here of 160 and 16 frames: `peak_ratio_160_vs_16`; `time_ratio_160_vs_16`, the
        ratio of their seconds over that of their windows, 1 = linear. Of each `seconds_a_window_*` and `peak_mib_*`. Of
        "embedded" `windows_vs_isolated`, how many times longer the longest takes than isolated clips, and
        `windows_vs_isolated_counted`, the same of their number, which is near length / stride.
    """
    figures: dict[str, float] = {}
    last, first, end = lengths[-1], lengths[0], "" if name == "embedded" else f"_{name}"
    found = {frames: in_a_process("measure", name, frames) for frames in lengths}
    if name == "embedded":
        turns = in_a_process("in_turns", name, *lengths, tight=False)
        for frames, one in found.items():
            one["seconds"] = turns[str(frames)]
        figures["windows_vs_isolated"] = turns[str(last)] / turns["isolated"]
        figures["windows_vs_isolated_counted"] = found[last]["windows"] / turns["isolated_windows"]
    for frames, one in found.items():
        figures[f"seconds_a_window_{frames}{end}"] = one["seconds"] / one["windows"]
        figures[f"peak_mib_{frames}{end}"] = one["bytes"] / MIB
        log(f"{name}, {frames} frames: " + ", ".join(f"{key} {value:.4g}" for key, value in one.items()))
    figures[f"peak_ratio_{last}_vs_{first}{end}"] = found[last]["bytes"] / found[first]["bytes"]
    ratio = figures[f"seconds_a_window_{last}{end}"] / figures[f"seconds_a_window_{first}{end}"]
    figures[f"time_ratio_{last}_vs_{first}{end}"] = ratio
    return figures


def in_a_process(what: str, name: str, *lengths: int, tight: bool = True) -> dict[str, float]:
    """`measure` or `in_turns` in a fresh process.

    Args:
        what: is called.
        name, lengths: what it is given.
        tight: memory goes back as soon as a tensor ends, which takes time, so that only living ones count.
    """
    words = [sys.executable, "-m", "benchmarks.long_video_cost", what, name, *map(str, lengths)]
    settings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | (
        {"MALLOC_MMAP_THRESHOLD_": "65536"} if tight else {}
    )
    run = subprocess.run(words, check=True, capture_output=True, text=True, env=os.environ | settings, cwd=ROOT)
    return json.loads(run.stdout.splitlines()[-1])


def measure(name: str, frames: int) -> dict[str, float]:
    """Bytes that sampling takes, its seconds and its windows, in this process, which should be a fresh one."""
    job, context = Job(name), ContextWindows()
    windows = len(context.spans(frames, job.own))
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    seconds = [job.sample(frames, context)]
    most = resident("VmHWM") - before
    seconds += [job.sample(frames, context) for _ in range(1, 3 if windows <= FEW else 1)]
    return {"bytes": most, "seconds": median(seconds), "windows": windows}


def in_turns(name: str, *lengths: int) -> dict[str, float]:
    """Seconds of each length, and of the longest in isolated windows, whose number is told: least of some rounds."""
    job, isolated = Job(name), ContextWindows(schedule="isolated")
    turns = {str(frames): (frames, ContextWindows()) for frames in lengths} | {"isolated": (lengths[-1], isolated)}
    rounds = [{key: job.sample(*turn) for key, turn in turns.items()} for _ in range(ROUNDS)]
    least = {key: min(one[key] for one in rounds) for key in turns}
    return least | {"isolated_windows": len(isolated.spans(lengths[-1], job.own))}


if __name__ == "__main__":
    called = {"measure": measure, "in_turns": in_turns}[sys.argv[1]]
    print(json.dumps(called(sys.argv[2], *map(int, sys.argv[3:]))))
