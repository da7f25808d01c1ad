"""What is measured of the steps of a drawn plan, whose exact clips are known."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ivg_core.evaluate.metrics.motion import mask_iou
from ivg_core.rom.composite import seam
from ivg_core.synthetic.clips import DrawnClip
from ivg_core.synthetic.plans import BACK, DrawnStep

#: Mean change against the first frame, levels of 255, from which on a pixel moved.
MOVES = 8
#: Change between two exact pictures, levels of 255, that is more than their noise; and pixels around it that a shadow
#: may reach.
NOISE, SHADOW = 16, 8


@dataclass(frozen=True)
class ExactStep:
    """A step with all that is known of it.

    Attributes:
        step: scene and task.
        clip: the exact one, from rest to rest.
        right: the exact region of its task (H, W) of 0 and 1.
        others: those of the tasks at other things, in the same state.
    """

    step: DrawnStep
    clip: DrawnClip
    right: Tensor
    others: list[Tensor]

    @property
    def start(self) -> Tensor:
        """The exact picture before the step (H, W, 3) 0..1."""
        return pictures(self.clip.frames[0])

    @property
    def rest(self) -> Tensor:
        """The exact picture after the step (H, W, 3) 0..1: the hand at rest, the thing as the action left it."""
        return pictures(self.clip.frames[-1])


def exact(step: DrawnStep, num_frames: int) -> ExactStep:
    """Draw what is known of a step, with so many frames until it is done."""

    def region(task):
        return torch.from_numpy((step.scene.rom_frames(task, num_frames, BACK) > 127).any(0)).float()

    others = [region(task) for task in step.scene.tasks if task.target != step.task.target]
    return ExactStep(step, step.clip(num_frames), region(step.task), others)


def pictures(levels: np.ndarray) -> Tensor:
    """Pictures or frames of levels of 255 as 0..1."""
    return torch.from_numpy(levels).float() / 255


def moved(frames: Tensor) -> Tensor:
    """Where a clip (F, H, W, 3) moves, (H, W) of 0 and 1: where it differs from its first frame on average."""
    return ((frames[1:] - frames[0]).abs().mean((0, -1)) > MOVES / 255).float()


def is_right(region: Tensor, truth: ExactStep) -> bool:
    """Whether a region (H, W) is that of the step.

    It overlaps the exact region of the step's own task (in intersection over union) more than that of every task at
    another thing of the scene, whatever its action.
    """
    return mask_iou(region, truth.right) > max(mask_iou(region, other) for other in truth.others)


def beyond(regions: list[Tensor]) -> Tensor:
    """Where no step's region (H, W) and no seam around it lies, (H, W) bool."""
    feather = min(regions[0].shape) / 32  # as a step is finished
    return torch.stack([seam(region, feather) == 0 for region in regions]).all(0)


def unchanged(first: Tensor, now: Tensor) -> Tensor:
    """Where two exact pictures (H, W, 3) at rest show the same, (H, W) bool, and no shadow of what differs falls."""
    differs = ((first - now).abs().amax(-1) > NOISE / 255).byte().numpy()
    differs = cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))  # single pixels are noise
    return torch.from_numpy(cv2.dilate(differs, np.ones((2 * SHADOW + 1,) * 2, np.uint8)) == 0)


def colour_drift(picture: Tensor, truth: Tensor, where: Tensor) -> float:
    """How far colours are off, levels of 255: of each channel the mean signed difference, absolute; their mean.

    Args:
        picture, truth: (H, W, 3) 0..1.
        where: (H, W) bool, not empty.
    """
    return float(255 * (picture - truth)[where].mean(0).abs().mean())
