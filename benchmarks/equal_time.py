"""How good a video is that takes no longer than the default one: solvers, steps and reuse (``… equal_time``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import isnan
from statistics import fmean, median
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.fast import TOLERANCE, likeness_of, video_of
from benchmarks.rom import HeldOut, held_out_scenes
from ivg_core.evaluate.metrics.hs_err import hs_err
from ivg_core.evaluate.metrics.motion import motion_precision
from ivg_core.hands.tracker import HandTracker
from ivg_core.sampling.crop import MARGIN

if TYPE_CHECKING:
    from ivg_core.models.bundle import IVGModel

BEFORE = "dpm++2m_8"  # as the embedded model's files say
TRIED: dict[str, dict[str, Any]] = {
    **{f"dpm++2m_{n}": {"num_inference_steps": n} for n in (2, 3, 4, 6, 8, 12)},
    **{f"ddim_{n}": {"num_inference_steps": n, "solver": "ddim"} for n in (3, 4, 8, 12)},
    **{f"lcm_{n}": {"num_inference_steps": n, "solver": "lcm"} for n in (2, 3, 4, 6, 8, 12)},
    "dpm++2m_8_every_4": {"num_inference_steps": 8, "cache_every": 4},
    "dpm++2m_8_tolerance": {"num_inference_steps": 8, "cache_tolerance": TOLERANCE},
    "dpm++2m_16_tolerance": {"num_inference_steps": 16, "cache_tolerance": TOLERANCE},
    "lcm_8_tolerance": {"num_inference_steps": 8, "solver": "lcm", "cache_tolerance": TOLERANCE},
    **{f"margin_1/{n}": {"num_inference_steps": 8, "region": "crop", "margin": 1 / n} for n in (4, 8, 16)},
    "lcm_8_every_2": {"num_inference_steps": 8, "solver": "lcm", "cache_every": 2},
}
#: The best of these on other scenes is `AFTER`: nearer to the truth in all three figures, and faster.
AFTER = "lcm_6"
MARGINS = ("margin_1/4", "margin_1/8", "margin_1/16")
REUSED = ("lcm_8_every_2", "dpm++2m_8_every_4", "dpm++2m_8_tolerance")
TOLD = (BEFORE, AFTER, "dpm++2m_4", "lcm_4", "lcm_8", *REUSED, *MARGINS)
CHOOSING = 500  # seeds to skip: scenes that nothing is told of


def bench_equal_time(
    model: IVGModel, scenes: int, seeds: int, choose: bool, log: Callable[[str], None] = print
) -> dict[str, float]:
    """Every setting on the same scenes, masks and noise, one after the other, each judged by the exact clip.

    Args:
        model: one with stage 2.
        scenes: number of held-out scenes.
        seeds: of the noise, for each scene.
        choose: try all settings on other scenes; otherwise those that were chosen are told of.
        log: receives a line a setting.

    Returns:
        Flat figures of each setting: ``seconds_*``, processor time beside the default one's, which is 1; ``inside_*``,
        PSNR inside the mask in decibels; ``hs_err_*`` with ``hand_recall_*``, the share of hands found;
        ``motion_precision_*``. Medians of time, else means. Once more
        ``quality_at_equal_time_before`` and ``…_after``: the first of these of the default and of what was chosen.
    """
    size = model.defaults
    items = held_out_scenes(scenes, size.width, size.height, size.num_frames, skipped=CHOOSING if choose else 0)
    settings = TRIED if choose else {name: TRIED[name] for name in TOLD}
    tracker = HandTracker()
    _video(model, items[0], 0, settings[BEFORE])  # warms up
    rows: dict[str, dict[str, list[float]]] = {name: {} for name in settings}
    for index, item in enumerate(items):
        true = torch.from_numpy(item.scene.clip(item.tasks[0], size.num_frames).frames).float() / 255
        for seed in range(seeds):
            for name, how in settings.items():
                began = time.process_time()
                video = _video(model, item, 1000 * seed + index, how)
                judged = {"seconds": time.process_time() - began, **_judged(video, true, item, tracker)}
                for figure, value in judged.items():
                    if not isnan(value):
                        rows[name].setdefault(figure, []).append(value)
    figures: dict[str, float] = {"scenes": scenes, "seeds": seeds}
    for name, columns in rows.items():
        ratios = [a / b for a, b in zip(columns["seconds"], rows[BEFORE]["seconds"], strict=True)]
        told = {figure: fmean(values) for figure, values in columns.items()} | {"seconds": median(ratios)}
        log(f"{name:24}" + "".join(f"  {figure} {value:.4f}" for figure, value in told.items()))
        figures |= {f"{figure}_{name}": value for figure, value in told.items()}
    figures["quality_at_equal_time_before"] = figures[f"inside_{BEFORE}"]
    figures["quality_at_equal_time_after"] = figures[f"inside_{AFTER}"]
    return figures


def _video(model: IVGModel, item: HeldOut, seed: int, options: dict[str, Any]) -> Tensor:
    how = {name: value for name, value in options.items() if name != "margin"}
    with patch("ivg_core.sampling.crop.MARGIN", options.get("margin", MARGIN)):
        return video_of(model, item, seed, how)


def _judged(video: Tensor, true: Tensor, item: HeldOut, tracker: HandTracker) -> dict[str, float]:
    moving = item.truths[0] > 0
    hands = hs_err(video, true, tracker)
    return {
        "inside": likeness_of(video[:, moving], true[:, moving]),
        "hs_err": hands.value,
        "hand_recall": hands.recall,
        "motion_precision": motion_precision(video, item.truths[0]),
    }
