"""Where hands, things and tools are at one moment of a task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .hand import HandView
from .props import Prop
from .reach import ease, reaching
from .skeleton import POSES

if TYPE_CHECKING:
    from .clips import Scene, Task


@dataclass
class Step:
    """Everything that moves, at one moment."""

    hands: list[HandView]
    props: dict[int, Prop]  # those that are handled, by their index in the scene
    tool: tuple | None = None  # (kind, grip, tip); taken up outside the frame, so never in frame 0


#: Poses before, and during, each action.
_HAND_POSES = {
    "pick up": ("relaxed", "grasp"),
    "push": ("relaxed", "flat"),
    "stir": ("relaxed", "pinch"),
    "wipe": ("relaxed", "flat"),
    "point at": ("relaxed", "point"),
    "rotate": ("relaxed", "grasp"),
    "cut": ("relaxed", "fist"),
}


def moment(scene: Scene, task: Task, t: float, back: float = 0.0) -> Step:
    """What moves while a task is done.

    Args:
        scene: where.
        task: one of its tasks.
        t: time, 0..1: from rest until it is done.
        back: with ``t`` 1, how far the hands are on their way back to where they rest, 0..1; the thing is put down.
    """
    H, palm, side = scene.height, scene.palm, scene.side
    stays = 1 - ease(back)
    prop = scene.props[task.target]
    goal = np.array(prop.centre)
    shift, turn, lift, tool = np.zeros(2), 0.0, 0.0, None
    reach, act = ease(t / 0.45) * stays, ease((t - 0.4) / 0.6)
    phase = 2 * math.pi * max(t - 0.4, 0) / 0.6
    contact = 1.15  # palms from the wrist to where the hand works
    if task.action == "pick up":
        shift, lift = np.array([-side * 0.06, 0.20]) * H * act, 14 * act
    elif task.action == "push":
        shift = np.array([task.direction * 0.26 * H, 0]) * act
        goal = goal - np.array([task.direction * 0.35 * prop.size, 0])
    elif task.action == "wipe":
        shift = np.array([math.sin(phase) * 0.20, 0.04 * math.sin(2 * phase)]) * H
    elif task.action == "rotate":
        turn = task.direction * 0.7 * act
    elif task.action == "point at":
        contact = 1.95 + 0.5 * prop.size / palm
    elif task.action == "stir":
        goal = goal + np.array([side * 0.30, 0.34]) * H
        goal = goal + np.array([math.cos(phase), math.sin(phase)]) * 0.16 * prop.size * reach
    elif task.action == "cut":
        goal = goal + np.array([side * 0.26 * H, 0.06 * H - 0.07 * H * abs(math.sin(phase))])
        goal = goal + np.array([-side * 0.10 * H * act, 0])

    before, during = (POSES[name] for name in _HAND_POSES[task.action])
    pose = before.blend(during, ease((t - 0.15) / 0.3) * stays)
    hand, grip = reaching(scene, goal + shift, reach, pose, contact, 10 + lift * stays, turn * stays)
    hands = [hand]

    if task.action == "stir":
        centre = np.array(prop.centre) + np.array([math.cos(phase), math.sin(phase)]) * 0.16 * prop.size
        tool = ("spoon", grip, grip + (centre - grip) * max(reach, 0.35))
    elif task.action == "cut":
        tool = ("knife", grip, grip + np.array([-side * 0.30, -0.05]) * H)
        hold = np.array(prop.centre) + np.array([-side * 0.30 * prop.size, 0.02 * H])
        pose = POSES["relaxed"].blend(POSES["grasp"], reach)
        hands.append(reaching(scene, hold, reach, pose, 1.25, 8, other=True)[0])
    moved = prop.moved(float(shift[0]), float(shift[1]), turn, 0.0 if back else lift)
    return Step(hands, {task.target: moved}, tool if t > 0 and back < 1 else None)
