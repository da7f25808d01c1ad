"""Region of Motion on held-out drawn scenes, beside three baselines (``python -m benchmarks rom``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ivg_core.evaluate.metrics.motion import mask_iou, motion_outside_ratio
from ivg_core.rom.fallback import hand_hull_mask, prior_mask, white_mask
from ivg_core.rom.refine import refine_mask
from ivg_core.sampling.generate import generate
from ivg_core.sampling.predict import predict_rom
from ivg_core.sampling.settings import RAW
from ivg_core.synthetic.clips import Scene, Task
from ivg_core.synthetic.dataset import HELD_OUT_SEED
from ivg_core.synthetic.hand import joint_pixels

if TYPE_CHECKING:
    from ivg_core.models.bundle import IVGModel

PRIOR_SCENES = 200


@dataclass(frozen=True)
class HeldOut:
    """One scene that was never trained on, with two sentences about different things in it."""

    scene: Scene
    photo: Tensor  # (H, W, 3) 0..1
    tasks: tuple[Task, Task]
    truths: tuple[Tensor, Tensor]  # exact Regions of Motion (H, W) of 0 and 1


def held_out_scenes(count: int, width: int, height: int, num_frames: int, skipped: int = 0) -> list[HeldOut]:
    """The first ``count`` held-out scenes, after some seeds, in which two different things can be acted on."""
    found: list[HeldOut] = []
    seed = HELD_OUT_SEED + skipped
    while len(found) < count:
        scene = Scene(seed, width, height)
        seed += 1
        first = scene.tasks[scene.seed % len(scene.tasks)]
        others = [task for task in scene.tasks if task.target != first.target]
        if not others:
            continue
        tasks = (first, others[scene.seed % len(others)])
        truths = [torch.from_numpy((scene.rom_frames(task, num_frames) > 127).any(0)).float() for task in tasks]
        photo = torch.from_numpy(scene.photo()).float() / 255
        found.append(HeldOut(scene, photo, tasks, (truths[0], truths[1])))
    return found


def bench_rom(model: IVGModel, scenes: int = 200, log: Callable[[str], None] = print) -> dict[str, float]:
    """Measure stage 1, and stage 2 on stage 1's masks.

    Args:
        model: one with weights for both stages.
        scenes: number of held-out scenes.
        log: receives one line for every ten scenes.

    Returns:
        Flat figures: mean IoU of the predicted mask and of the baselines with the exact mask; the share of scenes in
        which each of two sentences gives the mask that fits it better than the other's; motion outside the predicted
        mask relative to inside, of the raw video (nothing composited).
    """
    size = model.defaults
    prior = training_prior(size.width, size.height, size.num_frames)
    names = ("predicted", "white", "prior", "hand_hull", "follows", "outside")
    rows: dict[str, list[float]] = {name: [] for name in names}
    for index, item in enumerate(held_out_scenes(scenes, size.width, size.height, size.num_frames)):
        masks = [predict_rom(model, item.photo, task.text, seed=index).mask for task in item.tasks]
        ious = [[mask_iou(mask, truth) for truth in item.truths] for mask in masks]
        rows["predicted"].append(ious[0][0])
        rows["follows"].append(float(ious[0][0] > ious[0][1] and ious[1][1] > ious[1][0]))
        rows["white"].append(mask_iou(white_mask((size.width, size.height)), item.truths[0]))
        rows["prior"].append(mask_iou(prior, item.truths[0]))
        rows["hand_hull"].append(mask_iou(_first_frame_hull(item), item.truths[0]))
        if masks[0].any():
            mask = refine_mask(masks[0], grow=4)
            video = generate(
                model,
                item.photo,
                item.tasks[0].text,
                mask=mask,
                num_frames=size.num_frames,
                seed=index,
                how=RAW,
            )
            rows["outside"].append(motion_outside_ratio(video.frames, mask))
        if (index + 1) % 10 == 0:
            log(f"{index + 1}/{scenes}: IoU {fmean(rows['predicted']):.3f}, follows text {fmean(rows['follows']):.3f}")
    return {
        "miou_predicted": fmean(rows["predicted"]),
        "miou_white": fmean(rows["white"]),
        "miou_prior": fmean(rows["prior"]),
        "miou_hand_hull": fmean(rows["hand_hull"]),
        "follows_text": fmean(rows["follows"]),
        "motion_outside_ratio": fmean(rows["outside"]),
        "scenes": scenes,
    }


def training_prior(width: int, height: int, num_frames: int) -> Tensor:
    """The best constant guess: the mean training mask, cut where it agrees best with the masks it was made of."""
    masks = []
    for seed in range(PRIOR_SCENES):
        scene = Scene(seed, width, height)
        task = scene.tasks[seed % len(scene.tasks)]
        masks.append(torch.from_numpy((scene.rom_frames(task, num_frames) > 127).any(0)).float())
    mean = prior_mask(masks, (width, height))
    cuts = [(mean > level).float() for level in np.arange(0.1, 0.6, 0.05)]
    return max(cuts, key=lambda cut: fmean(mask_iou(cut, mask) for mask in masks))


def _first_frame_hull(item: HeldOut) -> Tensor:
    """Hull of the hands that the photo shows, grown by a quarter palm; the joints are the exact ones.

    An exact detector flatters this baseline: a real one also misses hands.
    """
    views = item.scene.hands_at_rest(item.tasks[0])
    height, width = item.photo.shape[:2]
    joints = [joint_pixels(view)[:, :2] for view in views]
    inside = [((j >= 0) & (j < [width, height])).all(1) for j in joints]
    visible = [torch.from_numpy(j) for j, seen in zip(joints, inside, strict=True) if seen.sum() >= 5]
    margin = round(0.25 * item.scene.palm)
    if not visible:
        return torch.zeros(height, width)
    return hand_hull_mask(item.photo, lambda image: visible, margin)
