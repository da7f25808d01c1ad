"""How much time the fast modes save at the published size: random weights, guided, in bfloat16.

    PYTHONPATH=. python benchmarks/fast_full_size.py [--size 256x256] [--frames 4] [--steps 4] [--rounds 5]

The pictures are noise, so likeness is not asked here: `python -m benchmarks fast` measures that. The mask is a
box in the lower middle, of 14 % of the picture. `fast` is a window around the mask, deep layers at every other step,
and guidance in the middle half of the steps. Processor seconds, decoding included; modes take turns.

`speed_cpu.json` gets how much faster `fast` is than exact sampling here, than the released code (that ratio times the
other one there), and how like exact sampling it is on the embedded model (`guided_fast` of `fast.json`).
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.clock import alternate, seconds
from benchmarks.full_size import random_model
from benchmarks.record import record, recorded
from ivg_core.models.bundle import IVGModel
from ivg_core.sampling.generate import Sampling, generate

HERE = Path(__file__).parent
MODES: dict[str, dict[str, Any]] = {
    "full": {},
    "cache_2": {"cache_every": 2},
    "crop": {"region": "crop"},
    "guidance_interval": {"guidance_interval": (0.25, 0.75)},
    "fast": {"region": "crop", "cache_every": 2, "guidance_interval": (0.25, 0.75)},
}
# From the work that is left: half of the steps without the deep layers, which are two thirds of it; a window of
# 160 x 160; half of the steps in one pass. Decoding is whole in all but the window's.
PREDICTED = {"cache_2": 1.4, "crop": 2.3, "guidance_interval": 1.3, "fast": 3.8}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    figures = times_faster(random_model(dtype=torch.bfloat16), (width, height), args.frames, args.steps, args.rounds)
    figures |= {f"predicted_times_faster_{name}": predicted for name, predicted in PREDICTED.items()}
    figures |= {"steps": args.steps, "frames": args.frames, "rounds": args.rounds, "width": width, "height": height}
    print(json.dumps(figures, indent=1))
    if args.record:
        record(args.record, "fast_full_size", figures)
        speed, likeness = (recorded(args.record, name) for name in ("speed_cpu", "fast"))
        ratio = figures["times_faster_fast"]
        speed |= {"ratio_fast_vs_exact": ratio, "psnr_fast_vs_exact": likeness["psnr_guided_fast"]}
        if "ratio_exact_vs_released" in speed:
            speed["ratio_fast_vs_released"] = ratio * speed["ratio_exact_vs_released"]
        record(args.record, "speed_cpu", speed)


def times_faster(model: IVGModel, size: tuple[int, int], frames: int, steps: int, rounds: int) -> dict[str, float]:
    """How many times faster than sampling whole and exactly each of `MODES` is.

    Args:
        model: works where it is.
        size: (width, height) in pixels.
        frames, steps: of the video and its sampling.
        rounds: in which all take turns, after one that does not count.
    """
    width, height = size
    mask = torch.zeros(height, width)
    mask[height // 2 : height * 7 // 8, width * 5 // 16 : width * 11 // 16] = 1
    photo = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(0))
    what: dict[str, Any] = {"mask": mask, "num_frames": frames, "seed": 0, "size": size}

    def run(name: str) -> float:
        how = Sampling(num_inference_steps=steps, **MODES[name])
        work = partial(generate, model, photo, "the person stirs the pan", **what, how=how)
        spent = seconds(work, model.device)
        print(f"{name}: {spent:.3g} s", flush=True)
        return spent

    took = alternate({name: partial(run, name) for name in MODES}, rounds)
    faster = {f"times_faster_{name}": took["full"] / took[name] for name in MODES if name != "full"}
    return {"seconds_full": took["full"], "share_of_mask": mask.mean().item(), **faster}


if __name__ == "__main__":
    main()
