"""Does the hand score notice made-up faults? (``python -m benchmarks handscore``)"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.faults import FAULTS, Joints
from ivg_core.errors import IVGError
from ivg_core.hands.score import HandScore, as_text, chains, score_hands
from ivg_core.hands.tracker import HandTracker
from ivg_core.media.clips import in_pieces, open_media
from ivg_core.media.files import VIDEOS
from ivg_core.synthetic.clips import Scene
from ivg_core.synthetic.dataset import HELD_OUT_SEED

SIZE = (384, 256)
FRAMES = 16
#: Real clips are few, so each is cut into pieces of so many frames.
PIECE = 10

ClipWithJoints = tuple[str, Tensor, Joints]  # name, frames, and the joints of the hand that gets the fault


def bench_handscore(
    clips: int = 24, media: Path | None = None, first_seed: int = HELD_OUT_SEED, log: Callable[[str], None] = print
) -> dict[str, float]:
    """Score sound clips and the same clips with each kind of fault.

    Args:
        clips: number of drawn clips.
        media: folder with real clips to do the same with, where the tracker says where the hands are.
        first_seed: of the drawn scenes.
        log: receives a table for every clip.

    Returns:
        Flat figures. For each kind of fault `auc_<fault>`, the probability that a sound clip scores higher than a
        faulty one of any scene; `lowered_<fault>`, the share of clips whose own score the fault lowers;
        `clips_<fault>`, how many clips it could be made in. With `_real` at the end for real clips (pieces of them).

    Raises:
        IVGError: the folder has no clips with hands.
    """
    tracker = HandTracker()
    figures = _figures(score_faults(_drawn(clips, first_seed), tracker, log))
    if media is not None:
        real = list(_real(media, tracker))
        if not real:
            raise IVGError(f"There are no clips with hands in {media}: give a folder of {', '.join(VIDEOS)} files.")
        figures |= _figures(score_faults(real, tracker, log), "_real")
    return figures


def _drawn(clips: int, first_seed: int) -> Iterator[ClipWithJoints]:
    width, height = SIZE
    for seed in range(first_seed, first_seed + clips):
        scene = Scene(seed, width, height)
        clip = scene.clip(scene.tasks[seed % len(scene.tasks)], FRAMES)
        acting = clip.joints[:, 0, :, :2]  # (F, 21, 2)
        inside = ((acting >= 0) & (acting < SIZE)).all(-1).mean(-1) > 0.6
        joints = [torch.from_numpy(j).float() if seen else None for j, seen in zip(acting, inside, strict=True)]
        yield f"{seed} {clip.action}", torch.from_numpy(clip.frames).float() / 255, joints


def _real(media: Path, tracker: HandTracker) -> Iterator[ClipWithJoints]:
    for path in sorted(path for path in media.rglob("*") if path.suffix.lower() in VIDEOS):
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


def _figures(rows: Sequence[dict[str, HandScore]], mark: str = "") -> dict[str, float]:
    sound = [row["sound"].total for row in rows]
    figures: dict[str, float] = {f"sound{mark}": float(np.mean(sound)), f"clips{mark}": len(rows)}
    for fault in FAULTS:
        pairs = [(row[fault].total, row["sound"].total) for row in rows if fault in row]
        figures[f"auc_{fault}{mark}"] = auc(sound, [faulty for faulty, _ in pairs])
        figures[f"lowered_{fault}{mark}"] = float(np.mean([faulty < whole for faulty, whole in pairs]))
        figures[f"clips_{fault}{mark}"] = len(pairs)
    return figures


def auc(higher: Sequence[float], lower: Sequence[float]) -> float:
    """Probability that one of the first is above one of the second; ties count half."""
    a, b = np.asarray(higher)[:, None], np.asarray(lower)[None]
    return float((a > b).mean() + 0.5 * (a == b).mean())
