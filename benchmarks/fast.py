"""What each fast mode gives and costs, beside full sampling (``python -m benchmarks fast``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmarks.rom import HeldOut, held_out_scenes
from ivg_core.evaluate.metrics.pixels import psnr
from ivg_core.sampling.generate import Sampling, generate

if TYPE_CHECKING:
    from ivg_core.models.bundle import IVGModel

GUIDED: dict[str, Any] = {"guidance_scale": 3.0}
INTERVAL: dict[str, Any] = {**GUIDED, "guidance_interval": (0.25, 0.75)}
TOLERANCE = 0.3
FAST: dict[str, Any] = {**INTERVAL, "cache_tolerance": TOLERANCE}
PUBLISHED = 25 / 8  # times the embedded model's number of steps
MODES: dict[str, dict[str, Any]] = {
    "full": {},
    "cache_2": {"cache_every": 2},
    "cache_3": {"cache_every": 3},
    "cache_4": {"cache_every": 4},
    "adaptive": {"cache_tolerance": TOLERANCE},
    "crop": {"region": "crop"},
    "zoom": {"region": "zoom"},
    "half_the_steps": {"num_inference_steps": 0.5},
    "lcm_half_the_steps": {"num_inference_steps": 0.5, "solver": "lcm"},
    "fast_crop": {"region": "crop", "cache_tolerance": TOLERANCE},
    "guided": GUIDED,
    "guided_interval": INTERVAL,
    "guided_fast": FAST,
    "guided_fast_crop": {**FAST, "region": "crop"},
    "guided_25": {**GUIDED, "num_inference_steps": PUBLISHED},
    "guided_25_adaptive": {**GUIDED, "num_inference_steps": PUBLISHED, "cache_tolerance": TOLERANCE},
    "guided_25_fast": {**FAST, "num_inference_steps": PUBLISHED},
    "guided_25_fast_crop": {**FAST, "num_inference_steps": PUBLISHED, "region": "crop"},
}
#: What a mode is compared with: the first of these that its name begins with, or all of it.
EXACT = ("guided_25", "guided")

# Written before the first recording: (times faster, PSNR). All but guided_interval follow trials on 3 to 6 scenes.
PREDICTED = {
    "cache_2": (1.35, 43.5),
    "cache_3": (1.55, 39.5),
    "cache_4": (1.75, 33.0),
    "adaptive": (1.75, 36.5),
    "crop": (1.35, 36.5),
    "zoom": (0.95, 26.5),
    "half_the_steps": (1.6, 47.5),
    "lcm_half_the_steps": (1.6, 28.0),
    "fast_crop": (2.1, 33.0),
    "guided_interval": (1.25, 32.0),
    "guided_fast": (2.2, 38.0),
    "guided_fast_crop": (2.5, 34.0),
    "guided_25_adaptive": (2.8, 36.0),
    "guided_25_fast": (3.4, 37.0),
    "guided_25_fast_crop": (4.0, 33.0),
}


def bench_fast(model: IVGModel, scenes: int = 12, log: Callable[[str], None] = print) -> dict[str, float]:
    """Run every mode on held-out scenes with exact masks, one after the other on each scene.

    Args:
        model: one with stage 2.
        scenes: number of held-out scenes.
        log: receives one line a scene.

    Returns:
        Flat figures. For each mode: ``times_faster_*``, the median over scenes of full sampling's processor time by its
        own; ``psnr_*``, the median likeness of its frames to full sampling's, in decibels, the photo being composited
        outside the mask by both; ``inside_*``, the median PSNR inside the mask against the true clip; and what had been
        predicted. The recommended combination once more as ``ratio_fast_vs_exact`` and ``psnr_fast_vs_exact``.
    """
    size = model.defaults
    _run(model, held_out_scenes(1, size.width, size.height, size.num_frames)[0], 0, {})  # warms up
    seconds: dict[str, list[float]] = {name: [] for name in MODES}
    likeness: dict[str, list[float]] = {name: [] for name in [*MODES, "still"]}
    inside: dict[str, list[float]] = {name: [] for name in [*MODES, "still"]}
    for index, item in enumerate(held_out_scenes(scenes, size.width, size.height, size.num_frames)):
        clip = torch.from_numpy(item.scene.clip(item.tasks[0], size.num_frames).frames).float() / 255
        moving = item.truths[0] > 0
        videos: dict[str, Tensor] = {"still": item.photo.expand_as(clip)}
        for name, options in MODES.items():
            began = time.process_time()
            videos[name] = _run(model, item, index, options)
            seconds[name].append(time.process_time() - began)
        for name, video in videos.items():
            likeness[name].append(likeness_of(video, videos[exact_of(name)]))
            inside[name].append(likeness_of(video[:, moving], clip[:, moving]))
        log(f"{index + 1}/{scenes}")
    figures: dict[str, float] = {"scenes": scenes}
    for name in MODES:
        if name != (exact := exact_of(name)):
            ratios = [a / b for a, b in zip(seconds[exact], seconds[name], strict=True)]
            figures[f"times_faster_{name}"] = median(ratios)
            figures[f"psnr_{name}"] = median(likeness[name])
            figures[f"predicted_times_faster_{name}"], figures[f"predicted_psnr_{name}"] = PREDICTED[name]
    figures |= {f"inside_{name}": median(values) for name, values in inside.items()}
    figures["psnr_still"] = median(likeness["still"])
    figures["ratio_fast_vs_exact"] = figures["times_faster_guided_25_fast"]
    figures["psnr_fast_vs_exact"] = figures["psnr_guided_25_fast"]
    return figures


def exact_of(mode: str) -> str:
    """The mode without anything that makes it faster."""
    return next((exact for exact in EXACT if mode.startswith(exact)), "full")


def _run(model: IVGModel, item: HeldOut, seed: int, options: dict[str, Any]) -> Tensor:
    steps = round(model.defaults.num_inference_steps * options.get("num_inference_steps", 1))
    return video_of(model, item, seed, {**options, "num_inference_steps": steps})


def video_of(model: IVGModel, item: HeldOut, seed: int, options: dict[str, Any]) -> Tensor:
    """The video of a held-out scene's first task under its exact mask, (F, H, W, 3) in 0..1, by these `Sampling`."""
    return generate(
        model,
        item.photo,
        item.tasks[0].text,
        mask=item.truths[0],
        num_frames=model.defaults.num_frames,
        seed=seed,
        how=Sampling(keep_first_frame=True, composite=True, **options),
    ).frames


def likeness_of(a: Tensor, b: Tensor) -> float:
    """PSNR in decibels, at most 100: that of equal clips, for which JSON has no number."""
    return min(psnr(a, b), 100.0)
