"""The denoising loop beside diffusers' text-to-video loop and the released code's, all with equal random weights.

    PYTHONPATH=. python benchmarks/speed.py [--latents 16x16] [--frames 8] [--record benchmarks]

IVG_RELEASED_CODE names a checkout of the released code or of the code that its network comes from, and
IVG_RELEASED_PYTHON a Python that can run it (torch, diffusers 0.24, transformers 4.36); without them it is left out.
On a GPU 25 steps of 512 x 512 x 16 in bfloat16, written to speed_gpu.json; on a CPU one step in float32, to
speed_cpu.json, in processor seconds. Figures that others wrote into these files stay.

diffusers' network gets one frame more than the others, since these prepend the photo. `win_*` is how much slower the
loop is with one thing undone, 1.0 = nothing gained.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.clock import alternate, matmul_ceiling, seconds
from benchmarks.counted import count_work
from benchmarks.full_size import SCHEDULER
from benchmarks.peers import GUIDANCE, Released, diffusers_loop
from benchmarks.random_weights import fill
from benchmarks.record import record, recorded
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.told import Told
from ivg_core.models.unet import IVGUNet, TemporalConvolution
from ivg_core.sampling.generate import denoise
from ivg_core.sampling.guidance import Guided
from ivg_core.sampling.solver import make_solver

MOTION = 5.0
LEVELS = 4
# Written down before measuring, for a CPU, from shares of the FLOP and the speed of single kernels. The text's keys and
# values are 1 % of the work and would be done for each of 4 frames. A seventh is temporal convolutions, whose 3D kernel
# has three quarters of the flat one's FLOP/s. A batch of two reads the weights half as often, and they are not many.
PREDICTED = {"batched_guidance": 1.02, "text_once": 1.04, "flat_temporal_convolutions": 1.04}


@dataclass(frozen=True)
class Size:
    """How large network and video are; by default as published.

    Attributes:
        width, height: of the latents, 1/8 of the pixels.
        frames: of the video.
        steps: of sampling.
        widths: channels of the network's levels.
        layers: of a block.
    """

    width: int = 64
    height: int = 64
    frames: int = 16
    steps: int = 25
    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    layers: int = 2


class Bare(UNetBackbone):
    """A network without a checkpoint around it."""

    def __init__(self, unet: IVGUNet):
        self.network = unet


class TwoPasses(Guided):
    """Guidance as two passes of the network, one after the other."""

    def __call__(self, latents: Tensor, timestep: Tensor, progress: float) -> Tensor:
        below, above = (self.rungs.rows(slice(i, i + 1)) for i in range(2))  # of one clip
        negative = self._predict(latents, timestep, below)
        return negative + self.scales[1] * (self._predict(latents, timestep, above) - negative)


class TextEachFrame(Guided):
    """Keys and values of the text computed for every frame anew."""

    def _predict(self, latents: Tensor, timestep: Tensor, told: Told) -> Tensor:
        text = told.text.repeat_interleave(latents.shape[2] + 1, dim=0)  # (B * F', 77, D)
        return super()._predict(latents, timestep, replace(told, text=text))


@contextmanager
def three_dimensional(unet: IVGUNet) -> Iterator[None]:
    """Temporal convolutions as torch's Conv3d."""
    layers = [module for module in unet.modules() if type(module) is TemporalConvolution]
    for layer in layers:
        layer.__class__ = torch.nn.Conv3d
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = TemporalConvolution


def make_inputs(size: Size, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Everything that all of them are told, and the network's config."""
    torch.manual_seed(0)
    config = {
        "sample_size": 32,
        "block_out_channels": size.widths,
        "layers_per_block": size.layers,
        "motion_mask": True,
        "motion_strength": True,
    }
    tensors = {
        "text": torch.randn(1, 77, 1024),
        "negative": torch.randn(1, 77, 1024),
        "photo": torch.randn(1, 4, 1, size.height, size.width),
        "latents": torch.randn(1, 4, size.frames, size.height, size.width),
        "mask": torch.ones(1, 1, 1, size.height, size.width),
    }
    return {
        **{name: tensor.to(device, dtype) for name, tensor in tensors.items()},
        "config": config,
        "motion": [MOTION],
        "steps": size.steps,
        "guidance": GUIDANCE,
        "scheduler": SCHEDULER,
        "device": str(device),
        "threads": torch.get_num_threads(),
    }


class Loop:
    """Our denoising loop over a network with random weights."""

    def __init__(self, size: Size, device: torch.device, dtype: torch.dtype):
        self.size, self.device, self.dtype = size, device, dtype
        self.told = make_inputs(size, device, dtype)
        with torch.device("meta"):
            empty = IVGUNet(**self.told["config"])
        self.unet = fill(empty).to(device, dtype)
        rest = (self.told["photo"], self.told["mask"], torch.tensor([MOTION], device=device))
        self.ladder = [(1.0, Told(self.told["negative"], *rest)), (GUIDANCE, Told(self.told["text"], *rest))]

    def exact(self, guided: type[Guided] = Guided) -> Tensor:
        """The clean latents."""
        solver = make_solver(SCHEDULER, self.size.steps, zero_snr=False)
        return denoise(guided(Bare(self.unet), self.ladder), solver, self.told["latents"].float())

    def in_3d(self) -> Tensor:
        """The same with torch's Conv3d."""
        with three_dimensional(self.unet):
            return self.exact()

    def call(self) -> Tensor:
        """One guided call of the network."""
        return Guided(Bare(self.unet), self.ladder)(self.told["latents"].float(), torch.tensor(500), 0.5)

    def timed(self, work: Callable[[], object]) -> Callable[[], float]:
        """A run for `alternate`."""
        return lambda: seconds(work, self.device)


def ratios(loop: Loop, rounds: int, folder: Path) -> dict[str, float]:
    """How many times faster the loop is than diffusers' and, where it is there, than the released code's.

    Args:
        loop: all take turns with it.
        rounds: that count.
        folder: for what the process of the released code reads and writes.
    """
    peers = {"exact": loop.timed(loop.exact), "diffusers": loop.timed(diffusers_loop(loop.unet, loop.told))}
    released = None
    if checkout := os.environ.get("IVG_RELEASED_CODE"):
        on_cpu = {key: value.cpu() if isinstance(value, Tensor) else value for key, value in loop.told.items()}
        released = Released(checkout, on_cpu, folder)
        peers["released"] = released.run
    else:
        print("IVG_RELEASED_CODE is not set: the released code is left out.", file=sys.stderr)
    figures: dict[str, float] = {}
    took = alternate(peers, rounds)
    if released:
        released.end()
        theirs, same = torch.load(released.latents, weights_only=True).float(), loop.exact().cpu()
        figures["relative_difference_to_released"] = float((same - theirs).norm() / theirs.norm())
        figures["ratio_exact_vs_released"] = took["released"] / took["exact"]
    figures["ratio_exact_vs_diffusers"] = took["diffusers"] / took["exact"]
    return figures | {f"seconds_{name}": value for name, value in took.items()}


def shares(loop: Loop, seconds_exact: float, side: int) -> dict[str, float]:
    """What the loop computes, and how much of a matrix product's FLOP/s it reaches.

    Args:
        loop: that took `seconds_exact`.
        side: of the matrices.
    """
    size = loop.size
    flops, traffic = count_work(loop.told["config"], 2, size.frames, size.height, size.width)
    ceiling = matmul_ceiling(loop.device, loop.dtype, side)
    return {
        "tflop_per_step": flops / 1e12,
        "traffic_gib_per_step_float32": traffic / 2**30,
        "matmul_gflops": ceiling / 1e9,
        "share_of_matmul_ceiling": flops * size.steps / seconds_exact / ceiling,
    }


def wins(loop: Loop, rounds: int) -> dict[str, float]:
    """How much slower the loop is with one thing undone."""
    undone = {
        "batched_guidance": lambda: loop.exact(TwoPasses),
        "text_once": lambda: loop.exact(TextEachFrame),
        "flat_temporal_convolutions": loop.in_3d,
    }
    took = alternate({name: loop.timed(work) for name, work in {"exact": loop.exact, **undone}.items()}, rounds)
    return {f"win_{name}": took[name] / took["exact"] for name in undone}


def half_precision(loop: Loop, rounds: int) -> dict[str, float]:
    """What bfloat16 gives, and costs in accuracy; not among the exact wins. The network stays in bfloat16."""
    reference = loop.exact()
    single = alternate({"single": loop.timed(loop.exact)}, rounds)["single"]
    loop.unet.to(torch.bfloat16)
    loop.ladder = [(scale, rung.to(dtype=torch.bfloat16)) for scale, rung in loop.ladder]
    took = alternate({"half": loop.timed(loop.exact)}, rounds)["half"]
    error = float((loop.exact() - reference).norm() / reference.norm())
    return {"ratio_bfloat16_vs_exact": single / took, "relative_error_bfloat16": error}


def main() -> None:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs=LEVELS, default=[320, 640, 1280, 1280], help="of the levels")
    parser.add_argument("--layers", type=int, default=2, help="per block; published: 2")
    parser.add_argument("--latents", default="64x64" if on_gpu else "16x16", help="width x height, 1/8 of the pixels")
    parser.add_argument("--frames", type=int, default=16 if on_gpu else 8)
    parser.add_argument("--steps", type=int, default=25 if on_gpu else 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", type=Path, help="benchmarks folder to record the figures in")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    device = torch.device("cuda" if on_gpu else "cpu")
    width, height = map(int, options.latents.split("x"))
    size = Size(width, height, options.frames, options.steps, tuple(options.widths), options.layers)
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        loop = Loop(size, device, torch.bfloat16 if on_gpu else torch.float32)
        figures = ratios(loop, options.rounds, Path(folder))
        figures |= shares(loop, figures["seconds_exact"], 8192 if on_gpu else 2048)
        figures |= wins(loop, options.rounds)
        if not on_gpu:
            figures |= {f"predicted_win_{name}": value for name, value in PREDICTED.items()}
            figures |= half_precision(loop, options.rounds)
    figures |= {
        "first_width": options.widths[0],
        "layers_per_block": options.layers,
        "latent_width": width,
        "latent_height": height,
        "frames": options.frames,
        "steps": options.steps,
        "rounds": options.rounds,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(figures, indent=1))
    if options.record:
        name = "speed_gpu" if on_gpu else "speed_cpu"
        record(options.record, name, {**recorded(options.record, name), **figures})


if __name__ == "__main__":
    main()
