"""Seconds that every mask and hand node takes for a photo of 24 megapixels (``python -m benchmarks large_photo``).

The node classes run over the stand-ins of the tests, on two cores. What a node shows is written as ComfyUI writes it,
and that counts.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ivg_core.media.images import load_image, to_bytes
from ivg_core.synthetic import example

if TYPE_CHECKING:
    from types import ModuleType

WIDTH, HEIGHT = 6000, 4000
CORES = 2
COVERS = 0.14  # share of the picture that the mask covers
SPECKS = 400
SHARES = {"min_area": 16, "close": 2, "grow": 4, "unit": "1/1000 of the width"}
REFINE = {
    "threshold": 0.5, "min_area": 16, "close": 2, "fill_holes": True, "shape": "as it is", "grow": 4,
    "combine": "union", "feather": 0.0, "smooth": 0,
}  # fmt: skip
Run = Callable[[], Any]


def bench_large_photo(photo: Path | None = None) -> dict[str, float]:
    """Measure each node once, after a run on a small photo that warms it up.

    Args:
        photo: enlarged to 6000 x 4000; None takes a drawn scene.

    Returns:
        ``seconds_<node>`` of each, ``seconds_worst_node``, the worst of those that take a photo and no frames, and the
        machine's load while it was measured.
    """
    torch.set_num_threads(CORES)
    cv2.setNumThreads(CORES)
    picture = example(0)[0] if photo is None else load_image(photo)
    for run in cases(enlarged(picture, (600, 400)), region((600, 400))).values():
        run()
    figures: dict[str, float] = {}
    for name, run in cases(enlarged(picture, (WIDTH, HEIGHT)), region((WIDTH, HEIGHT))).items():
        start = time.perf_counter()
        write_shown(run())
        figures[f"seconds_{name}"] = round(time.perf_counter() - start, 2)
    of_a_photo = [seconds for name, seconds in figures.items() if not name.endswith("_frames")]
    return {
        **figures,
        "seconds_worst_node": max(figures.values()),
        "seconds_worst_node_of_a_photo": max(of_a_photo),
        "megapixels": WIDTH * HEIGHT / 1e6,
        "cores": CORES,
        "load_of_the_machine": round(os.getloadavg()[0], 1),
    }


def cases(photo: Tensor, mask: Tensor) -> dict[str, Run]:
    """What is measured: node -> a call of it, on a photo (1, H, W, 3) and a soft mask (1, H, W)."""
    nodes = pack_nodes()
    hard, clip = (mask > 0.5).float(), torch.cat([photo, 0.98 * photo])
    keypoints = nodes.hands.HandKeypoints.execute(photo, 0.5, 0.5, 10, True, 0.15)[0]
    draft = _draft(photo)
    window = nodes.window.IVGCropToRoM.execute(photo, mask, "zoom", 832, 480, 32, 0.05)
    refine = lambda **widgets: nodes.masks.RefineMask.execute(mask, **{**REFINE, **widgets})  # noqa: E731
    return {
        "refine_pixels": refine,
        "refine_shares": lambda: refine(**SHARES),
        "refine_hull_of_each_part": lambda: refine(**SHARES, shape="convex hull of each part"),
        "refine_box": lambda: refine(**SHARES, shape="box"),
        "refine_feather": lambda: refine(**SHARES, feather=20.0),
        "refine_largest": lambda: refine(**{**SHARES, "close": 40, "grow": 80}, feather=40.0),
        "refine_with_another": lambda: refine(**SHARES, other=hard[:, ::2, ::2], combine="intersect"),
        "edit": lambda: nodes.masks.IVGEditMask.execute(photo, "", mask),
        "fallback_white": lambda: nodes.rom.IVGFallbackRoM.execute(photo, "white", -1),
        "fallback_prior": lambda: nodes.rom.IVGFallbackRoM.execute(photo, "prior", -1, masks=torch.cat([mask, hard])),
        "fallback_hands": lambda: nodes.rom.IVGFallbackRoM.execute(photo, "hands", -1, keypoints=keypoints),
        "fallback_margin": lambda: nodes.rom.IVGFallbackRoM.execute(photo, "hands", 200, keypoints=keypoints),
        "hand_keypoints": lambda: nodes.hands.HandKeypoints.execute(photo, 0.5, 0.5, 10, True, 0.15),
        "hand_score": lambda: nodes.hands.IVGHandScore.execute(photo, 0.5, 0.5),
        "annotate": lambda: nodes.hands.IVGAnnotateRoM.execute(photo, 0.15, False, 2, False, 0.5, 0.5),
        "rom_from_things": lambda: nodes.find.IVGRoMFromThings.execute(
            photo, -1.0, 0.2, "one outline", True, things=mask, keypoints=keypoints
        ),
        "rom_from_video": lambda: nodes.find.IVGRoMFromVideo.execute(
            draft, 1.0, 0.15, "one outline", 0.02, "hands and things", image=photo, near=hard
        ),
        "preview": lambda: nodes.preview.IVGPreviewRoM.execute(photo, mask, 0.45, 2, "side by side"),
        "composite_two_frames": lambda: nodes.composite.IVGCompositeRoM.execute(clip, photo, mask, -1.0, True),
        "crop": lambda: nodes.window.IVGCropToRoM.execute(photo, mask, "zoom", 832, 480, 32, 0.05),
        "stitch_two_frames": lambda: nodes.window.IVGStitchRoM.execute(
            window[0].repeat(2, 1, 1, 1), window[2], -1.0, True
        ),
        "apply_vace": lambda: nodes.apply_rom.IVGApplyRoMVACE.execute(photo, mask, 832, 480, 81, True),
    }


def pack_nodes() -> ModuleType:
    """The package of the nodes, loaded over the tests' stand-ins for ComfyUI."""
    tests = Path(__file__).resolve().parents[1] / "tests"
    sys.path[:0] = [str(tests)]
    import conftest  # noqa: F401  (loads the pack as `ivg_pack`)

    from ivg_pack import nodes

    return nodes


def region(size: tuple[int, int]) -> Tensor:
    """A soft mask (1, H, W) of uneven outline that covers 14 %, with specks and holes all over the picture."""
    width, height = size
    chance = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    waves = [chance.normal() * 0.25 / k * np.cos(k * angle + chance.uniform(0, 6)) for k in range(2, 14)]
    outline = 1 + np.sum(waves, axis=0)
    outline *= np.sqrt(COVERS * width * height / np.pi / np.mean(outline**2))
    points = np.stack([width / 2 + outline * np.cos(angle), height / 2 + outline * np.sin(angle)], 1)
    drawn = np.zeros((height, width), np.uint8)
    cv2.fillPoly(drawn, [points.astype(np.int32)], 255)
    for x, y, radius, white in chance.random((SPECKS, 4)):
        centre = int(x * width), int(y * height)
        cv2.circle(drawn, centre, 1 + int(radius * width / 750), 255 if white < 0.5 else 0, -1)
    return torch.from_numpy(cv2.GaussianBlur(drawn, (0, 0), width / 1000)).float()[None] / 255


def enlarged(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """A photo (H, W, 3) as an IMAGE of another size."""
    return torch.from_numpy(cv2.resize(picture.numpy(), size, interpolation=cv2.INTER_CUBIC)).clamp(0, 1)[None]


def write_shown(output: Any) -> None:
    """Write the pictures that a node shows as ComfyUI's previews do."""
    for pictures in output.ui.values if output.ui else ():
        if isinstance(pictures, Tensor):
            for picture in pictures:
                Image.fromarray(to_bytes(picture)).save(io.BytesIO(), "PNG", compress_level=1)


def _draft(photo: Tensor) -> Tensor:
    """Eight frames of the photo, 720 pixels wide, in which a dark square walks through the middle."""
    height, width = round(720 * photo.shape[1] / photo.shape[2]), 720
    frames = enlarged(photo[0], (width, height)).repeat(8, 1, 1, 1)
    for index in range(1, 8):
        frames[index, height // 2 - 30 : height // 2 + 30, 200 + 20 * index : 300 + 20 * index] = 0.2
    return frames
