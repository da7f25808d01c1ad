"""How a hand goes from where it rests to where it works."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .hand import HandView
from .skeleton import Pose

if TYPE_CHECKING:
    from .clips import Scene


def ease(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)


def reaching(
    scene: Scene,
    target: np.ndarray,
    reach: float,
    pose: Pose,
    contact: float = 1.15,
    lift: float = 10,
    turn: float = 0.0,
    other: bool = False,
) -> tuple[HandView, np.ndarray]:
    """A hand between where it rests and where it works.

    Args:
        scene: whose hand.
        target: (x, y) in pixels of where it works.
        reach: how much of the way it has gone, 0..1.
        pose: of its fingers.
        contact: palms from the wrist to the target.
        lift: pixels above the counter.
        turn: radians by which it turns what it holds.
        other: the hand that does not act, which comes from outside the frame.

    Returns:
        The hand, and (x, y) of what it holds.
    """
    side = -scene.side if other else scene.side
    elbow = (scene.width - scene.elbow_x, scene.elbow[1]) if other else scene.elbow
    aim = target - np.array(elbow)
    aim = aim / np.linalg.norm(aim)
    pointing = math.degrees(math.atan2(-aim[0], -aim[1]))
    if other:
        rest, resting = np.array([elbow[0], scene.height + 2.2 * scene.palm]), pointing
    else:
        rest_x = 0.35 * scene.elbow_x + 0.65 * (scene.width / 2 + side * 0.22 * scene.width)
        rest, resting = np.array([rest_x, scene.height + (1.5 - scene.peek) * scene.palm * 0.75]), side * 8.0
    wrist = rest + (target - aim * contact * scene.palm - rest) * reach
    angle = resting + (pointing - resting) * reach + math.degrees(-turn) * 0.6
    place = (float(wrist[0]), float(wrist[1]))
    view = HandView(pose, place, scene.palm, angle, elbow, side < 0, scene.skin, scene.sleeve, lift)
    return view, wrist + aim * 0.95 * scene.palm
