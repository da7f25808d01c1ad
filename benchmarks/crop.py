"""What a window around the region saves, and whether its seam shows (``python -m benchmarks crop``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import fmean, median
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rom import HeldOut, held_out_scenes
from ivg_core.media.images import resize_image
from ivg_core.models.codec import ImageCodec
from ivg_core.rom.composite import seam
from ivg_core.rom.overlay import stitch_clip
from ivg_core.rom.window import Window, window_for
from ivg_core.sampling.generate import generate
from ivg_core.sampling.settings import RAW

if TYPE_CHECKING:
    from ivg_core.models.bundle import IVGModel

TIMES_LARGER = 4  # the photo's sides, relative to the model's video
AREAS = (5, 10, 14, 20, 30, 40)  # percent of the photo that the mask covers
GAIN, OFFSET = 0.92, 0.04  # the colours that a model is made to bring back, beside its autoencoder's own


def bench_crop(model: IVGModel, scenes: int = 6, log: Callable[[str], None] = print) -> dict[str, float]:
    """Make the video of a whole photo, and of a window in the same detail, for masks of several sizes.

    Args:
        model: one with stage 2.
        scenes: number of held-out scenes, drawn larger than the model's videos.
        log: receives one line a scene and mask.

    Returns:
        Flat figures, medians over the scenes. For each share of the photo that the mask covers: `tokens_saved_*`, the
        part of the tokens that the window does without, 0..1; `flops_fewer_*` and `times_faster_*`, the whole photo's
        floating-point operations and processor seconds by the window's, stitching included. For masks of 14 %:
        `detail_zoom`, how many times the detail of the whole photo's video a window of the same size has;
        `seam_error`, levels of 255 by which a still window differs from the photo on the seam after it went through the
        model's autoencoder and its colours drifted; `seam_error_plain`, the same laid in with a hard edge as it is.
        `outside_equal`, 1 if in every clip no bit of the photo changed outside mask and seam.
    """
    size = (model.defaults.width, model.defaults.height)
    saved: dict[int, list[float]] = {area: [] for area in AREAS}
    faster: dict[int, list[float]] = {area: [] for area in AREAS}
    fewer: dict[int, list[float]] = {area: [] for area in AREAS}
    detail, seams, plain, equal = [], [], [], True
    flops: dict[tuple[int, int], float] = {}  # of a size; they do not depend on what is seen
    large = held_out_scenes(scenes, *(side * TIMES_LARGER for side in size), model.defaults.num_frames)
    for index, item in enumerate(large):
        for area in AREAS:
            mask = with_area(item.truths[0], area / 100)
            window = window_for(mask, "crop", size)
            for sampled, where in ((size, None), (window.sampled, window)):
                if sampled not in flops:
                    flops[sampled] = _flops(model, item, mask, where)
            seconds = []
            for where in (None, window):
                began = time.process_time()
                frames = _video(model, item, mask, where, index)
                seconds.append(time.process_time() - began)
            outside = seam(mask, min(window.size) / 32) == 0
            equal &= bool((frames[:, outside] == item.photo[outside]).all())
            saved[area].append(1 - window.sampled[0] * window.sampled[1] / (size[0] * size[1]))
            fewer[area].append(flops[size] / flops[window.sampled])
            faster[area].append(seconds[0] / seconds[1])
            log(f"scene {index}, {area} %: {saved[area][-1]:.2f} {fewer[area][-1]:.2f} {faster[area][-1]:.2f}")
        mask = with_area(item.truths[0], 0.14)
        window = window_for(mask, "zoom", size)
        detail.append(window.sampled[0] / window.width * TIMES_LARGER)
        softly, hard = _seam_errors(model, item.photo, mask, window)
        seams.append(softly)
        plain.append(hard)
    figures: dict[str, float] = {"scenes": scenes}
    for area in AREAS:
        figures[f"tokens_saved_{area}_percent"] = median(saved[area])
        figures[f"flops_fewer_{area}_percent"] = median(fewer[area])
        figures[f"times_faster_{area}_percent"] = median(faster[area])
    return figures | {
        "detail_zoom": median(detail),
        "seam_error": fmean(seams),
        "seam_error_plain": fmean(plain),
        "outside_equal": float(equal),
    }


def with_area(mask: Tensor, area: float) -> Tensor:
    """The mask (H, W), grown or shrunk alike on all sides until it covers that share of the picture."""
    inside = (mask > 0).numpy().astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    return torch.from_numpy((depth >= np.quantile(depth, 1 - area)).astype(np.float32))


def _video(model: IVGModel, item: HeldOut, mask: Tensor, window: Window | None, seed: int) -> Tensor:
    """The video in the model's detail, laid over the photo (F, H, W, 3)."""
    size = (model.defaults.width, model.defaults.height)
    photo, part = item.photo, mask
    if window:
        size, photo, part = window.sampled, window.cut_photo(photo), window.cut(mask)
    how = RAW
    made = generate(model, photo.contiguous(), item.tasks[0].text, mask=part, size=size, seed=seed, how=how).frames
    return stitch_clip(made, item.photo, mask, window)[0]


def _flops(model: IVGModel, item: HeldOut, mask: Tensor, window: Window | None) -> float:
    with FlopCounterMode(display=False) as counter:
        _video(model, item, mask, window, 0)
    return counter.get_total_flops()


@torch.no_grad()
def _seam_errors(model: IVGModel, photo: Tensor, mask: Tensor, window: Window) -> tuple[float, float]:
    codec = ImageCodec(model.vae)
    still = resize_image(window.cut_photo(photo), window.sampled)
    frames = codec.decode(codec.encode(still[None])[None])[0] * GAIN + OFFSET
    softly, _ = stitch_clip(frames, photo, mask, window)
    hard = photo.clone()
    window.lay(frames[0], hard, window.cut(mask))
    alpha = seam(mask, min(window.size) / 32)
    rim = (alpha > 0) & (alpha < 1)
    inner = (alpha == 1) & (seam(1 - mask, 1.5) > 0)  # the last pixels of the hard edge
    return tuple(255 * float((frames[where] - photo[where]).abs().mean()) for frames, where in
                 ((softly[0], rim | inner), (hard, inner)))  # fmt: skip
