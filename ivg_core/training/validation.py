"""How a training is doing: the loss on held-out clips with noise that never changes, and clips to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..media.video import write_video
from .batches import ClipDataset, collate

if TYPE_CHECKING:
    from .backbone import TrainableBackbone
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
    backbone: TrainableBackbone, clips: ClipDataset, count: int, steps: int, folder: Path, name: str
) -> list[Path]:
    """Samples the first held-out clips with the network as it is now.

    Args:
        backbone: in training, LoRA attached.
        clips, count: the first `count` of these; their photo, sentence and mask are taken.
        steps: denoising steps.
        folder, name: files are `<folder>/<name>-<clip>.mp4`.

    Returns:
        The files.
    """
    return [
        write_video(backbone.sample(clips[i], i, steps), folder / f"{name}-{i}.mp4", backbone.fps)
        for i in range(min(count, len(clips)))
    ]
