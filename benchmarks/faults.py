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
#: A finger that looks shorter than this, in palms, is too bent to be copied.
SHORTEST = 0.4

Joints = Sequence["Tensor | None"]


def extra_finger(frames: Tensor, joints: Joints, rng: np.random.Generator) -> Tensor:
    """A copy of the index or the little finger spread 25 to 40 degrees away from the others, in every frame.

    The finger that is less bent is taken; if both are so bent that nothing would show, there is no fault to make.

    Args:
        frames: (F, H, W, 3) 0..1.
        joints: of the hand, a frame each.
        rng: decides by how much.

    Returns:
        New frames.
    """
    lengths = {name: _length(joints, FINGERS[name]) for name in ("index", "little")}
    name = max(lengths, key=lengths.__getitem__)
    if lengths[name] < SHORTEST:
        return frames
    degrees = float(rng.uniform(25, 40))
    shown = []
    for frame, hand in zip(frames, joints, strict=True):
        shown.append(frame if hand is None else _with_finger(frame, hand, name, degrees))
    return torch.stack(shown)


def _length(joints: Joints, rows: tuple[int, ...]) -> float:
    """Mean distance from knuckle to tip, in palms, as the picture shows it."""
    shown = [hand for hand in joints if hand is not None]
    lengths = [float((hand[rows[-1]] - hand[rows[0]]).norm() / (hand[9] - hand[0]).norm()) for hand in shown]
    return float(np.mean(lengths)) if lengths else 0.0


def _with_finger(frame: Tensor, hand: Tensor, name: str, degrees: float) -> Tensor:
    height, width = frame.shape[:2]
    palm = float((hand[9] - hand[0]).norm())
    chain = hand[list(FINGERS[name])]
    # away from the middle finger, whichever way the hand is turned
    across, along = hand[9] - chain[0], chain[-1] - chain[0]
    outwards = -1 if across[0] * along[1] - across[1] * along[0] < 0 else 1
    turn = cv2.getRotationMatrix2D(chain[0].tolist(), -outwards * degrees, 1.0)
    shape = np.zeros((height, width), np.float32)
    thick = max(2, round(2 * FINGER * palm))
    cv2.polylines(shape, [chain.round().int().numpy()], False, 1.0, thick, cv2.LINE_AA)
    shape = cv2.GaussianBlur(shape, (0, 0), 0.02 * palm)
    copy = cv2.warpAffine(frame.numpy(), turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = torch.from_numpy(cv2.warpAffine(shape, turn, (width, height)))[..., None]
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
