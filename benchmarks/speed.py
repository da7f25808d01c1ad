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
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, TextToVideoSDPipeline, UNet3DConditionModel
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.random_weights import fill
from benchmarks.record import record, recorded
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.told import Told
from ivg_core.models.unet import IVGUNet, TemporalConvolution
from ivg_core.sampling.generate import denoise
from ivg_core.sampling.guidance import Guided
from ivg_core.sampling.solver import make_solver
from recipes.embedded.parts import SCHEDULER_CONFIG

SCHEDULER = {k: v for k, v in SCHEDULER_CONFIG.items() if k not in ("timestep_spacing", "prediction_type")}
GUIDANCE, MOTION = 9.0, 5.0
LEVELS = 4
# Written down before measuring, for a CPU, from shares of the FLOP and the speed of single kernels. The text's keys and
# values are 1 % of the work and would be done for each of 4 frames. A seventh is temporal convolutions, whose 3D kernel
# has three quarters of the flat one's FLOP/s. A batch of two reads the weights half as often, and they are not many.
PREDICTED = {"batched_guidance": 1.02, "text_once": 1.04, "flat_temporal_convolutions": 1.04}


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


class Released:
    """The released code's loop in its own process; see released_loop.py."""

    def __init__(self, checkout: str, inputs: dict[str, Any], folder: Path):
        torch.save(inputs, folder / "inputs.pt")
        self.latents = folder / "latents.pt"
        python = os.environ.get("IVG_RELEASED_PYTHON", sys.executable)
        script = Path(__file__).with_name("released_loop.py")
        words = [python, str(script), checkout, str(folder / "inputs.pt"), str(self.latents)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )

    def run(self) -> float:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("The released code ended: run released_loop.py by hand to see why.")
        return float(answer)

    def end(self) -> None:
        self.process.communicate()


def diffusers_loop(ours: IVGUNet, told: dict[str, Any]) -> Callable[[], Tensor]:
    """diffusers' own network, with our weights, in its text-to-video pipeline, up to the clean latents."""
    own = {key: value for key, value in told["config"].items() if not key.startswith("motion")}
    with torch.device("meta"):
        unet = UNet3DConditionModel(**own)
    weights = ours.state_dict()
    unet.load_state_dict({key: weights[key] for key in unet.state_dict()}, assign=True)
    solver = DPMSolverMultistepScheduler.from_config(SCHEDULER)
    pipeline = TextToVideoSDPipeline(None, None, None, unet.eval(), solver)
    pipeline.set_progress_bar_config(disable=True)
    latents = torch.cat([told["photo"], told["latents"]], dim=2)  # the same number of frames for the network
    height, width = latents.shape[-2:]

    def run() -> Tensor:
        return pipeline(
            prompt_embeds=told["text"],
            negative_prompt_embeds=told["negative"],
            latents=latents,
            num_frames=latents.shape[2],
            height=8 * height,
            width=8 * width,
            num_inference_steps=told["steps"],
            guidance_scale=GUIDANCE,
            output_type="latent",
        ).frames

    return run


def make_inputs(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Everything that all of them are told, and the network's config."""
    torch.manual_seed(0)
    width, height = map(int, options.latents.split("x"))
    config = {
        "sample_size": 32,
        "block_out_channels": tuple(options.widths),
        "layers_per_block": options.layers,
        "motion_mask": True,
        "motion_strength": True,
    }
    tensors = {
        "text": torch.randn(1, 77, 1024),
        "negative": torch.randn(1, 77, 1024),
        "photo": torch.randn(1, 4, 1, height, width),
        "latents": torch.randn(1, 4, options.frames, height, width),
        "mask": torch.ones(1, 1, 1, height, width),
    }
    return {
        **{name: tensor.to(device, dtype) for name, tensor in tensors.items()},
        "config": config,
        "motion": [MOTION],
        "steps": options.steps,
        "guidance": GUIDANCE,
        "scheduler": SCHEDULER,
        "device": str(device),
        "threads": torch.get_num_threads(),
    }


def measure(options: argparse.Namespace, device: torch.device, dtype: torch.dtype, folder: Path) -> dict[str, float]:
    told = make_inputs(options, device, dtype)
    with torch.device("meta"):
        empty = IVGUNet(**told["config"])
    unet = fill(empty).to(device, dtype)
    motion = torch.tensor([MOTION], device=device)
    rest = (told["photo"], told["mask"], motion)
    ladder = [(1.0, Told(told["negative"], *rest)), (GUIDANCE, Told(told["text"], *rest))]

    def exact(guided: type[Guided] = Guided) -> Tensor:
        solver = make_solver(SCHEDULER, options.steps, zero_snr=False)
        return denoise(guided(Bare(unet), ladder), solver, told["latents"].float())

    def in_3d() -> Tensor:
        with three_dimensional(unet):
            return exact()

    def timed(work: Callable[[], object]) -> Callable[[], float]:
        return lambda: seconds(work, device)

    peers = {"exact": timed(exact), "diffusers": timed(diffusers_loop(unet, told))}
    released = None
    if checkout := os.environ.get("IVG_RELEASED_CODE"):
        on_cpu = {key: value.cpu() if isinstance(value, Tensor) else value for key, value in told.items()}
        released = Released(checkout, on_cpu, folder)
        peers["released"] = released.run
    else:
        print("IVG_RELEASED_CODE is not set: the released code is left out.", file=sys.stderr)
    figures: dict[str, float] = {}
    took = alternate(peers, options.rounds)
    if released:
        released.end()
        theirs, same = torch.load(released.latents, weights_only=True).float(), exact().cpu()
        figures["relative_difference_to_released"] = float((same - theirs).norm() / theirs.norm())
        figures["ratio_exact_vs_released"] = took["released"] / took["exact"]
    figures["ratio_exact_vs_diffusers"] = took["diffusers"] / took["exact"]
    figures |= {f"seconds_{name}": value for name, value in took.items()}

    width, height = map(int, options.latents.split("x"))
    flops, traffic = count_work(told["config"], 2, options.frames, height, width)
    ceiling = matmul_ceiling(device, dtype, side=2048 if device.type == "cpu" else 8192)
    figures |= {
        "tflop_per_step": flops / 1e12,
        "traffic_gib_per_step_float32": traffic / 2**30,
        "matmul_gflops": ceiling / 1e9,
        "share_of_matmul_ceiling": flops * options.steps / took["exact"] / ceiling,
    }
    undone = {
        "batched_guidance": timed(lambda: exact(TwoPasses)),
        "text_once": timed(lambda: exact(TextEachFrame)),
        "flat_temporal_convolutions": timed(in_3d),
    }
    took = alternate({"exact": timed(exact), **undone}, options.rounds)
    figures |= {f"win_{name}": took[name] / took["exact"] for name in undone}
    if device.type == "cpu":
        figures |= {f"predicted_win_{name}": value for name, value in PREDICTED.items()}
    if dtype is torch.float32:
        figures |= half_precision(unet, ladder, told["latents"], options, exact)
    return figures


def half_precision(unet, ladder, latents, options, exact) -> dict[str, float]:
    """What bfloat16 gives, and costs in accuracy; not among the exact wins. The network stays in bfloat16."""
    reference = exact()
    single = alternate({"single": lambda: seconds(exact, latents.device)}, options.rounds)["single"]
    half = torch.bfloat16
    unet.to(half)
    told = [(scale, rung.to(dtype=half)) for scale, rung in ladder]

    def run() -> Tensor:
        solver = make_solver(SCHEDULER, options.steps, zero_snr=False)
        return denoise(Guided(Bare(unet), told), solver, latents.float())

    took = alternate({"half": lambda: seconds(run, latents.device)}, options.rounds)["half"]
    error = float((run() - reference).norm() / reference.norm())
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
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        figures = measure(options, device, torch.bfloat16 if on_gpu else torch.float32, Path(folder))
    width, height = map(int, options.latents.split("x"))
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


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long `work` takes; on a CPU in processor seconds of all threads, so that other programs do not count."""
    if device.type == "cpu":
        began = time.process_time()
        work()
        return time.process_time() - began
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - began


def alternate(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Lets all take turns, each round beginning with another one, after a round that does not count.

    Args:
        runs: name -> a run that returns its seconds.
        rounds: >= 1.

    Returns:
        name -> median seconds.
    """
    names = list(runs)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            spent = runs[name]()
            if number:
                taken[name].append(spent)
    return {name: statistics.median(spent) for name, spent in taken.items()}


def matmul_ceiling(device: torch.device, dtype: torch.dtype, side: int = 2048, rounds: int = 5) -> float:
    """FLOP/s of a large square `torch.matmul`, by the same clock as `seconds`: what no network can pass."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / alternate({"matmul": lambda: seconds(lambda: a @ b, device)}, rounds)["matmul"]


class _Traffic(TorchDispatchMode):
    """Adds up the bytes that operations read and write; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = itertools.chain(_tensors(args), _tensors(result))
            self.total += sum(x.numel() * x.element_size() for x in tensors)
        return result


def count_work(config: Mapping[str, Any], batch: int, frames: int, height: int, width: int) -> tuple[int, int]:
    """FLOP and bytes of one pass of the network that a config describes; nothing is computed and no memory taken.

    Args:
        config: of unet/config.json.
        batch, frames, height, width: of the latents; guidance makes the batch twice the number of clips.

    Returns:
        (FLOP, bytes read and written by all operations in float32).
    """
    with torch.device("meta"), torch.no_grad():
        unet = IVGUNet.from_config_dict(dict(config)).eval()
        told = {
            "sample": torch.empty(batch, 4, frames, height, width),
            "timestep": torch.empty(batch),
            "encoder_hidden_states": torch.empty(batch, 77, unet.config["cross_attention_dim"]),
            "condition_latent": torch.empty(batch, 4, 1, height, width),
            "mask": torch.empty(1, 1, 1, height, width),
            "motion": torch.empty(batch),
        }
        with FlopCounterMode(display=False) as flops, _Traffic() as traffic:
            unet(**told)
    return flops.get_total_flops(), traffic.total


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, (tuple, list)):
        return [tensor for value in values for tensor in _tensors(value)]
    return []
