"""Regions of Motion found in real photos, against the authors' stage-1 masks (``python -m benchmarks rom_real``).

Needs the folder of the paper's public page (github.com/ExcitedButter/Instructional-Video-Generation): 12 photos, 12
masks, and clips of several models. The masks are another model's guess, and 6 photos a half are few: differences below
0.03 say nothing. Settings were chosen on the first half; the second is told.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from benchmarks.spoil import FAULTS, spoilt
from ivg_core.enrich.things import named_things
from ivg_core.errors import IVGError
from ivg_core.evaluate.metrics.motion import mask_iou
from ivg_core.hands.tracker import HandTracker
from ivg_core.media.images import load_image, load_mask, resize_mask
from ivg_core.rom.draft import STAYS, changes, moving_parts, read_draft, rom_from_draft
from ivg_core.rom.fallback import draw_hulls, hand_hull_mask, white_mask
from ivg_core.rom.find import find_rom
from ivg_core.rom.refine import apply_threshold
from ivg_core.synthetic.clips import Scene

CHOSEN, TOLD = ("36", "42", "792", "83", "158", "56"), ("31", "816", "24", "13", "87", "504")
#: Folder of the page -> whether its clips are drafts as a user would get them.
DRAFTS = {"animate_anything": True, "pia": True, "lfdm": True, "ours": True, "sora": False, "avdc": False}
#: Scenes of the drawn clips; the first ones, other than those that models are trained or measured on.
DRAWN_SEED, DRAWN_SIZE = 900_000, (192, 128)
#: What the page's sentences name, by photo.
THINGS = {
    "24": ("garlic clove",),
    "42": ("fruit", "running tap"),
    "816": ("crochet", "fabric"),
    "13": ("bin", "paper"),
    "31": ("carrot", "chopping board", "knife"),
    "83": ("dough",),
    "87": ("container of soy milk",),
    "792": ("cucumber", "knife"),
    "56": ("egg", "egg box", "bowl"),
    "36": ("bottle of vinegar", "bowl"),
    "504": ("wooden spoon", "pasta", "pan", "hob"),
    "158": ("fridge", "pack of garlic"),
}


def bench_rom_real(page: Path, drawn: int = 70, log: Callable[[str], None] = print) -> dict[str, float]:
    """Measure the ways to find a region.

    Args:
        page: folder of the public page.
        drawn: how many drawn clips; 4 of 7 of them are spoilt too.
        log: receives lines of progress.

    Returns:
        Flat figures. ``page_*``: mean IoU with the authors' masks over the second half of the photos (``*_first``: over
        the first): the hands' outline, then each model's clips as drafts, and these with all faults. Of the 72 clips
        how many were rightly refused or taken. Of still photos with all faults the share that is wrongly called
        moving. Of drawn clips the IoU with the exact region, no hands used. Of the page's 12 sentences how many named
        things are found, of how many, and how many are none.
    """
    if not (page / "index.html").is_file():
        raise IVGError(f"There is no page at {page}: give the folder with index.html, input, mask, pia, ours …")
    return {**_on_page(page, log), **_on_drawn(drawn, log), **_on_sentences(page)}


def _on_page(page: Path, log: Callable[[str], None]) -> dict[str, float]:
    tracker, ious, right, still = HandTracker(), dict[str, dict[str, float]](), 0, []
    for number, name in enumerate((*CHOSEN, *TOLD)):
        photo = load_image(page / "input" / f"{name}.png")
        size = (photo.shape[1], photo.shape[0])
        truth = apply_threshold(resize_mask(load_mask(page / "mask" / f"{name}.png"), size), 0.5)
        joints = tracker(photo)
        hands = draw_hulls(joints, size)
        found = {"hands": find_rom(photo, hands).mask, "white": white_mask(size)}
        found["hands_each_32px"] = hand_hull_mask(photo, lambda _, joints=joints: joints, 32.0)
        for model, good in DRAFTS.items():
            clip = read_draft(page / model / f"{name}.mp4")
            refused = _refuses(clip, photo, hands)
            right += refused != good
            if model in ("animate_anything", "pia"):
                found[model] = find_rom(photo, hands, draft=clip).mask
                for fault in FAULTS:
                    found[f"{model}_{fault}"] = find_rom(photo, hands, draft=spoilt(clip, fault, number)).mask
        still.append(float(moving_parts(changes(spoilt(photo.expand(16, -1, -1, -1), "all", number))[0])[-1].mean()))
        for way, mask in found.items():
            ious.setdefault(way, {})[name] = mask_iou(mask, truth)
        log(f"{name}: " + ", ".join(f"{way} {found_in[name]:.2f}" for way, found_in in ious.items()))
    short = {"animate_anything": "aa", "pia": "pia"}
    figures = {}
    for way, found_in in ious.items():
        model = next((model for model in short if way.startswith(model)), "")
        key = f"page_{way.replace(model, short[model]) if model else way}".replace("_all", "_spoilt")
        figures[key] = fmean(found_in[name] for name in TOLD)
        figures[f"{key}_first"] = fmean(found_in[name] for name in CHOSEN)
    return {
        **figures,
        "refused_right": right,
        "clips_judged": len(DRAFTS) * len(CHOSEN + TOLD),
        "still_moving_mean": fmean(still),
        "still_moving_worst": max(still),
    }


def _refuses(clip: Tensor, photo: Tensor, hands: Tensor) -> bool:
    """Whether a clip is refused because it does not begin with the photo or leaves the scene."""
    found = rom_from_draft(clip, photo, hands)
    return not found.used and found.agreement < STAYS


def _on_drawn(clips: int, log: Callable[[str], None]) -> dict[str, float]:
    clean, worse = [], []
    for number in range(clips):
        scene = Scene(DRAWN_SEED + number, *DRAWN_SIZE)
        clip = scene.clip(scene.tasks[number % len(scene.tasks)], 16)
        frames, truth = torch.from_numpy(clip.frames).float() / 255, torch.from_numpy(clip.rom_mask).float()
        clean.append(_drawn_iou(frames, truth))
        if number < clips * 4 // 7:
            worse.append(_drawn_iou(spoilt(frames, "all", number), truth))
    log(f"drawn: {fmean(clean):.3f}, spoilt {fmean(worse):.3f}")
    return {"drawn_clean": fmean(clean), "drawn_spoilt": fmean(worse), "drawn_clips": clips}


def _drawn_iou(frames: Tensor, truth: Tensor) -> float:
    try:
        return mask_iou(rom_from_draft(frames, shape="none", grow=0.0).mask, truth)
    except IVGError:  # nothing moves in it
        return 0.0


def _on_sentences(page: Path) -> dict[str, float]:
    text = (page / "index.html").read_text(encoding="utf-8")
    photos = re.findall(r'src="input/(\d+)\.png', text)
    arrow = r'→.*?[“"]([^"”]+)[”"]'  # the short prompt → the sentence
    sentences = [html.unescape(found) for found in re.findall(arrow, re.sub(r"<[^>]+>", " ", text), re.DOTALL)]
    found = extra = 0
    for photo, sentence in zip(photos, sentences, strict=True):
        names = set(named_things(sentence))
        found += len(names & set(THINGS[photo]))
        extra += len(names - set(THINGS[photo]))
    return {"things_found": found, "things_named": sum(map(len, THINGS.values())), "things_extra": extra}
