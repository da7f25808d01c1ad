"""Runs everything that needs a GPU, step by step, and writes its figures after each; see gpu.sh."""

from __future__ import annotations

import gc
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.full_size import random_model
from benchmarks.record import machine, write
from benchmarks.speed import Size
from ivg_core.checkpoints.load import load_model
from ivg_core.errors import IVGError
from ivg_core.models.bundle import IVGModel

Figures = dict[str, float]
GOLDEN = Path(__file__).parents[1] / "tests" / "golden"


@dataclass(frozen=True)
class Setting:
    """What all steps share.

    Attributes:
        device: they run on.
        tiny: networks and videos of the smallest size, to try the steps.
        out: folder that is written to.
        ends: the time, by `time.monotonic`, after which none begins.
    """

    device: torch.device
    tiny: bool
    out: Path
    ends: float

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in."""
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32

    @property
    def size(self) -> Size:
        """Of network and video: the published one's, 512 x 512 x 16 in 25 steps."""
        return Size(16, 16, 3, 2, (64, 64, 64, 64), 1) if self.tiny else Size()

    @property
    def rounds(self) -> int:
        """In which peers take turns."""
        return 1 if self.tiny else 3

    @property
    def left(self) -> float:
        """Seconds until `ends`."""
        return self.ends - time.monotonic()


@dataclass(frozen=True)
class Step:
    """One measurement.

    Attributes:
        name: of it.
        work: is given the figures that its file holds so far, and returns its own.
        file: without its ending.
    """

    name: str
    work: Callable[[Setting, Figures], Figures]
    file: str = "speed_gpu"


def make_setting(out: Path, tiny: bool, minutes: float) -> Setting:
    """The setting on this machine.

    Raises:
        IVGError: no GPU, at full size.
    """
    on_gpu = torch.cuda.is_available()
    if not (on_gpu or tiny):
        raise IVGError("There is no GPU that torch can use: give --tiny to try the steps on the CPU.")
    return Setting(torch.device("cuda" if on_gpu else "cpu"), tiny, out, time.monotonic() + 60 * minutes)


def model_of(setting: Setting) -> IVGModel:
    """A whole model with random weights, on the device."""
    if setting.tiny:
        return load_model(GOLDEN / "tiny_ckpt", dtype=setting.dtype, device=setting.device)
    return random_model(str(setting.device), setting.dtype)


def run_steps(steps: Iterable[Step], setting: Setting) -> list[str]:
    """Runs them in order, as many as there is time for, and writes the file of a step as soon as it has ended.

    Args:
        steps: the most wanted first.
        setting: of all.

    Returns:
        What failed, and what was not run: a sentence each. They are also kept as `failed` beside the figures.
    """
    figures: dict[str, Figures] = {}
    failed: dict[str, list[str]] = {}
    for step in steps:
        told, said = figures.setdefault(step.file, {}), failed.setdefault(step.file, [])
        began = time.monotonic()
        if setting.left <= 0:
            said.append(f"{step.name} was not run: the time was over.")
        else:
            try:
                with torch.no_grad():
                    told |= step.work(setting, dict(told))
            except Exception as error:  # the others are worth as much
                traceback.print_exc()
                kind = "" if isinstance(error, IVGError) else f"{type(error).__name__}: "
                said.append(f"{step.name} failed: {kind}{error}")
            free()
        print(f"{step.name}: {time.monotonic() - began:.1f} seconds", file=sys.stderr, flush=True)
        if not (told or said):
            continue  # it was left out, and said why
        notes = {"failed": " ".join(said)} if said else {}
        write(setting.out / f"{step.file}.json", {**told, **notes}, where(setting.device))
    return [sentence for said in failed.values() for sentence in said]


def where(device: torch.device) -> str:
    """The machine, with its GPU."""
    name = f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""
    return f"{name}{machine()}, torch {torch.__version__}"


def free() -> None:
    """Gives back what a step held on the GPU; peaks are counted from here."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib(setting: Setting, name: str) -> Figures:
    """The most that was held on the GPU since `free`, under that name; nothing on a CPU."""
    if setting.device.type != "cuda":
        return {}
    return {name: torch.cuda.max_memory_allocated() / 2**30}
