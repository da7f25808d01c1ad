"""A hand as 21 joints and 15 finger bones, posed by joint angles.

Unit of length: wrist to middle knuckle = 1. Local axes of a right hand seen from its back, fingers up:
x to the right, y towards the fingertips, z towards the viewer. Joint order is MediaPipe's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FINGERS = ("index", "middle", "ring", "pinky")
KNUCKLES = {
    "index": (-0.27, 0.95, 0.02),
    "middle": (-0.03, 1.00, 0.05),
    "ring": (0.18, 0.94, 0.02),
    "pinky": (0.36, 0.82, -0.03),
}
THUMB_BASE = (-0.24, 0.24, -0.05)
BONE_LENGTHS = {
    "thumb": (0.47, 0.36, 0.29),
    "index": (0.46, 0.27, 0.21),
    "middle": (0.51, 0.31, 0.22),
    "ring": (0.47, 0.29, 0.22),
    "pinky": (0.36, 0.22, 0.20),
}
JOINT_RADII = {
    "thumb": (0.165, 0.130, 0.114, 0.090),
    "index": (0.118, 0.100, 0.088, 0.074),
    "middle": (0.120, 0.103, 0.090, 0.076),
    "ring": (0.113, 0.096, 0.084, 0.072),
    "pinky": (0.100, 0.083, 0.073, 0.063),
}


@dataclass(frozen=True)
class Pose:
    """Joint angles in degrees.

    Attributes:
        flex: (4, 3) flexion of index, middle, ring, pinky at their three joints.
        spread: (4,) sideways angle of the same fingers, positive towards the little finger.
        thumb: (4,) abduction, opposition, flexion of its middle and of its last joint.
    """

    flex: np.ndarray
    spread: np.ndarray
    thumb: np.ndarray

    def blend(self, other: Pose, amount: float) -> Pose:
        """This pose moved by ``amount`` (0..1) towards another."""
        return Pose(
            self.flex + (other.flex - self.flex) * amount,
            self.spread + (other.spread - self.spread) * amount,
            self.thumb + (other.thumb - self.thumb) * amount,
        )


def _pose(flex, spread, thumb) -> Pose:
    return Pose(np.array(flex, float), np.array(spread, float), np.array(thumb, float))


POSES = {
    "flat": _pose([(4, 5, 3), (4, 5, 3), (4, 6, 3), (6, 6, 4)], (-3, 0, 3, 7), (28, 12, 8, 10)),
    "relaxed": _pose([(16, 20, 10), (18, 24, 12), (20, 26, 14), (22, 26, 14)], (-7, -1, 6, 13), (42, 24, 12, 15)),
    "grasp": _pose([(36, 42, 22), (38, 44, 24), (40, 44, 24), (40, 42, 24)], (-7, -1, 5, 11), (44, 46, 18, 22)),
    "pinch": _pose([(44, 44, 24), (30, 34, 18), (28, 32, 16), (24, 28, 14)], (-4, 0, 6, 13), (32, 52, 22, 26)),
    "point": _pose([(6, 8, 5), (64, 80, 45), (66, 82, 45), (64, 78, 42)], (-5, 0, 3, 6), (24, 45, 30, 35)),
    "fist": _pose([(66, 80, 46), (68, 84, 46), (70, 84, 46), (70, 80, 44)], (-2, 0, 2, 4), (24, 52, 34, 34)),
}


@dataclass(frozen=True)
class Bone:
    """One finger bone: start, end, radii at both, the finger's name and the bone's place in it (0..2)."""

    finger: str
    place: int
    start: np.ndarray
    end: np.ndarray
    start_radius: float
    end_radius: float
    back: np.ndarray  # unit vector from the palm side to the back of the finger


def _turn(vector: np.ndarray, axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotate a vector about a unit axis (Rodrigues' formula)."""
    cos, sin = math.cos(angle), math.sin(angle)
    return vector * cos + np.cross(axis, vector) * sin + axis * np.dot(axis, vector) * (1 - cos)


def _unit(vector) -> np.ndarray:
    vector = np.asarray(vector, float)
    return vector / np.linalg.norm(vector)


def skeleton(pose: Pose, left: bool = False) -> tuple[np.ndarray, list[Bone]]:
    """Joints and bones of a posed hand in local units.

    Args:
        pose: the joint angles.
        left: mirror to a left hand.

    Returns:
        Joints (21, 3) in MediaPipe's order (wrist; thumb, index, middle, ring, pinky from base to tip), and 15 bones.
    """
    joints = [np.zeros(3)]
    bones: list[Bone] = []

    abduction, opposition, *bends = np.radians(pose.thumb)
    along = _unit([-math.sin(abduction), math.cos(abduction), -math.tan(opposition) * 0.6])
    outward = np.array([-0.75, -0.2, 0.75])
    back = _unit(outward - along * np.dot(along, outward))
    point = np.array(THUMB_BASE)
    joints.append(point)
    for place, bend in enumerate((0.0, *bends)):
        axis = np.cross(along, back)
        along, back = _turn(along, axis, -bend), _turn(back, axis, -bend)
        tip = point + along * BONE_LENGTHS["thumb"][place]
        bones.append(
            Bone("thumb", place, point, tip, JOINT_RADII["thumb"][place], JOINT_RADII["thumb"][place + 1], back)
        )
        joints.append(tip)
        point = tip

    z = np.array([0.0, 0.0, 1.0])
    for row, finger in enumerate(FINGERS):
        spread = math.radians(pose.spread[row])
        forward = np.array([math.sin(spread), math.cos(spread), 0.0])
        point = np.array(KNUCKLES[finger])
        joints.append(point)
        bend = 0.0
        for place in range(3):
            bend += math.radians(pose.flex[row, place])
            along = math.cos(bend) * forward - math.sin(bend) * z
            back = math.cos(bend) * z + math.sin(bend) * forward
            tip = point + along * BONE_LENGTHS[finger][place]
            bones.append(
                Bone(finger, place, point, tip, JOINT_RADII[finger][place], JOINT_RADII[finger][place + 1], back)
            )
            joints.append(tip)
            point = tip

    array = np.array(joints)
    if left:
        mirror = np.array([-1.0, 1.0, 1.0])
        array = array * mirror
        bones = [
            Bone(b.finger, b.place, b.start * mirror, b.end * mirror, b.start_radius, b.end_radius, b.back * mirror)
            for b in bones
        ]
    return array, bones
