"""How much time the fast modes save at the published size: random weights, guided.

    PYTHONPATH=. python benchmarks/fast_full_size.py [--size 256x256] [--frames 4] [--steps 25] [--rounds 3]
        [--modes adaptive fast …]

The pictures are noise, so likeness is not asked here: `python -m benchmarks fast` measures that. The mask is a
box in the lower middle, of 14 % of the picture. `fast` is deep layers where the run decides, and guidance in the
middle half of the steps; `fast_crop` samples a window around the mask besides. Processor seconds, decoding included;
modes take turns. `adaptive` and these two compute deep layers at those steps at which the embedded model does on a
drawn scene with the same number of steps, as random weights would decide by chance; deciding and forecasting are done
and cost what they cost.

`speed_cpu.json` gets how much faster these two are than exact sampling here, than the released code (that ratio times
the other one there), and how like exact sampling they are on the embedded model (`guided_25_fast` and
`guided_25_fast_crop` of `fast.json`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.clock import alternate, seconds
from benchmarks.fast import TOLERANCE
from benchmarks.full_size import random_model
from benchmarks.record import record, recorded
from benchmarks.rom import held_out_scenes
from ivg_core.checkpoints.load import load_model
from ivg_core.models.bundle import IVGModel
from ivg_core.models.unet import KeptFeatures
from ivg_core.sampling.deep_features import AdaptiveFeatures, kept_features
from ivg_core.sampling.generate import generate
from ivg_core.sampling.settings import RAW, Sampling

HERE = Path(__file__).parent
FAST: dict[str, Any] = {"cache_tolerance": TOLERANCE, "guidance_interval": (0.25, 0.75)}
MODES: dict[str, dict[str, Any]] = {
    "full": {},
    "cache_2": {"cache_every": 2},
    "adaptive": {"cache_tolerance": TOLERANCE},
    "crop": {"region": "crop"},
    "guidance_interval": {"guidance_interval": (0.25, 0.75)},
    "fast": FAST,
    "fast_crop": {**FAST, "region": "crop"},
}
# At 25 steps, from what the same modes gave at 8 (1.73, 2.57, 1.30, 1.29) and from how often the embedded model
# computes all: at a quarter of 8 steps, perhaps at a sixth of 25.
PREDICTED = {"cache_2": 1.7, "adaptive": 3.3, "crop": 1.3, "guidance_interval": 1.3, "fast": 4.3, "fast_crop": 5.3}


class Decisions(AdaptiveFeatures):
    """Writes down at which calls all is computed."""

    def __init__(self, tolerance: float):
        super().__init__(tolerance)
        self.whole: list[bool] = []

    def recall(self, x: Tensor) -> Tensor | None:
        """See `AdaptiveFeatures`."""
        recalled = super().recall(x)
        self.whole.append(recalled is None)
        return recalled


class Replayed(AdaptiveFeatures):
    """Computes all at given calls, at the cost of having decided it."""

    def __init__(self, whole: Iterable[bool]):
        super().__init__(inf)
        self.whole = iter(whole)

    def recall(self, x: Tensor) -> Tensor | None:
        """See `AdaptiveFeatures`."""
        self.tolerance = -1.0 if next(self.whole) else inf
        return super().recall(x)


def decided(steps: int) -> list[bool]:
    """At which calls the embedded model computes all, on the first held-out scene."""
    model = load_model("embedded")
    size, kept = model.defaults, Decisions(TOLERANCE)
    (item,) = held_out_scenes(1, size.width, size.height, size.num_frames)
    how = Sampling(num_inference_steps=steps, keep_first_frame=True, composite=False)
    with patch("ivg_core.sampling.ladder.kept_features", lambda how: kept):
        generate(model, item.photo, item.tasks[0].text, mask=item.truths[0], seed=0, how=how)
    return kept.whole


def kept(whole: Sequence[bool], how: Sampling) -> KeptFeatures | None:
    """`kept_features`, with the decisions of another model."""
    return Replayed(whole) if how.cache_tolerance else kept_features(how)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modes", nargs="+", choices=[*MODES][1:], default=[*MODES][1:], help="beside full sampling")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16", help="which some CPUs lack")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    model, whole = random_model(dtype=getattr(torch, args.dtype)), decided(args.steps)
    figures = times_faster(model, (width, height), args.frames, args.steps, args.rounds, whole, args.modes)
    figures["share_of_whole_steps_adaptive"] = sum(whole) / len(whole)
    figures |= {f"predicted_times_faster_{name}": PREDICTED[name] for name in args.modes}
    figures |= {"steps": args.steps, "frames": args.frames, "rounds": args.rounds, "width": width, "height": height}
    print(json.dumps(figures, indent=1))
    if args.record:
        record(args.record, "fast_full_size", figures)
        speed, likeness, equal = (recorded(args.record, name) for name in ("speed_cpu", "fast", "equal_time"))
        for name in {"fast", "fast_crop"} & {*args.modes}:
            ratio = figures[f"times_faster_{name}"]
            speed |= {f"ratio_{name}_vs_exact": ratio, f"psnr_{name}_vs_exact": likeness[f"psnr_guided_25_{name}"]}
            if "ratio_exact_vs_released" in speed:
                speed[f"ratio_{name}_vs_released"] = ratio * speed["ratio_exact_vs_released"]
        if "adaptive" in args.modes:
            speed["ratio_adaptive"] = figures["times_faster_adaptive"]
            speed["psnr_adaptive"] = likeness["psnr_guided_25_adaptive"]
        speed |= {name: value for name, value in equal.items() if name.startswith("quality_at_equal_time")}
        record(args.record, "speed_cpu", speed)


def times_faster(
    model: IVGModel,
    size: tuple[int, int],
    frames: int,
    steps: int,
    rounds: int,
    whole: Sequence[bool],
    modes: Sequence[str] = tuple(MODES)[1:],
) -> dict[str, float]:
    """How many times faster than sampling whole and exactly each mode is.

    Args:
        model: works where it is.
        size: (width, height) in pixels.
        frames, steps: of the video and its sampling.
        rounds: in which all take turns, after one of a single step.
        whole: at which of the steps all is computed where the run would decide.
        modes: of `MODES`.
    """
    width, height = size
    mask = torch.zeros(height, width)
    mask[height // 2 : height * 7 // 8, width * 5 // 16 : width * 11 // 16] = 1
    photo = torch.rand(height, width, 3, generator=torch.Generator().manual_seed(0))
    what: dict[str, Any] = {"mask": mask, "num_frames": frames, "seed": 0, "size": size}

    def run(name: str, steps: int) -> float:
        how = replace(RAW, num_inference_steps=steps, **MODES[name])
        work = partial(generate, model, photo, "the person stirs the pan", **what, how=how)
        with patch("ivg_core.sampling.ladder.kept_features", partial(kept, whole)):
            spent = seconds(work, model.device)
        print(f"{name}: {spent:.3g} s", flush=True)
        return spent

    names = ["full", *modes]
    short = {name: partial(run, name, 1) for name in names}
    took = alternate({name: partial(run, name, steps) for name in names}, rounds, short)
    faster = {f"times_faster_{name}": took["full"] / took[name] for name in modes}
    return {"seconds_full": took["full"], "share_of_mask": mask.mean().item(), **faster}


if __name__ == "__main__":
    main()
