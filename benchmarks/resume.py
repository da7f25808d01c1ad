"""Kill a training at random moments with SIGKILL, resume it, and compare the weights bit for bit with an unbroken run.

    python benchmarks/resume.py [--kills 10] [--record benchmarks]

The embedded model learns a LoRA from clips of noise at a tiny size, with everything on that holds a state: dropout, an
average of the weights, a rate that falls, gradients put together over two batches. A checkpoint is written after every
step, so that many kills fall into the writing of one. Runs on any system with fork.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.record import record
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.models.lora import LoRA
from ivg_core.training.batches import ListDataset
from ivg_core.training.config import LoRASettings, TrainConfig
from ivg_core.training.resume import checkpoints
from ivg_core.training.sample import Sample
from ivg_core.training.trainer import train

STEPS = 14


def clip(seed: int) -> Sample:
    rng = torch.Generator().manual_seed(seed)
    rom = torch.zeros(64, 64)
    rom[:, 16:48] = 1
    texts = {name: torch.randn(77, 64, generator=rng) for name in ("text", "empty_text")}
    latents = torch.randn(4, 2, 8, 8, generator=rng)
    return {"latents": latents, "rom_mask": rom, **texts, "caption": f"clip {seed}", "name": f"clip {seed}"}


def run(model, folder: Path, resume: str | None) -> None:
    lora = {"spatial": LoRASettings(4, dropout=0.2), "temporal": LoRASettings(4, learning_rate=3e-4)}
    config = TrainConfig(
        out=str(folder), name="lora", steps=STEPS, batch_size=2, accumulation=2, learning_rate=1e-3, warmup=4,
        schedule="cosine", ema=0.9, lora=lora, save_every=1, keep_last=2, device="cpu",
    )  # fmt: skip
    train(config, model, ListDataset([clip(seed) for seed in range(5)]), resume=resume)


def wait_for(folder: Path, step: int, child: multiprocessing.Process) -> None:
    """Until the run has done a step, or ended."""
    file = folder / "losses.jsonl"
    while child.is_alive() and (not file.exists() or len(file.read_bytes().splitlines()) < step):
        time.sleep(0.002)


def started(model, folder: Path, resume: str | None) -> multiprocessing.Process:
    child = multiprocessing.get_context("fork").Process(target=run, args=(model, folder, resume))
    child.start()
    return child


def same(a: LoRA, b: LoRA) -> bool:
    pairs = ((x, y) for name in a.layers for x, y in zip(a.layers[name], b.layers[name], strict=True))
    return a.layers.keys() == b.layers.keys() and all(torch.equal(x, y) for x, y in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--record", type=Path, help="benchmarks folder to record the figures in")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a child that was forked has no threads of its parent
    model, moments = load_model("embedded"), random.Random(options.seed)
    work = Path(tempfile.mkdtemp())
    began = time.monotonic()
    child = started(model, work / "whole", None)
    child.join()
    duration = time.monotonic() - began
    whole = read_lora(work / "whole" / "lora.safetensors", model.unet)
    kills = equal = writing = 0
    while kills < options.kills:
        folder = work / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        child = started(model, folder, None)
        wait_for(folder, moments.randrange(STEPS - 1), child)
        time.sleep(moments.random() * duration / STEPS)  # within the step after it, and the writing that follows
        if not child.is_alive():  # it ended by itself: no kill, so it does not count
            child.join()
            continue
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        kills += 1
        half = len(list(folder.glob(".checkpoint-*.part")))
        writing += bool(half)
        at = checkpoints(folder)[-1].name if checkpoints(folder) else "before the first checkpoint"
        child = started(model, folder, "auto")
        child.join()
        fits = child.exitcode == 0 and same(read_lora(folder / "lora.safetensors", model.unet), whole)
        equal += fits
        where = ", while writing the next" if half else ""
        print(f"kill {kills}: {at}{where}; {'bit-equal' if fits else 'DIFFERENT'}", flush=True)
    shutil.rmtree(work)
    figures = {"kills": kills, "bit_equal": equal, "killed_while_writing": writing, "steps": STEPS}
    print(figures)
    if options.record:
        record(options.record, "resume", figures)
    sys.exit(equal != kills)


if __name__ == "__main__":
    main()
