"""Peak memory: what `info` predicts beside what is measured.

    python benchmarks/memory.py                 the published size on the CPU in bfloat16 (10 minutes), and smaller ones
    python benchmarks/memory.py --device cuda   the published size on a GPU in float16

`info` counts: the bytes of the weights, and the tensors of one denoising step and of decoding, on networks without
numbers; the text encoder and a stage-1 UNet come on top. On the CPU measured is the most memory that a fresh process
held, less what it held before it loaded the networks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import record
from ivg_core.checkpoints.info import MemoryPlan, plan_memory
from ivg_core.models.codec import ImageCodec
from ivg_core.models.unet import IVGUNet

HERE = Path(__file__).parent
GIB = 2**30
# (channels of the first level, width, height, frames) of networks like the published one, but narrower
RANDOM_RUNS = ((64, 256, 256, 16), (64, 384, 256, 6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)  # a run in a process of its own
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(**args.one, device=args.device)))
        return
    published = plan(320, 512, 512, 16, torch.float16)
    smaller = plan(320, 512, 512, 16, torch.float16, guided=False, chunked=True)
    figures: dict[str, Any] = {
        "predicted_gib": published.peak / GIB,
        "weights_gib": published.weights / GIB,
        "denoise_gib": published.denoise / GIB,
        "decode_gib": published.decode / GIB,
        "predicted_gib_smaller_pieces": smaller.peak / GIB,
    }
    errors = []
    for channels, width, height, frames in RANDOM_RUNS:
        predicted = plan(channels, width, height, frames, torch.float32).peak
        measured = in_a_process({"channels": channels, "width": width, "height": height, "frames": frames}, "cpu")
        errors.append(predicted / measured - 1)
        name = f"{channels}_channels_{width}x{height}x{frames}"
        figures |= {f"measured_gib_{name}": measured / GIB, f"predicted_gib_{name}": predicted / GIB}
        print(name, f"measured {measured / GIB:.2f} GiB, predicted {predicted / GIB:.2f}", flush=True)
    figures["largest_error"] = max(map(abs, errors))
    half = "bfloat16" if args.device == "cpu" else "float16"
    run = {"channels": 320, "width": 512, "height": 512, "frames": 16, "dtype": half}
    figures["peak_gib_512x512x16"] = in_a_process(run, args.device) / GIB
    figures["error_512x512x16"] = figures["predicted_gib"] / figures["peak_gib_512x512x16"] - 1
    print(json.dumps(figures, indent=1))
    record(HERE, "memory", figures)


def plan(
    channels: int, width: int, height: int, frames: int, dtype: torch.dtype, guided: bool = True, chunked: bool = False
) -> MemoryPlan:
    """What `info` would say of a network with random weights."""
    from ivg_core.sampling.frugal import chunk_feed_forward

    with torch.device("meta"):
        unet, vae = networks(channels)
    if chunked:
        chunk_feed_forward(unet, 1)
    parameters = sum(p.numel() for network in (unet, vae) for p in network.parameters())
    sizes = {"width": width, "height": height, "num_frames": frames}
    return plan_memory(unet, vae, parameters, **sizes, guided=guided, dtype=dtype)


def networks(channels: int):
    from diffusers import AutoencoderKL

    unet = IVGUNet(
        block_out_channels=(channels, 2 * channels, 4 * channels, 4 * channels),
        attention_head_dim=64,
        motion_mask=True,
        motion_strength=True,
    )
    base = max(32, channels * 2 // 5 // 32 * 32)  # 128 for the published 320
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(base, 2 * base, 4 * base, 4 * base),
        layers_per_block=2,
    )
    return unet.eval(), vae.eval()


def in_a_process(run: dict[str, Any], device: str) -> float:
    command = [sys.executable, __file__, "--device", device, "--one", json.dumps(run)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


@torch.no_grad()
def measure(channels: int, width: int, height: int, frames: int, device: str, dtype: str = "float32") -> float:
    """Bytes held at most by one guided denoising step and by decoding, weights included."""
    from ivg_core.sampling.decode import decode_frames

    cuda, precision = device.startswith("cuda"), getattr(torch, dtype)
    before = 0 if cuda else resident("VmRSS")
    torch.set_default_dtype(precision)  # made in it: a wider copy would be the most that was ever held
    unet, vae = (network.to(device) for network in networks(channels))
    torch.set_default_dtype(torch.float32)
    h, w = height // 8, width // 8
    empty = {"device": device, "dtype": precision}
    text = torch.zeros(2, 77, unet.config["cross_attention_dim"], **empty)
    told = {"condition_latent": torch.zeros(2, 4, 1, h, w, **empty), "mask": torch.ones(2, 1, 1, h, w, **empty)}
    unet(torch.zeros(2, 4, frames, h, w, **empty), 500, text, **told, motion=torch.ones(2, device=device))
    decode_frames(ImageCodec(vae), torch.zeros(1, 4, frames, h, w, device=device))
    return torch.cuda.max_memory_allocated() if cuda else resident("VmHWM") - before


def resident(key: str) -> int:
    """VmRSS (now) or VmHWM (at most) of this process, in bytes; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


if __name__ == "__main__":
    main()
