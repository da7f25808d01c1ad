"""The forearm behind a hand, as the photo shows it: cut out by its colours and edges, and followed from the wrist."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from ..hands.hand import BONES

# All lengths are in palms (wrist to middle knuckle).
UNIT = 24  # pixels of a palm in the picture that is looked at; nothing is enlarged
WINDOW = 9.0  # how far around the wrist the picture is looked at
WIDEST, THINNEST = 1.5, 0.3  # a forearm's width; what is wider is background, what is thinner no arm
SPREAD = 0.8  # sideways per step away from the wrist, within which the arm may go
WIDER = 1.4  # so much wider than before, and it runs into something else
STEP = 0.2  # the arm is followed in steps of so much
BEND = 1.2  # radians by which it leaves the palm's direction at most
TURN = 0.35  # it turns at most so much a step, radians
SHORTEST = 0.8  # what ends earlier, inside the picture, is no arm
ROUNDS = 3  # of GrabCut
OUTLINE = [0, 1, 5, 9, 13, 17]  # joints around the palm


def find_arms(photo: Tensor, hands: Sequence[Tensor]) -> list[Tensor]:
    """The outlines of the forearms behind hands, where the photo shows them.

    Args:
        photo: (H, W, 3), 0..1.
        hands: for every hand its keypoints (21, 2) as x, y in pixels.

    Returns:
        For each arm that is found, at most one a hand, its outline (K, 2) in pixels.

    Source: GrabCut (Rother et al. 2004) for what has the colours of the palm and of what is right behind the wrist.
    """
    photo = photo.expand(-1, -1, 3) if photo.shape[-1] == 1 else photo[..., :3]
    return [arm for hand in hands if (arm := _arm(photo, hand)) is not None]


def draw_arms(photo: Tensor, hands: Sequence[Tensor]) -> Tensor:
    """The forearms of `find_arms`, filled: (H, W) of 0 and 1."""
    drawn = np.zeros(tuple(photo.shape[:2]), np.uint8)
    for arm in find_arms(photo, hands):
        cv2.fillPoly(drawn, [arm.round().int().numpy()], 1)
    return torch.from_numpy(drawn).float()


def _arm(photo: Tensor, hand: Tensor) -> Tensor | None:
    palm = float((hand[9] - hand[0]).norm())
    if palm < 1:
        return None
    scale = min(UNIT / palm, 1.0)
    corner = (hand[0] - WINDOW * palm).floor().clamp(min=0).int().tolist()
    end = (hand[0] + WINDOW * palm).ceil().int().tolist()
    piece = photo[corner[1] : end[1], corner[0] : end[0]].detach().float().cpu().numpy()
    if min(piece.shape[:2]) < 2:  # the wrist lies far outside of the picture
        return None
    size = [max(2, round(side * scale)) for side in (piece.shape[1], piece.shape[0])]
    small = (cv2.resize(piece, size, interpolation=cv2.INTER_AREA) * 255).round().clip(0, 255).astype(np.uint8)
    joints = (hand.numpy() - corner) * scale
    outline = _followed(_cut_out(small, joints, palm * scale), joints, palm * scale)
    return None if outline is None else torch.from_numpy(outline / scale + corner).float()


def _cut_out(picture: np.ndarray, joints: np.ndarray, palm: float) -> np.ndarray:
    """What looks like the palm and like what is behind the wrist (H, W)."""
    wrist, back, side = _axes(joints)
    down, right = np.indices(picture.shape[:2])
    way = np.stack([right, down], -1) - wrist
    along, aside = way @ back / palm, np.abs(way @ side) / palm
    state = np.full(picture.shape[:2], cv2.GC_BGD, np.uint8)
    state[(along > -0.3) & (aside < WIDEST / 2 + SPREAD * along.clip(0))] = cv2.GC_PR_BGD
    state[(along > -0.3) & (along < 2) & (aside < 0.4)] = cv2.GC_PR_FGD
    hull = np.zeros_like(state)
    cv2.fillConvexPoly(hull, cv2.convexHull(joints.round().astype(np.int32)), 1)
    state[hull > 0] = cv2.GC_PR_FGD
    points = joints.round().astype(int)
    for start, end in BONES:
        cv2.line(state, points[start].tolist(), points[end].tolist(), cv2.GC_FGD, max(1, round(0.1 * palm)))
    cv2.fillPoly(state, [points[OUTLINE].astype(np.int32)], cv2.GC_FGD)
    state[(along > -0.1) & (along < 0.4) & (aside < 0.15)] = cv2.GC_FGD
    if not (state == cv2.GC_BGD).any() or not (state == cv2.GC_FGD).any():
        return np.zeros(state.shape, bool)
    cv2.setRNGSeed(0)
    cv2.grabCut(picture, state, None, np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK)
    return (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)


def _followed(found: np.ndarray, joints: np.ndarray, palm: float) -> np.ndarray | None:
    """The outline (K, 2) of the longest strip that goes on from the wrist, or None where there is none."""
    place, back, _ = _axes(joints)
    # a wrist bends, so the arm need not go straight back
    strips = [_strip(found, place, _turned(back, turn), palm) for turn in (0.0, -BEND / 2, BEND / 2, -BEND, BEND)]
    return max((strip for strip in strips if strip is not None), key=len, default=None)


def _strip(found: np.ndarray, place: np.ndarray, back: np.ndarray, palm: float) -> np.ndarray | None:
    height, width = found.shape
    left: list[np.ndarray] = []
    right: list[np.ndarray] = []
    widths: list[float] = []
    gone, left_picture = 0.0, False
    while gone < 2 * WINDOW:
        side = np.array([-back[1], back[0]])
        edges = [_edge(found, place, side * sign, WIDEST * palm) for sign in (-1, 1)]
        wide = sum(edges) / palm
        if not THINNEST <= wide <= WIDEST or wide > WIDER * np.median([*widths, wide]):
            break
        widths.append(wide)
        left.append(place - side * edges[0])
        right.append(place + side * edges[1])
        middle = (left[-1] + right[-1]) / 2
        ahead = back
        if len(left) > 3:  # the way that the middle has gone
            ahead = middle - (left[-4] + right[-4]) / 2
            ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-6)
        turn = float(np.clip(np.arctan2(back[0] * ahead[1] - back[1] * ahead[0], back @ ahead), -TURN, TURN))
        back = _turned(back, turn)
        place = middle + back * STEP * palm
        gone += STEP
        if not (0 <= place[0] < width and 0 <= place[1] < height):
            left_picture = True
            break
    if len(left) < 2 or (gone < SHORTEST and not left_picture):
        return None
    if left_picture:  # to the border, on both sides
        left.append(left[-1] + back * palm)
        right.append(right[-1] + back * palm)
    return np.stack(left + right[::-1])


def _edge(found: np.ndarray, place: np.ndarray, way: np.ndarray, most: float) -> float:
    """How far what is found reaches from a place."""
    height, width = found.shape
    for far in np.arange(0, most + 1):
        x, y = (place + way * far).round().astype(int)
        if not (0 <= x < width and 0 <= y < height) or not found[y, x]:
            return float(far)
    return float(most + 1)


def _turned(way: np.ndarray, turn: float) -> np.ndarray:
    cos, sin = np.cos(turn), np.sin(turn)
    return np.array([cos * way[0] - sin * way[1], sin * way[0] + cos * way[1]])


def _axes(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The wrist, the way from it away from the fingers, and the way across."""
    back = joints[0] - joints[[5, 9, 13, 17]].mean(0)
    back = back / max(float(np.linalg.norm(back)), 1e-6)
    return joints[0], back, np.array([-back[1], back[0]])
