"""Start the processes: those that draw, the autoencoder, both stages; and put the model together."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ivg_core.checkpoints.save import save_file
from ivg_core.models.bundle import IVGModel, ModelDefaults
from recipes.embedded.domain import with_domain
from recipes.embedded.parts import SCHEDULER_CONFIG
from recipes.embedded2.draw import Size, draw_scenes
from recipes.embedded2.loop import EAGER
from recipes.embedded2.parts import FRAMES, HEIGHT, WIDTH, build_unet, build_vae
from recipes.embedded2.stage1 import train_stage1
from recipes.embedded2.stage2 import train_stage2
from recipes.embedded2.text import texts
from recipes.embedded2.vae import train_vae

#: Shares of the time: until then the autoencoder is trained; after the other nothing new is drawn.
VAE_UNTIL, DRAWN_UNTIL = 0.26, 0.9


def main() -> None:
    """The command line of ``python -m recipes.embedded2``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/embedded2"), help="folder of scenes and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results, which are written as they come")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything")
    parser.add_argument("--workers", type=int, default=13, help="processes that draw; a third of them masks only")
    parser.add_argument("--batch", type=int, default=16, help="clips a step")
    parser.add_argument("--pictures", type=int, default=20, help="pictures a step of the autoencoder")
    parser.add_argument("--size", type=int, nargs=3, default=(WIDTH, HEIGHT, FRAMES), help="width, height, frames")
    parser.add_argument("--steps", type=int, default=6, help="sampling steps that the model file recommends")
    parser.add_argument(
        "--stages", type=int, nargs="+", default=(1, 2), help="to train; what lies in --out is prolonged"
    )
    parser.add_argument("--assemble", action="store_true", help="only put together what lies in --out")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.assemble:
        run(args)
    path = args.out / "ivg-tiny.safetensors"
    save_file(with_domain(assemble(args.work, args.out, Size(*args.size), args.steps)), path)
    print(f"wrote {path}: {path.stat().st_size / 2**20:.1f} MiB")


def run(args: argparse.Namespace) -> None:
    """Draw and train, side by side, until the time is up."""
    start = time.time()
    end = start + 60 * args.minutes
    size = Size(*args.size)
    (args.work / "scenes").mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    only_masks = args.workers // 3 if 1 in args.stages else 0
    drawn_until = start + DRAWN_UNTIL * (end - start)
    drawing = [
        context.Process(
            target=draw_scenes,
            args=(args.work / "scenes", i, args.workers - only_masks, True, size, drawn_until),
            daemon=True,
        )
        for i in range(args.workers - only_masks)
    ]
    drawing += [
        context.Process(
            target=draw_scenes, args=(args.work / "scenes", i, only_masks, False, size, drawn_until), daemon=True
        )
        for i in range(only_masks)
    ]
    os.environ["OMP_NUM_THREADS"] = "1"
    common = (args.work, args.out, args.device, size)
    vae_end = start + VAE_UNTIL * (end - start)
    tasks: dict[str, tuple[Any, tuple]] = {
        "vae": (train_vae, (*common, args.pictures, start, vae_end)),
        "stage1": (train_stage1, (*common, args.batch, start, end - 5)),
        "stage2": (train_stage2, (*common, args.batch, start, end - 5)),
    }
    for name in ("vae", "text"):
        if (args.out / f"{name}.safetensors").exists():
            shutil.copy(args.out / f"{name}.safetensors", args.work)
    if (args.work / "vae.safetensors").exists():
        del tasks["vae"]
    for stage in {1, 2} - set(args.stages):
        del tasks[f"stage{stage}"]
    jobs = {name: context.Process(target=job, args=values, daemon=True) for name, (job, values) in tasks.items()}
    for process in (*drawing, *jobs.values()):
        process.start()
    again: set[str] = set()
    while any(process.is_alive() for process in jobs.values()) and time.time() < end + 60:
        time.sleep(0.5)
        for name, process in list(jobs.items()):
            if process.exitcode is None:
                continue
            print(f"{name}: exit code {process.exitcode} at {time.time() - start:.0f} s", flush=True)
            del jobs[name]
            if process.exitcode and name not in again and time.time() < end - 60:
                again.add(name)
                os.environ[EAGER] = "1"  # whatever it was, try once more without CUDA graphs
                job, values = tasks[name]
                values = (*values[:-1], max(values[-1], time.time() + 60)) if name == "vae" else values
                jobs[name] = context.Process(target=job, args=values, daemon=True)
                jobs[name].start()
                del os.environ[EAGER]
                tasks[name] = (job, values)
    drawn = sorted((args.work / "scenes").glob("*.npz"))
    print(f"{sum('clip' in p.name for p in drawn)} clips and {len(drawn)} scenes drawn", flush=True)


def assemble(work: Path, out: Path, size: Size, steps: int) -> IVGModel:
    """The model of the pieces in `out`."""
    tokenizer, text = texts(work)
    text.load_state_dict(load_file(out / "text.safetensors"))
    vae, rom_unet, unet = build_vae(), build_unet(), build_unet()
    for network, name in ((vae, "vae"), (rom_unet, "stage1"), (unet, "stage2")):
        network.load_state_dict({key: value.float() for key, value in load_file(out / f"{name}.safetensors").items()})
        network.eval()
    torch.set_grad_enabled(False)
    return IVGModel(
        unet=unet,
        rom_unet=rom_unet,
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        scheduler_config=SCHEDULER_CONFIG,
        defaults=ModelDefaults(size.width, size.height, size.frames, steps, 1.0),
        name="embedded",
        source="trained from nothing by recipes.embedded2",
        licence="MIT, as the project it ships with",
    )
