"""Run the command line with a full-size checkpoint of random weights, and record time and peak memory.

    python benchmarks/full_size.py --image photo.png

The picture is noise; what is measured is whether the published size loads and runs here, and what it costs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextConfig, CLIPTextModel

from benchmarks.record import record
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.save import save_folder
from ivg_core.models.bundle import IVGModel
from ivg_core.models.unet import IVGUNet
from recipes.embedded.parts import SCHEDULER_CONFIG

HERE = Path(__file__).parent
# The published schedule: the embedded model's, less its own two choices.
SCHEDULER = {k: v for k, v in SCHEDULER_CONFIG.items() if k not in ("timestep_spacing", "prediction_type")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--size", default="448x256")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--frames", type=int, default=16)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        save_folder(random_model(), folder)
        command = [sys.executable, "-m", "ivg_core", "generate", "--model", folder, "--image", str(args.image)]
        command += ["--prompt", "the person cuts the carrot", "--fallback", "white", "--out", f"{folder}/video.mp4"]
        command += ["--size", args.size, "--steps", str(args.steps), "--frames", str(args.frames)]
        began = time.monotonic()
        subprocess.run(command, check=True)
        seconds = time.monotonic() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        width, height = map(int, args.size.split("x"))
        figures = {"seconds": seconds, "peak_gib": peak, "steps": args.steps, "frames": args.frames}
        print(json.dumps(figures))
        record(HERE, "full_size", {**figures, "width": width, "height": height, "threads": torch.get_num_threads()})


def random_model(device: str = "cpu", dtype: torch.dtype = torch.float16) -> IVGModel:
    """The published architecture (1.4 billion parameters in the UNet) with random weights."""
    torch.manual_seed(0)
    tokenizer = load_model(HERE.parent / "tests/golden/tiny_ckpt").tokenizer
    with torch.device("meta"):
        unet = IVGUNet(sample_size=32, motion_mask=True, motion_strength=True)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            sample_size=512,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=1024,
                intermediate_size=4096,
                projection_dim=1024,
                num_hidden_layers=23,
                num_attention_heads=16,
                hidden_act="gelu",
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        )
    for network in (unet, vae, text):
        network.eval().to(dtype).to_empty(device=device)
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.normal_(0, 0.02) if tensor.ndim > 1 else tensor.fill_(float("norm" in name and "weight" in name))
    for positions in text.buffers():  # which no file keeps: 0, 1, …
        positions.copy_(torch.arange(positions.shape[-1]))
    return IVGModel(unet, None, vae, text, tokenizer, SCHEDULER)


if __name__ == "__main__":
    main()
