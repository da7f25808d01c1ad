"""Measure the hand networks beside MediaPipe, on photos and drawn clips, and record `results/hands.json`.

    python benchmarks/hands.py --media FOLDER

Needs a Python with mediapipe 0.10.21 besides the library. FOLDER holds the folders `docs` and `test` of the published
code of Instructional Video Generation: photos and clips from research data sets, which are not part of this project.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from ivg_core.bench.hands import compare, count_found, descend, drawn_clip, gradient_norms, seconds_per_frame
from ivg_core.bench.record import record
from ivg_core.hands.draw import draw_hands
from ivg_core.hands.tracker import HandTracker
from ivg_core.media.images import to_image
from ivg_core.models.checkpoint import load_model

HERE = Path(__file__).parent
# Centres of every hand that a person sees, looked up by eye in the pictures of 448 x 256 pixels
CENTRES = {
    "docs/31.png": [(159, 180), (194, 205)],
    "docs/36.png": [(173, 201)],
    "docs/56.png": [(159, 214), (382, 217)],
    "docs/816.png": [(189, 146), (293, 155)],
    "docs/83.png": [(143, 164), (219, 166)],
    "test/source/2.png": [(235, 125), (216, 226)],
    "test/source/3.png": [(205, 103), (247, 110)],
    "test/source/4.png": [(360, 182)],
    "test/source/5.png": [(211, 149), (310, 205)],
}
CLIPS = ("docs/31.gif", "docs/36.gif", "docs/56.gif", "docs/816.gif", "docs/83.gif")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--overlays", type=Path, help="folder for pictures of what was found, to look at")
    parser.add_argument("--scenes", type=int, default=6, help="how many clips the loss is descended on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    original = HandTracker(backend="mediapipe")
    ours, tiled = HandTracker(tiled=False), HandTracker()
    figures = parity(options.media, original, ours)
    figures |= recall(options.media, original, ours, tiled, options.overlays)
    for size in (256, 512):
        clip = drawn_clip(1, size, size)
        for name, tracker in (("mediapipe", original), ("ours", ours), ("ours_tiled", tiled)):
            figures[f"seconds_per_frame_{name}_{size}"] = seconds_per_frame(tracker.detect, clip)
    wide = drawn_clip(1, 448, 256)
    figures["seconds_per_frame_mediapipe_448x256"] = seconds_per_frame(original.detect, wide)
    figures["seconds_per_frame_ours_tiled_448x256"] = seconds_per_frame(tiled.detect, wide)
    model = load_model("embedded")
    norms = gradient_norms(model, tiled)
    figures["grad_norm_unet"], figures["grad_norm_released_formula"] = norms
    vae = model.vae.float().requires_grad_(False)
    for suffix, views in (("", 4), ("_unguarded", 1)):
        for name, value in descend(vae, tiled, options.scenes, views=views).items():
            figures[f"descent_{name}{suffix}"] = value
    for name, value in figures.items():
        print(f"{name:44} {value:.4g}")
    record(HERE, "hands", figures)


def parity(media: Path, original: HandTracker, ours: HandTracker) -> dict[str, float]:
    """The same hands at the same places? On the photos, every fifth frame of the clips, and drawn scenes."""
    pictures = [to_image(media / name)[None] for name in CENTRES]
    pictures += [read_gif(media / name)[::5] for name in CLIPS]
    pictures += [drawn_clip(seed, *size)[::4] for seed in range(10) for size in ((192, 128), (448, 256))]
    distances, missed, added = [], 0, 0
    for frames in pictures:
        apart, less, more = compare(ours.detect(frames), original.detect(frames))
        distances.append(apart)
        missed, added = missed + less, added + more
    joints = torch.cat(distances)
    return {
        "landmark_px_median": float(joints.median()),
        "landmark_px_p95": float(joints.quantile(0.95)),
        "hands_compared": len(joints) // 21,
        "hands_missed": missed,
        "hands_added": added,
    }


def recall(media: Path, original: HandTracker, ours: HandTracker, tiled: HandTracker, overlays) -> dict[str, float]:
    """Of the hands that a person sees in the photos, how many are found; and what is taken for a hand."""
    figures: dict[str, float] = {"hands_in_photos": sum(len(centres) for centres in CENTRES.values())}
    for name, tracker in (("mediapipe", original), ("ours_untiled", ours), ("ours", tiled)):
        found, false = 0, 0
        for path, centres in CENTRES.items():
            photo = to_image(media / path)
            hands = tracker.detect(photo[None])
            more, wrong = count_found(hands[0], centres)
            found, false = found + more, false + wrong
            if overlays:
                drawn = (draw_hands(photo[None], hands)[0].numpy() * 255).round().astype(np.uint8)
                overlays.mkdir(parents=True, exist_ok=True)
                Image.fromarray(drawn).save(overlays / f"{path.replace('/', '-')[:-4]}-{name}.png")
        figures[f"recall_{name}"] = found / figures["hands_in_photos"]
        figures[f"false_positives_{name}"] = false
    return figures


def read_gif(path: Path) -> Tensor:
    """The frames of an animation (F, H, W, 3), 0..1."""
    with Image.open(path) as animation:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(animation)]
    return torch.from_numpy(np.stack(frames)).float() / 255


if __name__ == "__main__":
    main()
