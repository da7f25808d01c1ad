"""Measure the hand networks beside MediaPipe, on photos and drawn clips, and record `results/hands.json`.

    python benchmarks/hands.py --media FOLDER

Needs a Python with mediapipe 0.10.21 besides the library. FOLDER holds the folders `docs` and `test` of the published
code of Instructional Video Generation: photos and clips from research data sets, which are not part of this project.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import mse_loss

from benchmarks.record import record
from ivg_core.checkpoints.load import load_model
from ivg_core.hands.draw import draw_hands
from ivg_core.hands.hand import Hand
from ivg_core.hands.landmarks import HandLandmarkNet, load_landmark_net
from ivg_core.hands.tracker import HandTracker
from ivg_core.media.images import to_image
from ivg_core.media.video import read_video
from ivg_core.models.bundle import IVGModel
from ivg_core.models.codec import ImageCodec
from ivg_core.models.schedule import predict_x0
from ivg_core.synthetic.clips import Scene
from ivg_core.synthetic.dataset import HELD_OUT_SEED
from ivg_core.training.hand_loss import HandTargets, hand_structure_loss, hand_targets, look

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
    pictures += [read_video(media / name)[0][::5] for name in CLIPS]
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


#: Size at which the loss is descended: the embedded model's, half as large again; palms are about 50 pixels long.
DESCENT_SIZE = (288, 192)


def drawn_clip(seed: int, width: int, height: int, num_frames: int = 8) -> Tensor:
    """A held-out clip of a hand at work (F, H, W, 3), 0..1."""
    scene = Scene(HELD_OUT_SEED + seed, width, height)
    return torch.from_numpy(scene.clip(scene.tasks[0], num_frames).frames).float() / 255


def compare(ours: Sequence[Sequence[Hand]], theirs: Sequence[Sequence[Hand]]) -> tuple[Tensor, int, int]:
    """Compare two trackers on the same frames.

    Returns:
        Distances of the joints of hands that both found, in pixels; how many of theirs we miss; how many we add.
    """
    distances, missed, added = [], 0, 0
    for mine, other in zip(ours, theirs, strict=True):
        left = list(mine)
        for hand in other:
            apart = [(hand.joints - candidate.joints).norm(dim=-1) for candidate in left]
            best = min(range(len(left)), key=lambda i: float(apart[i].mean()), default=None)
            if best is None or apart[best].mean() > 0.5 * hand.palm:
                missed += 1
            else:
                distances.append(apart[best])
                left.pop(best)
        added += len(left)
    return torch.cat(distances) if distances else torch.zeros(0), missed, added


def count_found(hands: Sequence[Hand], centres: Sequence[tuple[float, float]]) -> tuple[int, int]:
    """How many annotated hands were found, to within a palm's length, and how many were found where there are none."""
    left = list(hands)
    found = 0
    for centre in centres:
        near = [hand for hand in left if float((hand.centre - torch.tensor(centre)).norm()) < hand.palm]
        if near:
            found += 1
            left.remove(near[0])
    return found, len(left)


def seconds_per_frame(detect: Callable[[Tensor], object], frames: Tensor, rounds: int = 3) -> float:
    """Processor seconds, best of some rounds after one to warm up; on one core these are seconds on a clock."""
    detect(frames[:1])
    times = []
    for _ in range(rounds):
        began = time.process_time()
        detect(frames)
        times.append((time.process_time() - began) / len(frames))
    return min(times)


def released_formula(decoded: Tensor, true: Tensor, tracker: HandTracker) -> Tensor:
    """The hand loss as it was released, told in our words: detect in both pictures, compare the lists of joints.

    The detector's answers are new tensors, so nothing leads from them back to the pixels.
    """
    pairs = zip(tracker.detect(decoded.detach())[0], tracker.detect(true)[0], strict=False)
    terms = [mse_loss(mine.joints / 256, other.joints / 256) for mine, other in pairs]
    return 1000 * torch.stack(terms).sum() if terms else torch.zeros(())


def gradient_norms(model: IVGModel, tracker: HandTracker, seed: int = 0, timestep: int = 300) -> tuple[float, float]:
    """Norm of the gradient in the stage-2 UNet of the loss, and of the released formula; decoded with gradient.

    Returns:
        Ours, released.
    """
    unet, vae = model.for_stage(2).float().requires_grad_(True), model.vae.float()
    frames = drawn_clip(seed, model.defaults.width, model.defaults.height)
    scale = vae.config["scaling_factor"]
    x0 = ImageCodec(vae).encode(frames)[None].detach()  # (1, 4, F, h, w)
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    schedule: DDPMScheduler = DDPMScheduler.from_config(model.scheduler_config)  # type: ignore[assignment]
    a = schedule.alphas_cumprod[timestep]
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed))
    noisy = a.sqrt() * x0 + (1 - a).sqrt() * noise
    text = torch.zeros(1, 77, unet.config["cross_attention_dim"])
    output = unet(noisy, timestep, text, x0[:, :, :1], x0.new_ones(1, 1, 1, *x0.shape[-2:]))
    predicted = predict_x0(noisy, output, a[None], model.scheduler_config.get("prediction_type", "epsilon"))
    middle = len(frames) // 2
    decoded = vae.decode(predicted[:, :, middle] / scale).sample * 0.5 + 0.5  # (1, 3, H, W)
    targets = hand_targets(frames[middle : middle + 1], tracker)
    ours = hand_structure_loss(decoded[None], [targets], tracker.landmark_net)
    assert ours is not None
    released = released_formula(decoded.movedim(1, -1), frames[middle : middle + 1], tracker)
    return _norm(unet, ours.loss), _norm(unet, released)


def _norm(network: torch.nn.Module, loss: Tensor) -> float:
    if not loss.requires_grad:
        return 0.0
    parameters = [p for p in network.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return float(torch.stack([g.norm() for g in gradients if g is not None]).norm())


def descend(
    vae, tracker: HandTracker, scenes: int = 6, steps: int = 40, views: int = 4, log: Callable[[str], None] = print
) -> dict[str, float]:
    """Give clips' latents another pose of their hand by descending the loss; see what another network makes of it.

    Args:
        vae: its decoder stands between latents and pixels.
        tracker: with the full landmark network, which the loss descends through.
        scenes: one clip, and one pair of frames from it, each.
        steps: of Adam.
        views: 1 looks at every hand as it is, more shake the region and add noise.

    Returns:
        Root mean square distance of the joints from those of the target frame, as a share of the region, before and
        after: as the loss's network sees them (`own_…`), and as the lite one does, which was trained apart; and the
        share of hands that are found again, at their new place, from scratch with the lite network.
    """
    judge = load_landmark_net(lite=True)
    finder = HandTracker(lite=True)
    rows: list[list[float]] = []
    for seed in range(10 * scenes):
        if len(rows) == scenes:
            break
        pair = choose_pair(drawn_clip(seed, *DESCENT_SIZE), tracker)
        if pair is None:
            continue
        source, target, goal = pair
        start = ImageCodec(vae, 1.0).encode(source[None]).transpose(0, 1).detach()  # (1, 4, h, w)

        def decode(latent: Tensor) -> Tensor:
            return (vae.decode(latent).sample * 0.5 + 0.5).clamp(0, 1)  # (1, 3, H, W)

        latent = start.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([latent], lr=0.1 * float(start.std()))
        shaking = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            found = hand_structure_loss(
                decode(latent)[None], [goal], tracker.landmark_net, views=views, generator=shaking
            )
            assert found is not None
            optimizer.zero_grad()
            found.loss.backward()
            optimizer.step()
        with torch.no_grad():
            before, after = decode(start).movedim(1, -1), decode(latent).movedim(1, -1)
        again = finder.detect(after)[0]
        near = any(float((hand.joints - goal.joints[0]).norm(dim=-1).mean()) < 0.2 * goal.rois[0, 2] for hand in again)
        own = [_error(tracker.landmark_net, picture, target[None], goal) for picture in (before, after)]
        other = [_error(judge, picture, target[None], goal) for picture in (before, after)]
        rows.append([*own, *other, float(near)])
        log(f"{views} views, scene {seed}: own {own[0]:.3f} → {own[1]:.3f}, lite {other[0]:.3f} → {other[1]:.3f}")
    names = ("own_before", "own_after", "before", "after", "found_again")
    return dict(zip(names, torch.tensor(rows).mean(0).tolist(), strict=True))


def choose_pair(frames: Tensor, tracker: HandTracker) -> tuple[Tensor, Tensor, HandTargets] | None:
    """Two frames of a clip whose hand is posed most differently without leaving its region, and the second one's hand.

    Returns:
        Source (H, W, 3), target (H, W, 3), the target's hand; None if no two frames will do.
    """
    hands = tracker.detect(frames)
    single = [(index, found[0]) for index, found in enumerate(hands) if len(found) == 1 and found[0].presence > 0.9]
    pairs = []
    for i, one in single:
        for j, other in single:
            apart = float((one.joints - other.joints).norm(dim=-1).mean()) / other.roi.size
            if 0.05 < apart < 0.15:  # further away the loss no longer finds the way
                pairs.append((apart, i, j))
    if not pairs:
        return None
    _, i, j = max(pairs)
    return frames[i], frames[j], hand_targets(frames[j : j + 1], tracker)


@torch.no_grad()
def _error(net: HandLandmarkNet, picture: Tensor, target: Tensor, goal: HandTargets) -> float:
    seen, _ = look(net, picture, goal.frame, goal.rois)
    true, _ = look(net, target, goal.frame, goal.rois)
    return float(((seen - true) / goal.rois[:, None, 2:3]).square().sum(-1).mean().sqrt())


if __name__ == "__main__":
    main()
