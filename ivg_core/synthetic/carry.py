"""Hands that carry things of a scene on ways of their own: clips whose boxes say more than their sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..media.track_masks import bounding_box
from ..media.tracks import Box, Thing, Track, frame_times
from .clips import DrawnClip, Scene
from .hand import silhouette
from .moments import Step
from .props import Prop, outline
from .reach import ease, reaching
from .skeleton import POSES

#: What the hand looks like that does it.
HOLDS = {"push": "flat", "move": "grasp", "pick up": "grasp"}
#: Palms from the wrist to the fingertips then: these lie on the thing's nearer half, so that the rest of it shows.
FINGERTIPS = {"push": 1.75, "move": 1.5, "pick up": 1.5}
#: Shares of the time that the hand needs to reach the thing, and to go before the thing begins to move.
REACH, GRIP = 0.35, 0.28


@dataclass(frozen=True)
class Carry:
    """One thing on its way.

    Args:
        target: its index in the scene's props.
        action: key of :data:`HOLDS`.
        noun: what it is called.
        to: (dx, dy) in pixels from where it lies.
        bend: pixels by which the middle of the way lies beside the straight line.
        start: when the hand sets out, 0..1; 1: never.
        other: by the hand that does not act in other clips, which comes from outside the frame.
    """

    target: int
    action: str
    noun: str
    to: tuple[float, float] = (0.0, 0.0)
    bend: float = 0.0
    start: float = 0.0
    other: bool = False

    def shift(self, time: float) -> np.ndarray:
        """Where it is at a time 0..1, as pixels (dx, dy) from where it lies at first."""
        done = ease((time - self.start - GRIP) / max(1 - self.start - GRIP, 1e-6)) if self.start < 1 else 0.0
        way = np.array(self.to)
        across = np.array([-way[1], way[0]]) / max(float(np.linalg.norm(way)), 1e-6)
        return way * done + across * self.bend * 4 * done * (1 - done)


@dataclass(frozen=True)
class Errand:
    """What is carried in one clip, by one hand or by each, and the sentence that is said of it."""

    carries: tuple[Carry, ...]
    text: str


def errand(scene: Scene, seed: int = 0) -> Errand:
    """Something to carry in a scene, by chance.

    In three of ten clips of a scene with two things both hands carry one. A way is straight or gently curved, in any
    direction, 0.15 to 0.6 of the picture's width long and ends inside; one in seven leads out of the picture, and one
    in ten things stays where it is. Some hands wait first. Every third sentence about a way to the left or right names
    the other direction, every third none.

    Args:
        scene: whose things.
        seed: decides everything.
    """
    rng = np.random.default_rng([20250704, scene.seed, seed])
    both = len(scene.props) > 1 and rng.random() < 0.3
    targets = rng.permutation(len(scene.props))[: 1 + both].tolist()
    targets.sort(key=lambda index: -scene.side * scene.props[index].centre[0])  # each hand's own side
    carries: tuple[Carry, ...]
    for _ in range(50):
        carries = tuple(_carry(scene, index, rng, other=place == 1) for place, index in enumerate(targets))
        if _keep_apart(scene, carries):
            break
    else:
        carries = carries[:1]
    said = " and ".join(_said(carry, rng) for carry in carries)
    if not both and rng.random() < 0.3:
        said += f" with the {'right' if scene.side > 0 else 'left'} hand"
    return Errand(carries, said)


def carried_clip(scene: Scene, errand: Errand, num_frames: int = 8, hands: bool = False) -> DrawnClip:
    """Render an errand.

    Args:
        scene: where.
        errand: what is carried.
        num_frames: F; frame 0 shows the scene at rest.
        hands: also put the hands, without their forearms, into the track: as "hand", or where there are two as "left
            hand" and "right hand". One that never shows is left out.
    """
    plan = [_step(scene, errand, time) for time in frame_times(num_frames)]
    clip = scene.render(plan, {carry.target: carry.noun for carry in errand.carries}, errand.text, "carry")
    if hands:
        clip.track = Track((*clip.track.things, *_hands(scene, plan)))
    return clip


def _step(scene: Scene, errand: Errand, time: float) -> Step:
    step = Step([], {})
    for carry in errand.carries:
        prop, shift = scene.props[carry.target], carry.shift(time)
        way = float(np.linalg.norm(carry.to))
        reach = ease((time - carry.start) / REACH) if carry.start < 1 else 0.0
        pose = POSES["relaxed"].blend(POSES[HOLDS[carry.action]], ease(2 * reach - 0.5))
        lift = {"push": 0.0, "move": 6.0, "pick up": 14.0}[carry.action] * min(np.linalg.norm(shift) / (way or 1), 1)
        goal, contact = np.array(prop.centre) + shift, FINGERTIPS[carry.action] + 0.25 * prop.size / scene.palm
        step.hands.append(reaching(scene, goal, reach, pose, contact, 10 + lift, other=carry.other)[0])
        step.props[carry.target] = prop.moved(float(shift[0]), float(shift[1]), lift=lift)
    return step


def _hands(scene: Scene, plan: list[Step]) -> Iterator[Thing]:
    for views in zip(*(step.hands for step in plan), strict=True):
        masks = [silhouette(view, (scene.height, scene.width), forearm=False) > 0.5 for view in views]
        side = "left " if views[0].left else "right "
        if np.any(masks):
            yield Thing.of_frames(
                f"{side if len(plan[0].hands) > 1 else ''}hand", [bounding_box(mask) for mask in masks]
            )


def _carry(scene: Scene, index: int, rng: np.random.Generator, other: bool) -> Carry:
    prop = scene.props[index]
    noun = f"{prop.colour} {prop.kind}" if rng.random() < 0.4 else str(prop.kind)
    start = float(rng.uniform(0.1, 0.35)) if rng.random() < 0.4 else 0.0
    carry = Carry(index, str(rng.choice(list(HOLDS))), noun, start=start, other=other)
    kind = rng.random()
    if kind < 0.1:  # held where it is, or not even touched; then the hand that rests must show, so that clips have one
        return replace(carry, start=1.0) if kind < 0.05 and scene.peek > 0 else carry
    while True:
        angle, length = rng.uniform(-math.pi, math.pi), rng.uniform(0.15, 0.6)
        direction = np.array([math.cos(angle), math.sin(angle)]) * scene.width
        bend = float(rng.uniform(-0.25, 0.25) * length * scene.width) if rng.random() < 0.5 else 0.0
        if kind > 0.86:
            while _box(scene, prop, direction * length):
                length += 0.05
            to = direction * length * 1.15
            return replace(carry, to=(float(to[0]), float(to[1])))
        carry = replace(carry, to=(float(direction[0] * length), float(direction[1] * length)), bend=bend)
        if all(_inside(_box(scene, prop, carry.shift(time))) for time in (0.8, 0.9, 1.0)):
            return carry


def _box(scene: Scene, prop: Prop, shift: np.ndarray) -> Box | None:
    return bounding_box(outline(prop.moved(*shift), (scene.height, scene.width)) > 0.5)


def _inside(box: Box | None) -> bool:
    return box is not None and min(box) > 0 and max(box) < 1


def _keep_apart(scene: Scene, carries: tuple[Carry, ...]) -> bool:
    """Whether no two of the carried things ever lie in one place."""
    if len(carries) < 2:
        return True
    for time in frame_times(16):
        a, b = (_box(scene, scene.props[carry.target], carry.shift(time)) for carry in carries)
        if a and b and min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1]):
            return False
    return True


def _said(carry: Carry, rng: np.random.Generator) -> str:
    said = f"{carry.action} the {carry.noun}"
    if carry.action == "pick up":
        return said
    ways = ["left", "right"] if carry.to[0] < 0 else ["right", "left"]
    return said + (f" to the {ways[told]}" if (told := int(rng.integers(3))) < 2 else "")
