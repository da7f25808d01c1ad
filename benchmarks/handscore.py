"""Does the hand score notice made-up faults? (``python -m benchmarks handscore``)"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.faults import FAULTS, Joints
from ivg_core.errors import IVGError
from ivg_core.hands.score import HandScore, as_text, chains, score_hands
from ivg_core.hands.tracker import HandTracker
from ivg_core.media.clips import in_pieces, open_media
from ivg_core.media.files import PICTURES, VIDEOS
from ivg_core.media.images import load_image
from ivg_core.synthetic.clips import Scene
from ivg_core.synthetic.dataset import HELD_OUT_SEED

SIZE = (384, 256)
#: One clip at these sizes should score the same.
SIZES = ((192, 128), (384, 256), (576, 384))
FRAMES = 16
#: Real clips are few, so each is cut into pieces of so many frames.
PIECE = 10

ClipWithJoints = tuple[str, Tensor, Joints]  # name, frames, and the joints of the hand that gets the fault


def bench_handscore(
    clips: int = 24,
    media: Path | None = None,
    photos: Path | None = None,
    first_seed: int = HELD_OUT_SEED,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Score sound clips, the same clips with each kind of fault, and real photos as they are.

    Args:
        clips: number of drawn clips.
        media: folder with real clips to do the same with, where the tracker says where the hands are. Only
            `telling_half` of them is measured.
        photos: folder with real photos.
        first_seed: of the drawn scenes.
        log: receives a table for every clip.

    Returns:
        Flat figures of drawn clips: `auc_<fault>`, the probability that a sound clip scores higher than a faulty one of
        any scene; `lowered_<fault>`, the share of clips whose own score the fault lowers; `clips_<fault>`, how many
        clips it could be made in; `largest_size_difference` between scores of one clip at `SIZES`. Of real ones:
        `median_real_clips` of `clips_real` pieces, `auc_real_<fault>` of `clips_real_<fault>`,
        `largest_size_difference_real`; `median_real_photos` of `photos_real`, those in which a hand is found.

    Raises:
        IVGError: a folder has no clips or photos with hands.
    """
    tracker = HandTracker()
    rows = score_faults(_drawn(clips, first_seed), tracker, log)
    sound = [row["sound"].total for row in rows]
    figures: dict[str, float] = {"sound": float(np.mean(sound)), "clips": len(rows)}
    for fault in FAULTS:
        figures[f"auc_{fault}"], pairs = _told_apart(rows, fault)
        figures[f"lowered_{fault}"] = float(np.mean([faulty < whole for faulty, whole in pairs]))
        figures[f"clips_{fault}"] = len(pairs)
    figures["largest_size_difference"] = _size_difference(_drawn(max(1, clips // 4), first_seed, SIZES[-1]), tracker)
    if media is not None:
        real = list(_real(media, tracker))
        if not real:
            raise IVGError(f"There are no clips with hands in {media}: give a folder of {', '.join(VIDEOS)} files.")
        rows = score_faults(real, tracker, log)
        figures["median_real_clips"] = float(np.median([row["sound"].total for row in rows]))
        figures["clips_real"] = len(rows)
        for fault in FAULTS:
            figures[f"auc_real_{fault}"], pairs = _told_apart(rows, fault)
            figures[f"clips_real_{fault}"] = len(pairs)
        figures["largest_size_difference_real"] = _size_difference(real, tracker)
    if photos is not None:
        totals = _photos(photos, tracker, log)
        if not totals:
            raise IVGError(f"There are no photos with hands in {photos}: give a folder of {', '.join(PICTURES)} files.")
        figures |= {"median_real_photos": float(np.median(totals)), "photos_real": len(totals)}
    return figures


def telling_half(media: Path) -> list[Path]:
    """The second, fourth … of a folder's clips by name; the levels of the score were set on the others."""
    return sorted(path for path in media.rglob("*") if path.suffix.lower() in VIDEOS)[1::2]


def _told_apart(rows: Sequence[dict[str, HandScore]], fault: str) -> tuple[float, list[tuple[float, float]]]:
    """AUC of sound clips against those with a fault, and for each of these its score and that of the sound one."""
    pairs = [(row[fault].total, row["sound"].total) for row in rows if fault in row]
    return auc([row["sound"].total for row in rows], [faulty for faulty, _ in pairs]), pairs


def _size_difference(clips: Iterable[ClipWithJoints], tracker: HandTracker) -> float:
    """Largest difference between the scores of the same clip at `SIZES`."""
    apart = [0.0]
    for _, frames, _ in clips:
        totals = [score_hands(at_size(frames, size), tracker).total for size in SIZES]
        apart.append(max(totals) - min(totals))
    return max(apart)


def at_size(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames (F, H, W, 3) with about as many pixels as (width, height), in their own shape."""
    scale = (size[0] * size[1] / (frames.shape[1] * frames.shape[2])) ** 0.5
    target = (round(frames.shape[2] * scale), round(frames.shape[1] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    sized = np.stack([cv2.resize(frame, target, interpolation=way) for frame in frames.numpy()])
    return torch.from_numpy(sized).clamp(0, 1)


def _photos(folder: Path, tracker: HandTracker, log: Callable[[str], None]) -> list[float]:
    """Scores of the photos in which a hand is found, each photo once."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    scores = {path.read_bytes(): score_hands(load_image(path)[None], tracker) for path in reversed(files)}
    log(as_text({f"photo {number}": score for number, score in enumerate(scores.values(), 1)}))
    return [score.total for score in scores.values() if score.found]


def _drawn(clips: int, first_seed: int, size: tuple[int, int] = SIZE) -> Iterator[ClipWithJoints]:
    for seed in range(first_seed, first_seed + clips):
        scene = Scene(seed, *size)
        clip = scene.clip(scene.tasks[seed % len(scene.tasks)], FRAMES)
        acting = clip.joints[:, 0, :, :2]  # (F, 21, 2)
        inside = ((acting >= 0) & (acting < size)).all(-1).mean(-1) > 0.6
        joints = [torch.from_numpy(j).float() if seen else None for j, seen in zip(acting, inside, strict=True)]
        yield f"{seed} {clip.action}", torch.from_numpy(clip.frames).float() / 255, joints


def _real(media: Path, tracker: HandTracker) -> Iterator[ClipWithJoints]:
    for path in telling_half(media):
        for number, piece in enumerate(in_pieces(open_media(path).read(), PIECE)):
            found = chains(tracker.track(piece)) if len(piece) == PIECE else []
            if not found:
                continue
            seen = {index: hand.joints for index, hand in max(found, key=len)}
            if len(seen) >= PIECE / 2:
                yield f"{path.stem} from {number * PIECE}", piece, [seen.get(index) for index in range(len(piece))]


def score_faults(
    clips: Iterable[ClipWithJoints], tracker: HandTracker, log: Callable[[str], None] = print
) -> list[dict[str, HandScore]]:
    """For each clip the score of it as it is, under "sound", and with each fault that can be made in it."""
    rows: list[dict[str, HandScore]] = []
    for name, frames, joints in clips:
        row = {"sound": score_hands(frames, tracker)}
        for fault, make in FAULTS.items():
            faulty = make(frames, joints, np.random.default_rng(zlib.crc32(f"{name} {fault}".encode())))
            if not torch.equal(faulty, frames):
                row[fault] = score_hands(faulty, tracker)
        rows.append(row)
        log(f"{name}\n{as_text(row)}")
    return rows


def auc(higher: Sequence[float], lower: Sequence[float]) -> float:
    """Probability that one of the first is above one of the second; ties count half."""
    a, b = np.asarray(higher)[:, None], np.asarray(lower)[None]
    return float((a > b).mean() + 0.5 * (a == b).mean())
