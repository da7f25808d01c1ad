"""A drawn hand with an arm that does not go straight back from it."""

import cv2
import numpy as np
import torch
from torch import Tensor

from ivg_core.hands.hand import FINGERS

SKIN = (0.85, 0.62, 0.5)


def drawn_arm(elbow: tuple[int, int] = (60, 260), end: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """A photo (200, 300, 3), the joints (21, 2) of a hand that points up, and the exact arm (200, 300).

    The arm goes from the wrist towards the elbow; with `end` it is not there at all.
    """
    wrist = np.array([160, 110])
    joints = np.zeros((21, 2), np.float32) + wrist
    for index, rows in enumerate(FINGERS.values()):
        for step, row in enumerate(rows):
            joints[row] += ((index - 2) * 9, -30 - 10 * step if index else -8 - 9 * step)
    noise = np.random.default_rng(0).normal(0, 0.03, (200, 300, 3))
    photo = (np.array([0.25, 0.35, 0.5]) + noise).astype(np.float32)
    arm = np.zeros((200, 300), np.uint8)
    if not end:
        cv2.line(arm, wrist.tolist(), elbow, 1, 26)
    hand = np.zeros_like(arm)
    cv2.fillConvexPoly(hand, cv2.convexHull(joints.astype(np.int32)), 1)
    skin = np.array(SKIN, np.float32) + noise.astype(np.float32)
    photo = np.where(((arm | hand) > 0)[..., None], skin, photo).clip(0, 1)
    return torch.from_numpy(photo).float(), torch.from_numpy(joints), torch.from_numpy(arm).float()
