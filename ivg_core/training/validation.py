"""How a training is doing: the loss on held-out clips with noise that never changes, and clips to look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import IVGError
from .batches import ClipDataset, collate

if TYPE_CHECKING:
    from ..models.bundle import IVGModel
    from ..models.unet import IVGUNet
    from .objective import Denoising


@torch.no_grad()
def heldout_loss(accelerator: Any, objective: Denoising, network: Any, clips: ClipDataset, draws: int) -> float:
    """The mean noise loss over clips and draws; the processes share the work.

    Args:
        accelerator: accelerate's.
        objective: of the training.
        network: the learner, as accelerate prepared it.
        clips: held-out ones.
        draws: noise and timesteps a clip, timesteps evenly over the schedule.
    """
    total = torch.zeros(2, device=accelerator.device)
    for i in range(accelerator.process_index, len(clips), accelerator.num_processes):
        batch = collate([clips[i]]).to(accelerator.device)
        for number in range(draws):
            total += torch.stack([objective.measure(network, batch, number, draws), total.new_ones(())])
    total = accelerator.reduce(total, "sum")
    return (total[0] / total[1]).item()


@torch.no_grad()
def write_samples(
    model: IVGModel, unet: IVGUNet, stage: int, clips: ClipDataset, count: int, steps: int, folder: Path, name: str
) -> list[Path]:
    """Samples the first held-out clips with the network as it is now.

    Args:
        model: whose VAE, text encoder and schedule are used.
        unet: the network in training, LoRA attached.
        stage: 1 writes mask videos, 2 videos.
        clips, count: the first `count` of these; their photo, sentence and mask are taken.
        steps: denoising steps.
        folder, name: files are `<folder>/<name>-<clip>.mp4`.

    Returns:
        The files.
    """
    from ..media.video import write_video
    from ..sampling.decode import decode_frames
    from ..sampling.generate import generate

    current = replace(model, unet=unet, rom_unet=unet)
    written = []
    for i in range(min(count, len(clips))):
        clip = clips[i]
        photo = decode_frames(model.vae, clip.get("photo", clip["latents"][:, :1])[None])[0, 0]  # (H, W, 3)
        video = generate(
            current,
            photo,
            clip["caption"],
            stage=stage,
            mask=clip.get("rom_mask") if stage == 2 else None,
            num_frames=clip["latents"].shape[1],
            num_inference_steps=steps,
            guidance_scale=model.defaults.guidance_scale,
            motion_strength=5.0 if stage == 2 else None,
            size=(photo.shape[1], photo.shape[0]),
            seed=i,
        )
        written.append(write_video(video.frames, folder / f"{name}-{i}.mp4", model.defaults.fps))
    return written


def tensorboard(folder: Path) -> Any:
    """A TensorBoard writer.

    Raises:
        IVGError: the package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise IVGError(
            "tensorboard: true needs the package tensorboard: `pip install tensorboard`, or set it to false."
        ) from error
    return SummaryWriter(str(folder))
