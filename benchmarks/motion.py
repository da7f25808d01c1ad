"""What a motion LoRA learns from drawn clips of one motion: how well other scenes follow it, and what leaks with it.

The motion is one that the embedded model never saw: a hand goes once round in the air. Every variant learns from the
same clips, with the same rank, rate and number of steps, and is used on scenes and things that it did not see.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isnan
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import torch
from torch import Tensor

from ivg_core.hands.tracker import HandTracker
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.bundle import IVGModel
from ivg_core.models.codec import ImageCodec
from ivg_core.models.lora import LoRA, applied_lora
from ivg_core.models.text import encode_text
from ivg_core.models.told import Told
from ivg_core.sampling.decode import decode_frames
from ivg_core.sampling.generate import denoise, generate
from ivg_core.sampling.guidance import Guided
from ivg_core.sampling.noise import gaussian_noise
from ivg_core.sampling.settings import RAW
from ivg_core.sampling.solver import make_solver
from ivg_core.synthetic.clips import DrawnClip, Scene, Task
from ivg_core.synthetic.dataset import HELD_OUT_SEED
from ivg_core.synthetic.hand import HandView
from ivg_core.synthetic.moments import Step
from ivg_core.synthetic.skeleton import POSES
from ivg_core.training.batches import ListDataset
from ivg_core.training.config import LoRASettings, TrainConfig, TrainingPath
from ivg_core.training.sample import Sample
from ivg_core.training.trainer import train

WIDE, HIGH = 0.20, 0.40  # of the circle, shares of the picture's height
SEEN = 0.6  # palms of the hand that must show at rest
#: The first scenes are for choosing steps, rates and ranks; those from here on are told.
TOLD = 100


class Circling(Scene):
    """A scene whose hand goes once round: it rises to one side, over the counter, and sinks on the other."""

    def _plan(self, task: Task, num_frames: int) -> list[Step]:
        return [self._at(task, f / max(num_frames - 1, 1)) for f in range(num_frames)]

    def _at(self, task: Task, t: float) -> Step:
        phase, up = 2 * math.pi * t, self.height
        x = 0.35 * self.elbow_x + 0.65 * (self.width / 2 + self.side * 0.22 * self.width)
        y = self.height + (1.5 - self.peek) * self.palm * 0.75
        wrist = (x + WIDE * up * math.sin(phase), y - HIGH * up * (1 - math.cos(phase)) / 2)
        hand = HandView(
            POSES["relaxed"], wrist, self.palm, self.side * 8.0, self.elbow, self.side < 0, self.skin, self.sleeve, 10
        )
        return Step([hand], {task.target: self.props[task.target]})

    def round(self, num_frames: int) -> DrawnClip:
        """The clip, with a sentence that names the scene's first thing."""
        thing = self.props[0]
        task = Task("circle", 0, 1, f"move the hand around over the {thing.colour} {thing.kind}")
        return self.clip(task, num_frames)


def scenes(first: int, count: int, width: int, height: int) -> Iterator[Circling]:
    """`count` scenes, from seed `first` on, in which the hand shows at rest."""
    seed = first
    while count:
        scene = Circling(seed, width, height)
        if scene.peek > SEEN:
            count -= 1
            yield scene
        seed += 1


@torch.no_grad()
def sample_of(model: IVGModel, clip: DrawnClip, name: str) -> Sample:
    """A drawn clip as the trainer reads it."""
    text = encode_text(model, [clip.text, ""])
    frames = torch.from_numpy(clip.frames).float() / 255
    return {
        "latents": ImageCodec(model.vae).encode(frames),
        "rom_mask": torch.from_numpy(clip.rom_mask).float(),
        "text": text[0],
        "empty_text": text[1],
        "caption": clip.text,
        "name": name,
    }


LOOKS = TrainingPath({"noise": 1.0}, ["spatial"], frames="one", chance=0.8, name="looks")
DUAL = TrainingPath({"noise": 1.0}, ["temporal"], ["spatial"], name="motion")
VARIANTS: dict[str, list[TrainingPath]] = {
    "plain": [],
    "dual": [LOOKS, DUAL],
    "published": [LOOKS, replace(DUAL, losses={"noise": 1.0, "debiased": 1.0})],
}


@dataclass(frozen=True)
class MotionSettings:
    """What all variants share; chosen on scenes that are not told.

    Attributes:
        clips: drawn clips of the motion.
        steps: optimiser steps.
        rank: of every LoRA.
        learning_rate: MotionDirector's.
    """

    clips: int = 3
    steps: int = 300
    rank: int = 32
    learning_rate: float = 5e-4


def learn(
    model: IVGModel,
    clips: list[DrawnClip],
    variant: str,
    settings: MotionSettings,
    out: Path,
    log: Callable[[str], None],
) -> LoRA:
    """The LoRA of a variant, as its file holds it for use."""
    paths = VARIANTS[variant]
    roles = {role: LoRASettings(settings.rank, dropout=0.1) for role in ("spatial", "temporal")}
    if paths:
        roles["spatial"].per_clip = True
    config = TrainConfig(
        out=str(out / variant),
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        warmup=0,
        weight_decay=1e-4,
        clip=0,
        text_dropout=0,
        device="cpu",
        lora=roles,
        paths=paths,
        losses={} if paths else {"noise": 1.0},
        save_every=100,
        keep_last=1,
    )
    data = ListDataset([sample_of(model, clip, f"clip {i}") for i, clip in enumerate(clips)])

    def say(step: int, total: int, figures: dict[str, float]) -> None:
        if step % 50 == 0:
            log(f"{variant}: step {step} of {total}, loss {figures['loss']:.3f}, {figures['seconds']:.2f} s")

    found = train(config, model, data, resume="auto", on_step=say).lora
    assert found is not None
    return found


# ---------------------------------------------------------------- what is measured


def flow_path(frames: Tensor, mask: Tensor) -> np.ndarray:
    """How what moves moves from frame to frame: the mean optical flow inside the mask (F - 1, 2), pixels."""
    inside = mask.numpy() > 0.5
    grey = [cv2.cvtColor((frame.numpy() * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY) for frame in frames]
    optical = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    steps = []
    for before, after in pairwise(grey):
        flow = optical.calc(before, after, None)  # type: ignore[call-overload]
        weight = np.linalg.norm(flow, axis=-1) * inside
        steps.append((flow * weight[..., None]).sum((0, 1)) / max(weight.sum(), 1e-6))
    return np.stack(steps)


def hand_path(frames: Tensor, tracker: HandTracker) -> np.ndarray:
    """Where the surest hand is in each frame (F, 2), pixels; NaN where none is found."""
    places = []
    for hands in tracker.track(frames):
        places.append(np.asarray(hands[0].joints)[:, :2].mean(0) if hands else np.full(2, np.nan))
    return np.stack(places)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of two paths (F, 2), both coordinates together; 0 where fewer than half of the frames have both."""
    both = ~(np.isnan(one).any(1) | np.isnan(other).any(1))
    if both.sum() < max(3, len(one) / 2):
        return 0.0
    a, b = (path[both] - path[both].mean(0) for path in (one, other))
    return float((a * b).sum() / max(math.sqrt((a**2).sum() * (b**2).sum()), 1e-9))


@torch.no_grad()
def without_photo(model: IVGModel, sentence: str, seed: int) -> Tensor:
    """What the network makes of the sentence alone (F, H, W, 3): no first frame holds it to a scene."""
    made, cell = model.defaults, model.vae_scale_factor
    backbone = UNetBackbone(model, 2)
    cells = (made.height // cell, made.width // cell)
    told = Told(encode_text(model, [sentence]), mask=torch.ones(1, 1, 1, *cells))
    noise = gaussian_noise([seed], (4, made.num_frames, *cells))
    solver = make_solver(model.scheduler_config, made.num_inference_steps)
    return decode_frames(backbone.codec, denoise(Guided(backbone, [(1.0, told)]), solver, noise))[0]


def leak(video: Tensor, without: Tensor, references: list[Tensor], outside: Tensor) -> float:
    """How far a video went from the one without the LoRA towards what the reference clips look like, 0 not, 1 all.

    Args:
        video, without: (F, H, W, 3) of the same noise.
        references: frames of the clips that were learned from.
        outside: (H, W), 1 where it is looked at.
    """
    shares = []
    for reference in references:
        there = (reference.mean(0) - without.mean(0)) * outside[..., None]
        gone = (video.mean(0) - without.mean(0)) * outside[..., None]
        shares.append(float((gone * there).sum() / there.square().sum()))
    return max(shares)


def bench_motion(
    model: IVGModel,
    work: Path,
    count: int = 12,
    told: bool = True,
    settings: MotionSettings | None = None,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Learn a motion in three ways and use each on other scenes, beside the model without a LoRA.

    Args:
        model: the embedded one.
        work: folder for the trainings; one that was stopped goes on.
        count: scenes to use it on.
        told: measure on the scenes that are told, not on those for choosing settings.
        settings: of the trainings.
        log: receives progress.

    Returns:
        Flat figures of each variant: `fidelity`, the mean of the correlations of the hand's path (by the tracker) and
        of what moves (by optical flow) with the exact clip's; `hand`, `flow`, both by themselves; `found`, the share of
        frames with a hand; `leak` in the whole picture without a photo; `leak_outside` of the Region of Motion, and
        `leak_whole` where all may move, both with the photo.
    """
    settings = settings or MotionSettings()
    size = (model.defaults.width, model.defaults.height)
    frames = model.defaults.num_frames
    clips = [scene.round(frames) for scene in scenes(1, settings.clips, *size)]
    references = [torch.from_numpy(clip.frames).float() / 255 for clip in clips]
    loras: dict[str, LoRA | None] = {"none": None}
    loras |= {variant: learn(model, clips, variant, settings, work, log) for variant in VARIANTS}
    tracker = HandTracker()
    rows: dict[str, list[float]] = {}
    first = HELD_OUT_SEED + (TOLD if told else 0)
    for index, scene in enumerate(scenes(first, count, *size)):
        clip = scene.round(frames)
        true = torch.from_numpy(clip.frames).float() / 255
        mask = torch.from_numpy(clip.rom_mask).float()
        paths = hand_path(true, tracker), flow_path(true, mask)
        bare: dict[str, Tensor] = {}
        for variant, lora in loras.items():
            context = applied_lora(model.unet, lora) if lora and model.unet else nullcontext()
            with context:
                videos = {
                    "outside": generate(model, true[0], clip.text, mask=mask, seed=index, how=RAW).frames,
                    "whole": generate(model, true[0], clip.text, seed=index, how=RAW).frames,
                    "free": without_photo(model, clip.text, index),
                }
            bare = bare or videos
            hand, everywhere = hand_path(videos["outside"], tracker), torch.ones_like(mask)
            figures = {
                "hand": correlation(hand, paths[0]),
                "flow": correlation(flow_path(videos["outside"], mask), paths[1]),
                "found": float((~np.isnan(hand).any(1)).mean()),
                "leak": leak(videos["free"], bare["free"], references, everywhere),
                "leak_outside": leak(videos["outside"], bare["outside"], references, 1 - mask),
                "leak_whole": leak(videos["whole"], bare["whole"], references, everywhere),
            }
            figures["fidelity"] = (figures["hand"] + figures["flow"]) / 2
            log(f"scene {index}  {variant:10}" + "".join(f"  {name} {value:.3f}" for name, value in figures.items()))
            for name, value in figures.items():
                if not isnan(value):
                    rows.setdefault(f"{name}_{variant}", []).append(value)
    return {name: fmean(values) for name, values in rows.items()} | {"scenes": float(count)}
