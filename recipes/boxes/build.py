"""Draw the scenes, train the gates, and write them as one small file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from ivg_core.checkpoints.gates import save_gates
from ivg_core.checkpoints.load import load_model
from ivg_core.synthetic.dataset import worker_pool
from ivg_core.training.config import TrainConfig
from ivg_core.training.trainer import train
from recipes.boxes.clips import SHARD, CarriedClips, draw_shard

#: Frames of a clip that the first part sees at once: enough to learn where, at a quarter of the cost.
FEW_FRAMES = 2
#: How much more a place in a box counts: things are small, and most of the loss is of hands that no box tells of.
BOXES_COUNT = 5.0


def main() -> None:
    """The command line of ``python -m recipes.boxes``; it goes on where it was stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/boxes"), help="folder of scenes and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--scenes", type=int, default=1000, help="scenes to draw")
    parser.add_argument("--steps", type=int, nargs=2, default=(1300, 120), help="on 2 frames of each clip, on all")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)  # vanishing gradients would otherwise slow a CPU down tenfold
    args.work.mkdir(parents=True, exist_ok=True)
    jobs = [(args.work / f"clips-{first:05d}.safetensors", first) for first in range(0, args.scenes, SHARD)]
    with worker_pool(args.threads) as pool:
        list(pool.map(draw_shard, jobs))
    model = load_model("embedded")
    shards = [path for path, _ in jobs]
    for name, frames, steps, batch, rate in (
        ("where", FEW_FRAMES, args.steps[0], args.batch, args.learning_rate),
        ("when", None, args.steps[1], args.batch // 2, args.learning_rate / 3),
    ):
        config = TrainConfig(
            method="full",
            gates="carry",
            trainable=["boxes"],
            losses={"noise": {"weight": 1.0, "boxes": BOXES_COUNT}},
            out=str(args.work / name),
            steps=steps,
            batch_size=batch,
            learning_rate=rate,
            from_photo=0.5,
            schedule="cosine",
            warmup=100,
            betas=(0.9, 0.99),
            ema=0.995,
            device="cpu",
            save_every=100,
        )
        trained = train(config, model, CarriedClips(shards, model, frames), resume="auto")
        model = replace(model, unet=trained.network)
    save_gates(model.for_stage(2), args.out, {"licence": model.licence, "card": CARD})
    print(f"wrote {args.out}: {args.out.stat().st_size / 2**20:.1f} MiB")


CARD = "Gates for boxes of Comfy-IVG's embedded model, trained on drawn scenes by recipes.boxes."
