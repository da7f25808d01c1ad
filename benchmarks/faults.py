"""Made-up faults of hands in clips, the kinds that video models make: to see whether a score notices them.

Each takes the frames and, for every frame, the joints of one hand (21, 2) in pixels, or None where it is not in sight.
Where a fault cannot be made, the frames come back as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from ivg_core.hands.hand import FINGERS
from ivg_core.rom.fallback import draw_hulls
from ivg_core.rom.refine import grow_by

#: Half the width of a finger, in palms (wrist to middle knuckle).
FINGER = 0.14
#: Length of a finger that is added, in palms.
LENGTH = 0.8

Joints = Sequence["Tensor | None"]


def extra_finger(frames: Tensor, joints: Joints, rng: np.random.Generator) -> Tensor:
    """A copy of the index or the little finger, stretched out, 25 to 40 degrees outwards, in every frame.

    Of the two places the one where more of the copy shows beside the hand is taken; if that is less than half of it, in
    the picture and not on the hand, there is no fault to make.

    Args:
        frames: (F, H, W, 3) 0..1.
        joints: of the hand, a frame each.
        rng: decides by how much.

    Returns:
        New frames.
    """
    degrees = float(rng.uniform(25, 40))
    size = (frames.shape[2], frames.shape[1])
    shown = {name: _share_shown(joints, name, degrees, size) for name in ("index", "little")}
    name = max(shown, key=shown.__getitem__)
    if shown[name] < 0.5:
        return frames
    pairs = zip(frames, joints, strict=True)
    return torch.stack([frame if hand is None else _with_finger(frame, hand, name, degrees) for frame, hand in pairs])


def _share_shown(joints: Joints, name: str, degrees: float, size: tuple[int, int]) -> float:
    """Which share of a copied finger lies in the picture and beside the hand, on average over the frames."""
    shares = []
    for hand in (hand for hand in joints if hand is not None):
        palm, (start, end) = _palm(hand), _copy(hand, name, degrees)
        points = start + np.linspace(0.3, 1, 15)[:, None] * (end - start)
        others = [hand[[*rows]].numpy() for finger, rows in FINGERS.items()] + [hand[[0, 5, 9, 13, 17]].numpy()]
        free = np.array([all(_away(point, chain) > FINGER * palm for chain in others) for point in points])
        shares.append((free & (points >= 0).all(-1) & (points < size).all(-1)).mean())
    return float(np.mean(shares)) if shares else 0.0


def _away(point: np.ndarray, chain: np.ndarray) -> float:
    """Distance of a point to a chain of bones (K, 2)."""
    start, way = chain[:-1], np.diff(chain, axis=0)
    along = ((point - start) * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-6)
    return float(np.linalg.norm(start + along.clip(0, 1)[:, None] * way - point, axis=-1).min())


def _palm(hand: Tensor) -> float:
    return float((hand[9] - hand[0]).norm())


def _copy(hand: Tensor, name: str, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the copy of a finger begins and ends; it points as the palm does, turned away from the middle finger."""
    knuckle, ahead = hand[FINGERS[name][0]], hand[9] - hand[0]
    across = hand[9] - knuckle
    outwards = -1 if across[0] * ahead[1] - across[1] * ahead[0] < 0 else 1
    angle = outwards * np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    start = knuckle.numpy().astype(np.float64)
    return start, start + LENGTH * turn @ ahead.numpy()


def _with_finger(frame: Tensor, hand: Tensor, name: str, degrees: float) -> Tensor:
    height, width = frame.shape[:2]
    palm, (start, end) = _palm(hand), _copy(hand, name, degrees)
    shape = np.zeros((height, width), np.float32)
    thick = max(2, round(2 * FINGER * palm))
    cv2.line(shape, start.round().astype(int).tolist(), end.round().astype(int).tolist(), 1.0, thick, cv2.LINE_AA)
    cover = torch.from_numpy(cv2.GaussianBlur(shape, (0, 0), 0.02 * palm))[..., None]
    # each pixel of the straight copy is taken from the bent finger, at the same share of its length
    down, right = np.indices((height, width))
    ahead = (end - start) / np.linalg.norm(end - start)
    way = np.stack([right, down], -1) - start
    along, aside = way @ ahead / np.linalg.norm(end - start), way @ np.array([-ahead[1], ahead[0]])
    chain = hand[list(FINGERS[name])].numpy().astype(np.float64)
    lengths = np.linalg.norm(np.diff(chain, axis=0), axis=-1)
    passed = np.concatenate([[0], lengths.cumsum()]) / max(lengths.sum(), 1e-6)
    source = np.stack([np.interp(along, passed, line) for line in chain.T], -1)
    bones = np.diff(chain, axis=0) / np.maximum(lengths, 1e-6)[:, None]
    bone = bones[np.searchsorted(passed[1:-1], along)]
    source += aside[..., None] * np.stack([-bone[..., 1], bone[..., 0]], -1)
    x, y = source.astype(np.float32).transpose(2, 0, 1)
    copy = cv2.remap(frame.numpy(), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return frame * (1 - cover) + torch.from_numpy(copy) * cover


def shuffled_joints(frames: Tensor, joints: Joints, rng: np.random.Generator) -> Tensor:
    """The pieces of the picture around the finger joints change places, anew in every frame.

    Args, Returns: see `extra_finger`; `rng` decides which piece goes where.
    """
    rows = [row for finger in FINGERS.values() for row in finger[1:]]
    shown = []
    for frame, hand in zip(frames, joints, strict=True):
        order = rng.permutation(rows)
        if hand is None:
            shown.append(frame)
            continue
        height, width = frame.shape[:2]
        radius = 1.5 * FINGER * float((hand[9] - hand[0]).norm())
        picture = frame.numpy().copy()
        for to, source in zip(rows, order, strict=True):
            shift = hand[to] - hand[int(source)]
            move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
            moved = cv2.warpAffine(frame.numpy(), move, (width, height), borderMode=cv2.BORDER_REPLICATE)
            disc = np.zeros((height, width), np.float32)
            cv2.circle(disc, [round(v) for v in hand[to].tolist()], max(1, round(radius)), 1.0, -1, cv2.LINE_AA)
            picture += (moved - picture) * disc[..., None]
        shown.append(torch.from_numpy(picture))
    return torch.stack(shown)


def swapped_frames(frames: Tensor, joints: Joints, rng: np.random.Generator) -> Tensor:
    """Two pairs of frames change places, among those between which the hand moves by at least half a palm.

    Args, Returns: see `extra_finger`. Where it never moves that far the frames stay as they are: among frames that are
    alike a swap is no fault.
    """
    order = list(range(len(frames)))
    pairs = []
    for one in order:
        for other in order[one + 2 :]:
            first, second = joints[one], joints[other]
            if first is None or second is None:
                continue
            moved = float((first - second).norm(dim=-1).mean() / (first[9] - first[0]).norm())
            pairs.append((moved, one, other))
    far = [pair for pair in pairs if pair[0] >= 0.5]
    used: set[int] = set()
    for index in rng.permutation(len(far)):
        _, one, other = far[index]
        if len(used) < 4 and not used & {one, other}:
            order[one], order[other] = order[other], order[one]
            used |= {one, other}
    return frames[order]


def flicker(frames: Tensor, joints: Joints, rng: np.random.Generator) -> Tensor:
    """The hand is missing from three frames in the middle of the clip, two of them next to each other.

    What lies behind it is filled in from around it.

    Args, Returns: see `extra_finger`; `rng` decides which frames.
    """
    inner = [index for index in range(1, len(frames) - 1) if joints[index] is not None]
    if not inner:
        return frames
    pair = int(rng.choice(inner[:-1] or inner))
    apart = [index for index in inner if abs(index - pair) > 2 and abs(index - pair - 1) > 2] or inner
    shown = list(frames)
    for index in {pair, min(pair + 1, inner[-1]), int(rng.choice(apart))}:
        hand = joints[index]
        if hand is not None:
            shown[index] = _without(frames[index], hand)
    return torch.stack(shown)


def _without(frame: Tensor, hand: Tensor) -> Tensor:
    palm = float((hand[9] - hand[0]).norm())
    shape = grow_by(draw_hulls([hand], (frame.shape[1], frame.shape[0])), 0.3 * palm)
    picture = (frame * 255).round().byte().numpy()
    filled = cv2.inpaint(np.ascontiguousarray(picture), shape.byte().numpy(), 3, cv2.INPAINT_TELEA)
    return torch.from_numpy(filled).float() / 255


#: Every kind by its name in the recorded figures.
FAULTS = {
    "extra_finger": extra_finger,
    "shuffled_joints": shuffled_joints,
    "swapped_frames": swapped_frames,
    "flicker": flicker,
}
