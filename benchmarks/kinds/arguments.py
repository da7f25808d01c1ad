"""Functions of the library, called as programs call them: frames of another form, numbers that cannot be."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ivg_core.evaluate.metrics.motion import mask_iou, motion_precision
from ivg_core.hands.score import score_hands
from ivg_core.hands.tracker import HandTracker
from ivg_core.media.contact_sheet import contact_sheet
from ivg_core.media.frames import to_frames
from ivg_core.media.images import to_image, to_mask
from ivg_core.media.masks import to_masks
from ivg_core.rom.annotate import annotate_clip
from ivg_core.rom.draft import rom_from_draft
from ivg_core.rom.fallback import prior_mask
from ivg_core.rom.find import find_rom
from ivg_core.rom.latent import vace_control
from ivg_core.rom.overlay import overlay_clip
from ivg_core.rom.preview import draw_rom
from ivg_core.rom.refine import refine_mask
from ivg_core.rom.window import window_for
from ivg_core.sampling.generate import generate
from ivg_core.sampling.predict import predict_rom
from ivg_core.sampling.settings import RAW, Sampling
from ivg_core.synthetic.clips import Scene

from . import odd
from .case import Case, kind
from .checkpoints import tiny
from .files import clip_frames


@lru_cache(1)
def tracker() -> HandTracker:
    return HandTracker()


def _mask() -> Tensor:
    return torch.from_numpy(odd.region()).float()


def _measured(value: float) -> float | None:
    """A figure; nan says, by its description, that there was nothing to measure."""
    return None if value != value else value


#: Everything that takes frames (F, H, W, 3) of a program's.
TAKE_FRAMES: dict[str, Callable[[Any], Any]] = {
    "to_frames": to_frames,
    "HandTracker.detect": lambda x: tracker().detect(x),
    "HandTracker.track": lambda x: tracker().track(x),
    "annotate_clip": lambda x: annotate_clip(x, tracker()),
    "score_hands": lambda x: score_hands(x, tracker()),
    "rom_from_draft": lambda x: rom_from_draft(x, near=_mask()),
    "overlay_clip": lambda x: overlay_clip(x, odd.photo(random.Random(0)), _mask()),
    "contact_sheet": lambda x: contact_sheet(x, _mask(), odd.photo(random.Random(0)), "stir"),
    "motion_precision": lambda x: _measured(motion_precision(x, _mask())),
}
TAKE_PHOTO: dict[str, Callable[[Any], Any]] = {
    "to_image": to_image,
    "generate": lambda x: (
        generate(tiny(), x, "stir", num_frames=2, size=(64, 48), how=replace(RAW, num_inference_steps=1)).frames
    ),
    "predict_rom": lambda x: (
        predict_rom(tiny(), x, "stir", num_frames=2, size=(64, 48), how=Sampling(num_inference_steps=1)).mask
    ),
    "find_rom": lambda x: find_rom(x, _mask()).mask,
    "draw_rom": lambda x: draw_rom(x, _mask()),
    "vace_control": lambda x: vace_control(x, _mask(), 5, (64, 48)),
}
TAKE_MASK: dict[str, Callable[[Any], Any]] = {
    "to_mask": to_mask,
    "to_masks": to_masks,
    "refine_mask": lambda x: refine_mask(x, threshold=0.5, grow=2),
    "prior_mask": lambda x: prior_mask([x], (64, 48)),
    "find_rom": lambda x: find_rom(odd.photo(random.Random(0)), x).mask,
    "overlay_clip": lambda x: overlay_clip(clip_frames(random.Random(0), 3), odd.photo(random.Random(0)), x),
    "window_for": lambda x: window_for(x, "zoom", (64, 48), 8, 0.1),
    "mask_iou": lambda x: _measured(mask_iou(x, _mask())),
    "vace_control": lambda x: vace_control(odd.photo(random.Random(0)), x, 5, (64, 48)),
    "generate": lambda x: (
        generate(
            tiny(),
            odd.photo(random.Random(0)),
            "stir",
            mask=x,
            num_frames=2,
            size=(64, 48),
            how=replace(RAW, num_inference_steps=1),
        ).frames
    ),
}


def _same(usual: Any, other: Any) -> str:
    """What differs between two results that should be alike."""
    pairs = list(zip(_tensors(usual), _tensors(other), strict=False))
    for a, b in pairs:
        if a.shape != b.shape:
            return f"its result has shape {tuple(b.shape)} in place of {tuple(a.shape)}"
        if float((a.float() - b.float()).abs().mean()) > 0.05:
            return f"its result differs from the usual one by {(a.float() - b.float()).abs().mean():.3f}"
    return ""


def _tensors(found: Any) -> list[Tensor]:
    if isinstance(found, Tensor):
        return [found]
    return [item for item in found if isinstance(item, Tensor)] if isinstance(found, (tuple, list)) else []


@kind("library", 180)
def frames_in_other_forms(rng: random.Random, folder: Path) -> Case:
    """Bytes, half, 0..255, NaN, none, other channels: the same at every entry, or refused."""
    name = rng.choice(list(TAKE_FRAMES))
    usual = clip_frames(rng, 3)
    form, given, clear = odd.changed(rng, usual)
    run = TAKE_FRAMES[name]

    def wrong(found: Any) -> str:
        if form in (*odd.NO_COLOURS, "none", "-1..1"):
            return "it is taken"
        return _same(run(usual), found) if clear else ""

    return Case(f"{name} of frames, {form}", lambda: run(given), wrong)


@kind("library", 110)
def photos_in_other_forms(rng: random.Random, folder: Path) -> Case:
    """The same for one photo (H, W, 3)."""
    name = rng.choice(list(TAKE_PHOTO))
    form, given, _ = odd.changed(rng, odd.photo(rng)[None], arrays=name in ("to_image", "generate", "predict_rom"))
    given = given[0] if isinstance(given, (Tensor, np.ndarray)) and len(given) == 1 and rng.random() < 0.8 else given
    wrong = lambda _: "it is taken" if form in odd.NO_COLOURS else ""  # noqa: E731
    return Case(f"{name} of a photo, {form}, {_form(given)}", lambda: TAKE_PHOTO[name](given), wrong)


@kind("library", 160)
def masks_in_other_forms(rng: random.Random, folder: Path) -> Case:
    """The same for masks (H, W) or (F, H, W)."""
    name = rng.choice(list(TAKE_MASK))
    form, given, _ = odd.changed(rng, _mask()[None], arrays=name in ("to_mask", "prior_mask", "generate"))
    given = given[0] if isinstance(given, Tensor) and len(given) == 1 and rng.random() < 0.7 else given
    wrong = lambda _: "it is taken" if form in odd.NO_COLOURS else ""  # noqa: E731
    return Case(f"{name} of a mask, {form}, {_form(given)}", lambda: TAKE_MASK[name](given), wrong)


def _form(given: Any) -> str:
    return f"{given.dtype} {tuple(given.shape)}" if isinstance(given, (Tensor, np.ndarray)) else type(given).__name__


@kind("library", 140)
def numbers_for_masks(rng: random.Random, folder: Path) -> Case:
    """Every number of *refine_mask*, *find_rom*, *rom_from_draft* and *window_for*."""
    number = odd.number(rng)
    photo, frames = odd.photo(rng), clip_frames(rng, 3)
    calls: dict[str, Callable[[], Any]] = {
        f"refine_mask({name}=": lambda name=name: refine_mask(_mask(), **{name: number})
        for name in ("threshold", "min_area", "close", "grow", "feather", "smooth")
    } | {
        "refine_mask(unit=thousandths, grow=": lambda: refine_mask(_mask(), grow=number, unit="thousandths"),
        "find_rom(grow=": lambda: find_rom(photo, _mask(), grow=number).mask,
        "find_rom(big=": lambda: find_rom(photo, _mask(), [_mask()], big=number).mask,
        "find_rom(reach=": lambda: find_rom(photo, _mask(), [], frames, reach=number).mask,
        "rom_from_draft(sensitivity=": lambda: rom_from_draft(frames, sensitivity=number, near=_mask()).mask,
        "window_for(multiple=": lambda: window_for(_mask(), "zoom", (64, 48), number, 0.1),
        "window_for(context=": lambda: window_for(_mask(), "crop", (64, 48), 8, number),
        "window_for(width=": lambda: window_for(_mask(), "zoom", (number, 48), 8, 0.1),
        "overlay_clip(feather=": lambda: overlay_clip(frames, photo, _mask(), number),
        "annotate_clip(dilate=": lambda: annotate_clip(frames, tracker(), dilate=number),
        "HandTracker(palm_threshold=": lambda: HandTracker(palm_threshold=number),
        "HandTracker(max_hands=": lambda: HandTracker(max_hands=number),
    }  # fmt: skip
    name = rng.choice(list(calls))
    wrong = lambda _: "NaN is taken" if number != number else ""  # noqa: E731
    return Case(f"{name}{number!r})", calls[name], wrong)


SAMPLING_KEYS = (
    "num_inference_steps", "guidance_scale", "guidance_interval", "solver", "region", "cache_every", "decode_chunk",
    "cache_tolerance", "feather", "motion_mode", "t_last",
)  # fmt: skip


@kind("library", 140)
def arguments_of_sampling(rng: random.Random, folder: Path) -> Case:
    """`generate` and `predict_rom` with a number, text or size that cannot be; quickly, and before much work."""
    usual: dict[str, Any] = {"num_frames": 2, "size": (64, 48), "seed": 0}
    how: dict[str, Any] = {"num_inference_steps": 1}
    name = rng.choice(
        ("num_frames", "size", "seed", "motion_strength", "negative_prompt", "action", "image size", *SAMPLING_KEYS)
    )
    value: Any = rng.choice((odd.number(rng), odd.number(rng), odd.value(rng)))
    action, photo = "stir the pan", odd.photo(rng)
    if name == "size":
        value = rng.choice(
            (
                (0, 0),
                (8, 8),
                (7, 9),
                (-64, 48),
                (10**5, 10**5),
                (10**9, 8),
                (64,),
                (64.0, 48.0),
                (float("nan"), 48),
                "64x48",
            )
        )
        usual["size"] = value
    elif name == "action":
        action = value = rng.choice((odd.text(rng), odd.value(rng)))
    elif name == "image size":
        value = rng.choice(((1, 1), (1, 4000), (3000, 2), (7, 5)))
        photo = torch.rand(*value, 3)
        usual.pop("size")
    elif name == "guidance_interval":
        how[name] = value = rng.choice(
            ((1, 0), (float("nan"), 1), (-1, 2), (0.5,), None, "ab", (0.5, 0.5), (float("inf"), 1))
        )
    elif name in SAMPLING_KEYS:
        how[name] = value
    else:
        usual[name] = value

    def call():
        if rng.random() < 0.2 and name not in ("motion_strength", "negative_prompt"):
            return predict_rom(tiny(), photo, action, how=Sampling(**how), **usual).mask
        return generate(tiny(), photo, action, mask=None, how=replace(RAW, **how), **usual).frames

    def wrong(found: Tensor) -> str:
        if isinstance(value, float) and value != value:
            return "NaN is taken"
        if name == "size" and found.shape[-3:-1] != tuple(value)[::-1] and found.ndim == 4:
            return f"a video of {tuple(found.shape)}"
        if name == "num_frames" and found.ndim == 4 and value and len(found) != value:
            return f"{len(found)} frames for {value!r}"
        return ""

    return Case(f"generate with {name} = {value!r:.80}", call, wrong)


@kind("library", 4)
def hands_in_bytes(rng: random.Random, folder: Path) -> Case:
    """Bytes show as many hands as floats: on drawn clips with a hand in sight."""
    scene = Scene(rng.randrange(1_000_000, 1_000_200), 448, 256)
    frames = torch.from_numpy(scene.clip(scene.tasks[0], 2).frames).float() / 255
    usual = [len(hands) for hands in tracker().detect(frames)]

    def wrong(found: list) -> str:
        counts = [len(hands) for hands in found]
        return "" if counts == usual else f"{counts} hands for {usual}"

    return Case(
        "HandTracker.detect of a drawn clip in bytes", lambda: tracker().detect((frames * 255).round().byte()), wrong
    )
