"""Draw the steps, train the LoRA, and write it as one small file."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import save_lora
from ivg_core.models.lora import LoRA
from ivg_core.synthetic.dataset import worker_pool
from ivg_core.training.config import LoRASettings, TrainConfig
from ivg_core.training.trainer import train
from recipes.how_to.clips import SHARD, Steps, draw_shard

#: Ranks of the roles: when things happen is what has to be learned, and most of it is told by the layers over time.
RANKS = {"spatial": 16, "text": 8, "temporal": 32, "conv": 16}
#: How much more a place counts where the thing is or was: small as it is, it would be left where it lay.
THING_COUNTS = 5.0


def main() -> None:
    """The command line of ``python -m recipes.how_to``; it goes on where it was stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/how_to"), help="folder of clips and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--plans", type=int, default=550, help="plans to draw, two steps of each")
    parser.add_argument("--steps", type=int, default=950)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)  # vanishing gradients would otherwise slow a CPU down tenfold
    args.work.mkdir(parents=True, exist_ok=True)
    jobs = [(args.work / f"steps-{first:05d}.safetensors", first) for first in range(0, args.plans, SHARD)]
    with worker_pool(args.threads) as pool:
        list(pool.map(draw_shard, jobs))
    model = load_model("embedded")
    config = TrainConfig(
        lora={role: LoRASettings(rank=rank) for role, rank in RANKS.items()},
        losses={"noise": {"weight": 1.0, "boxes": THING_COUNTS}, "motion": 0.001},
        out=str(args.work / "back"),
        data={"name": "drawn plans", "licence": model.licence},  # drawn by this project, as what the model knows
        steps=args.steps,
        batch_size=args.batch,
        learning_rate=args.learning_rate,
        from_photo=0.25,
        schedule="cosine",
        warmup=50,
        betas=(0.9, 0.99),
        ema=0.99,
        text_dropout=0.05,
        device="cpu",
        save_every=50,
    )
    trained = train(config, model, Steps([path for path, _ in jobs], model), resume="auto")
    assert trained.lora is not None
    halves = {name: (up.half(), down.half()) for name, (up, down) in trained.lora.layers.items()}
    about = {**trained.lora.metadata, "licence": model.licence, "card": CARD}
    save_lora(LoRA(halves, trained.lora.scales, about), args.out)
    print(f"wrote {args.out}: {args.out.stat().st_size / 2**20:.1f} MiB")


CARD = "A LoRA for Comfy-IVG's embedded model: the hand goes back to rest. Trained on drawn plans by recipes.how_to."
