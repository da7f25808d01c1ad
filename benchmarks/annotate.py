"""How close pseudo masks made from hands come to the exact Region of Motion (``python -m benchmarks annotate``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from benchmarks.spoil import spoilt
from ivg_core.evaluate.metrics.motion import mask_iou
from ivg_core.hands.hand import Hand
from ivg_core.hands.tracker import HandTracker
from ivg_core.rom.annotate import RELEASED_TRACKER, annotate_clip, mask_of_hands
from ivg_core.synthetic.clips import Scene, Task
from ivg_core.synthetic.dataset import HELD_OUT_SEED
from ivg_core.synthetic.hand import HandView, silhouette

SIZE = (192, 128)
FRAMES = 8


def bench_annotate(
    clips: int = 100, first_seed: int = HELD_OUT_SEED, log: Callable[[str], None] = print
) -> dict[str, float]:
    """Annotate drawn clips, 192 x 128 pixels and 8 frames, and compare with what is known of them.

    Args:
        clips: how many.
        first_seed: of the scenes.
        log: receives a line for every ten clips.

    Returns:
        Flat figures, means over the clips: IoU with the exact Region of Motion (hands, forearms, tools and the thing
        that is moved), also without growing the hulls, with forearms, from motion, from both, where the camera moves
        (followed and not), and made as the released script does; IoU with
        the hands and forearms alone, and with the hands alone; the share of frames with a visible hand in which one is
        found, and of clips without a mask.
    """
    tracker, released = HandTracker(), HandTracker(**RELEASED_TRACKER)
    ious: dict[str, list[float]] = {}
    seen = found = without = 0
    for number, seed in enumerate(range(first_seed, first_seed + clips), 1):
        scene = Scene(seed, *SIZE)
        task = scene.tasks[seed % len(scene.tasks)]
        clip = scene.clip(task, FRAMES)
        frames = torch.from_numpy(clip.frames).float() / 255
        annotation = annotate_clip(frames, tracker)
        truth = torch.from_numpy(clip.rom_mask).float()
        pairs = {
            "exact_rom": (annotation.mask, truth),
            "exact_rom_hull_only": (_union(annotation.hands, dilate=0.0), truth),
            "exact_rom_with_arms": (_union(annotation.hands, dilate=0.15, arms_in=frames), truth),
            "exact_rom_motion": (annotate_clip(frames, tracker, evidence="motion").mask, truth),
            "exact_rom_both": (annotate_clip(frames, tracker, evidence="both").mask, truth),
            "exact_rom_panned": (annotate_clip(_panned(frames, seed), tracker).mask, truth),
            "exact_rom_panned_not_followed": (
                annotate_clip(_panned(frames, seed), tracker, follow_camera=False).mask,
                truth,
            ),
            "exact_rom_released": (annotate_clip(frames, released, parity=True).mask, truth),
            "hands_and_forearms": (annotation.mask, torch.from_numpy((clip.hands > 127).any(0)).float()),
            "hands": (annotation.mask, _hands_alone(scene, task)),
        }
        for name, (ours, exact) in pairs.items():
            ious.setdefault(f"iou_{name}", []).append(mask_iou(ours, exact))
        inside = ((clip.joints[..., :2] >= 0) & (clip.joints[..., :2] < SIZE)).all(-1)  # (F, K, 21)
        visible = (inside.mean(-1) > 0.8).any(1)  # (F,)
        seen += int(visible.sum())
        found += sum(bool(hands) for hands, there in zip(annotation.hands, visible, strict=True) if there)
        without += not annotation.mask.any()
        if number % 10 == 0:
            log(f"{number}/{clips}: " + ", ".join(f"{name} {fmean(values):.3f}" for name, values in ious.items()))
    figures = {name: fmean(values) for name, values in ious.items()}
    return {**figures, "frames_found": found / max(seen, 1), "clips_without_mask": without / clips, "clips": clips}


def _panned(frames: Tensor, seed: int) -> Tensor:
    """The clip before a camera that pans, zooms, rolls and jitters."""
    return spoilt(frames, "camera", seed)


def _union(hands: Sequence[Sequence[Hand]], dilate: float, arms_in: Tensor | None = None) -> Tensor:
    photos = [None] * len(hands) if arms_in is None else arms_in
    masks = [mask_of_hands(found, SIZE, dilate, photo) for found, photo in zip(hands, photos, strict=True)]
    return torch.stack(masks).amax(0)


def _hands_alone(scene: Scene, task: Task) -> Tensor:
    """Where the hands go without their forearms (H, W)."""
    plan = scene._plan(task, FRAMES)
    shapes = [silhouette(_cut_off(view), (scene.height, scene.width)) for step in plan for view in step.hands]
    return torch.from_numpy(np.max(shapes, axis=0)).float()


def _cut_off(view: HandView) -> HandView:
    """With a forearm that ends at once behind the wrist."""
    wrist, elbow = np.array(view.wrist), np.array(view.elbow)
    stump = wrist + (elbow - wrist) / np.linalg.norm(elbow - wrist)
    return replace(view, elbow=(float(stump[0]), float(stump[1])), sleeve=None)
