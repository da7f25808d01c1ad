"""Learn the motion of one real clip at the published width with random weights, and measure the loss before and after.

    python benchmarks/motion_one_clip.py --video clip.webm --caption "The person …" [--steps 20] [--record benchmarks]

Whether the training runs at that size and learns is measured, and nothing about a picture: there are no real weights.
The loss is the noise loss with the motion's LoRA alone, over noise and timesteps that are the same before and after, on
the window of the clip that is learned from and on a later one that is held back; they share no frame.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path
from statistics import fmean, median

import torch

from benchmarks.full_size import SCHEDULER
from benchmarks.random_weights import fill
from benchmarks.record import record_options, report
from ivg_core.checkpoints.load import load_model
from ivg_core.media.clips import even_indices, open_media
from ivg_core.media.images import resize_image
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.bundle import IVGModel
from ivg_core.models.codec import ImageCodec
from ivg_core.models.lora import LoRA
from ivg_core.models.unet import IVGUNet
from ivg_core.training.batches import ListDataset, collate
from ivg_core.training.config import LoRASettings, TrainConfig, read_config
from ivg_core.training.learner import Learner, LoRALayers
from ivg_core.training.objective import Denoising
from ivg_core.training.sample import Sample
from ivg_core.training.trainer import train

DRAWS = 6  # noise and timesteps of a measurement


@torch.no_grad()
def windows(video: Path, caption: str, model: IVGModel, frames: int, size: tuple[int, int]) -> list[Sample]:
    """The first and the second half of a clip, each as a training clip of so many frames."""
    media = open_media(video)
    count = media.facts().frames
    if count < 2 * frames:
        raise SystemExit(f"The clip has {count} frames, too few for two windows of {frames}.")
    rng = torch.Generator().manual_seed(0)
    text = torch.randn(77, 1024, generator=rng)  # the network's width has no text encoder here
    found: list[Sample] = []
    for number, first in enumerate((0, count // 2)):
        indices = [first + i for i in even_indices(count // 2, frames)]
        pictures = torch.stack([torch.from_numpy(frame.copy()) for frame in media.read(indices)]).float() / 255
        latents = ImageCodec(model.vae).encode(torch.stack([resize_image(picture, size) for picture in pictures]))
        name = f"window {number + 1}"
        found.append({"latents": latents, "text": text, "empty_text": text, "caption": caption, "name": name})
    return found


@torch.no_grad()
def loss(model: IVGModel, window: Sample, lora: LoRA | None = None) -> float:
    """The mean noise loss on a window, with a LoRA beside the network."""
    backbone = UNetBackbone(model, 2)
    layers = LoRALayers(backbone, {"temporal": LoRASettings(32)})
    for name, (up, down) in (lora.layers if lora else {}).items():
        layers.layer(name).up.weight.copy_(up)
        layers.layer(name).down.weight.copy_(down)
    learner, objective = Learner(backbone, layers), Denoising(TrainConfig(), backbone)
    with layers.attached(backbone.network):
        return fmean(objective.measure(learner, collate([window]), k, DRAWS).item() for k in range(DRAWS))


def _show(step: int, total: int, figures: dict[str, float]) -> None:
    print(f"step {step} of {total}  loss {figures['loss']:.4f}  {figures['seconds']:.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[record_options()]
    )
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--caption", required=True, help="what is done in it")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=2, default=(128, 96), metavar=("WIDTH", "HEIGHT"))
    options = parser.parse_args()
    small = load_model("embedded")
    with torch.device("meta"):
        unet = IVGUNet(photo=False)
    fill(unet)
    model = IVGModel(unet, None, small.vae, small.text_encoder, small.tokenizer, SCHEDULER, name="random")
    learned, held = windows(options.video, options.caption, small, options.frames, tuple(options.size))
    before = [loss(model, window) for window in (learned, held)]
    with tempfile.TemporaryDirectory() as out:
        asked = {"out": out, "steps": options.steps, "device": "cpu", "precision": "fp32", "save_every": 0}
        config = read_config("motion-one-video", {**asked, "checkpointing": False})
        done = train(config, model, ListDataset([learned]), on_step=_show)
    after = [loss(model, window, done.lora) for window in (learned, held)]
    report(
        options,
        "motion_one_clip",
        {
            "loss_before": before[0],
            "heldout_before": before[1],
            "loss_after": after[0],
            "heldout_after": after[1],
            "steps": options.steps,
            "seconds_a_step": median(figures["seconds"] for figures in done.history),
            "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        },
    )


if __name__ == "__main__":
    main()
