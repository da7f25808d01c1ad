"""Train a LoRA of the embedded model on one clip, and measure the loss on a later part of it that was not trained on.

    python benchmarks/lora_one_clip.py --video clip.mp4 --caption "The person washes a cucumber." [--mask mask.png]
        [--steps 150] [--record benchmarks]

The clip is cut into windows: those of its first part are trained on, one in its last part is held out; they share no
frame. The loss is the plain noise loss of stage 2, over noise and timesteps that are the same before and after; after
means the LoRA file, read back and patched into the untouched model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import torch

from benchmarks.record import record
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.media.images import save_png
from ivg_core.media.video import read_video
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.lora import applied_lora
from ivg_core.training.batches import collate
from ivg_core.training.config import LoRASettings, TrainConfig
from ivg_core.training.data.dataset import load_data
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.learner import Learner
from ivg_core.training.objective import Denoising
from ivg_core.training.trainer import train

DRAWS = 12  # noise and timesteps a window


def windows(frames: torch.Tensor, length: int, folder: Path) -> None:
    """Writes `train/<window>/*.png`, half a window apart, and `heldout/<window>/*.png`."""
    count = len(frames)
    if count < 2 * length:
        raise SystemExit(f"The clip has {count} frames; windows of {length} need at least {2 * length}.")
    heldout = count - length
    starts = [("train", start) for start in range(0, heldout - length + 1, length // 2)] + [("heldout", heldout)]
    for part, start in starts:
        for i, frame in enumerate(frames[start : start + length]):
            save_png(frame, folder / part / f"from-{start:04d}" / f"{i:04d}.png")


def data(model, folder: Path, part: str, options: argparse.Namespace):
    masks = "hands"
    if options.mask:
        masks = str(folder / f"{part}-masks")
        Path(masks).mkdir()
        for window in (folder / part).iterdir():
            shutil.copy(options.mask, Path(masks) / f"{window.name}.png")
    settings = DataSettings(
        source=str(folder / part), caption=options.caption, masks=masks, frames=model.defaults.num_frames, buckets=False
    )
    return load_data(settings, model, 2, folder / "cache").train


@torch.no_grad()
def loss(model, clips) -> float:
    backbone = UNetBackbone(model, 2, model.unet.eval())
    objective, learner = Denoising(TrainConfig(), backbone), Learner(backbone, None)
    values = [
        objective.measure(learner, collate([clips[i]]), draw, DRAWS) for i in range(len(clips)) for draw in range(DRAWS)
    ]
    return torch.stack(values).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--caption", required=True, help="what is done in it")
    parser.add_argument("--mask", type=Path, help="picture, white where it moves (default: hulls around the hands)")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--record", type=Path, help="benchmarks folder to record the figures in")
    options = parser.parse_args()
    model = load_model("embedded")
    work = Path(tempfile.mkdtemp())
    windows(read_video(options.video)[0], model.defaults.num_frames, work)
    clips, heldout = (data(model, work, part, options) for part in ("train", "heldout"))
    before = {"loss_before": loss(model, clips), "heldout_before": loss(model, heldout)}
    print(len(clips), "windows", before, flush=True)
    config = TrainConfig(
        out=str(work / "run"), steps=options.steps, learning_rate=options.rate, schedule="cosine", save_every=0,
        lora={role: LoRASettings(options.rank) for role in ("spatial", "temporal", "text", "conv")}, device="cpu",
    )  # fmt: skip
    done = train(config, model, clips, on_step=lambda step, total, f: print(step, round(f["loss"], 4), flush=True))
    with applied_lora(model.unet, read_lora(done.path, model.unet)):
        after = {"loss_after": loss(model, clips), "heldout_after": loss(model, heldout)}
    shutil.rmtree(work)
    seconds = sum(figures["seconds"] for figures in done.history) / len(done.history)
    figures = {**before, **after, "steps": options.steps, "seconds_a_step": seconds, "windows": len(clips)}
    print(json.dumps(figures, indent=1))
    if options.record:
        record(options.record, "lora_one_clip", figures)


if __name__ == "__main__":
    main()
