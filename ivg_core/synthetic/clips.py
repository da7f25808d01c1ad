"""Scenes and clips: a photo of a counter, sentences that could be said of it, and what would then happen.

Everything is exact by construction: the joints, the hands' silhouettes and the Region of Motion, which is all that the
moving things cover: hands with their forearms, the tool, and the thing that is moved.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..media.track_masks import bounding_box
from ..media.tracks import Box, Thing, Track, frame_times
from .hand import SKIN_TONES, HandView, draw_hand, joint_pixels, silhouette
from .moments import Step, moment
from .props import KINDS, Prop, counter, draw_prop, draw_tool, outline

#: What can be done with each kind of thing; the sentence's object is the thing, its colour is named when needed.
ACTIONS = {
    "pick up": ("tomato", "cup", "carrot", "cucumber", "lid", "box"),
    "push": ("plate", "box", "bowl", "cup"),
    "stir": ("bowl",),
    "wipe": ("cloth",),
    "point at": ("cup", "box", "tomato", "plate", "bowl", "lid"),
    "rotate": ("lid", "plate", "bowl"),
    "cut": ("carrot", "cucumber"),
}
CUTTING_VERBS = ("cut", "slice", "julienne", "chop")


@dataclass(frozen=True)
class Task:
    """One thing to do in a scene: the action, the index of its prop, a direction (-1 left, 1 right), the sentence."""

    action: str
    target: int
    direction: int
    text: str


@dataclass
class DrawnClip:
    """A rendered clip.

    Attributes:
        text: the sentence.
        frames: (F, H, W, 3) uint8.
        rom: (F, H, W) uint8 0/255: what moves, as it stands in each frame.
        hands: (F, H, W) uint8 0/255: hands and forearms only.
        joints: (F, K, 21, 3) pixels and height of the K moving hands.
        left: K flags, True for a left hand.
        action: key of :data:`ACTIONS`, or "carry".
        track: of the things that are handled: exact boxes of their outlines, whether a hand covers them or not; not of
            what lies beyond the picture's edge.
    """

    text: str
    frames: np.ndarray
    rom: np.ndarray
    hands: np.ndarray
    joints: np.ndarray
    left: list[bool]
    action: str
    track: Track

    @property
    def rom_mask(self) -> np.ndarray:
        """The exact Region of Motion: the union over the frames (H, W) bool."""
        return (self.rom > 127).max(axis=0)


@dataclass
class Scene:
    """A counter with things on it and one hand that will act; the other hand comes in only for cutting.

    Args:
        seed: decides everything.
        width, height: pixels.
    """

    seed: int
    width: int = 192
    height: int = 128
    props: list[Prop] = field(init=False)
    tasks: list[Task] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng([20241204, self.seed])
        self._texture_seed = int(rng.integers(1 << 31))
        self.side = int(rng.choice([-1, 1]))  # 1: the right hand acts and comes from the right
        self.palm = self.height * rng.uniform(0.235, 0.28)
        self.skin = SKIN_TONES[rng.integers(len(SKIN_TONES))] * rng.uniform(0.95, 1.05, 3).astype(np.float32)
        self.sleeve = rng.uniform(0.1, 0.8, 3).astype(np.float32) if rng.random() < 0.6 else None
        self.light = np.array([rng.uniform(-0.6, -0.1), rng.uniform(-0.9, -0.4), 1.0])
        self.elbow_x = self.width * (0.5 + self.side * rng.uniform(0.10, 0.26))
        # Palms of the hand that show at rest; below 0 none does.
        self.peek = rng.uniform(0.45, 0.95) if rng.random() < 0.85 else -1.2
        self.wobble = rng.uniform(-1, 1, 2)
        self.props = self._lay_out(rng)
        self.tasks = self._say(rng)

    def _lay_out(self, rng: np.random.Generator) -> list[Prop]:
        """Two to four things of different kinds, apart from each other, in the upper part of the frame."""
        kinds = list(rng.permutation(list(KINDS)))
        props: list[Prop] = []
        for kind in kinds[: rng.integers(2, 5)]:
            size = KINDS[kind].size * self.height * rng.uniform(0.88, 1.12)
            angle = rng.uniform(-0.5, 0.5) + (math.pi if rng.random() < 0.5 else 0.0)
            for _ in range(40):
                centre = (self.width * rng.uniform(0.12, 0.88), self.height * rng.uniform(0.16, 0.50))
                gap = [math.dist(centre, p.centre) - (size + p.size) / 2 for p in props]
                if all(g > 0.05 * self.height for g in gap):
                    colour = str(rng.choice(KINDS[kind].colours))
                    props.append(Prop(kind, colour, centre, size, angle, int(rng.integers(1 << 31))))
                    break
        return props

    def _say(self, rng: np.random.Generator) -> list[Task]:
        hand = "right" if self.side > 0 else "left"
        tasks = []
        for index, prop in enumerate(self.props):
            for action, kinds in ACTIONS.items():
                if prop.kind not in kinds:
                    continue
                direction = int(rng.choice([-1, 1]))
                if not 0.25 < prop.centre[0] / self.width < 0.75:  # push towards the middle, never out of the frame
                    direction = 1 if prop.centre[0] < self.width / 2 else -1
                noun = f"{prop.colour} {prop.kind}" if rng.random() < 0.4 else prop.kind
                toward = "right" if direction > 0 else "left"
                sentence = {
                    "pick up": f"pick up the {noun}",
                    "push": f"push the {noun} to the {toward}",
                    "stir": f"stir the food in the {noun} with the spoon",
                    "wipe": f"wipe the counter with the {noun}",
                    "point at": f"point at the {noun}",
                    "rotate": f"rotate the {noun}",
                    "cut": f"{rng.choice(CUTTING_VERBS)} the {noun} with the knife",
                }[action]
                if rng.random() < 0.5:
                    link = "in" if action in ("stir", "cut", "wipe") else "with"
                    sentence += f" {link} the {hand} hand"
                tasks.append(Task(action, index, direction, sentence))
        return tasks

    @property
    def elbow(self) -> tuple[float, float]:
        return (self.elbow_x, 1.55 * self.height)

    def photo(self) -> np.ndarray:
        """The scene before anything happens (H, W, 3) uint8; frame 0 of every clip of this scene."""
        return self.clip(self.tasks[0], num_frames=1).frames[0]

    def hands_at_rest(self, task: Task) -> list[HandView]:
        """The hands as they stand in frame 0; some may lie outside the frame."""
        return moment(self, task, 0.0).hands

    def with_props(self, props: Sequence[Prop]) -> Scene:
        """The same counter and hands with the things as they are now; the tasks are said anew.

        Args:
            props: as many as :attr:`props`, in their order.
        """
        scene = copy.copy(self)
        scene.props = list(props)
        places = [round(abs(place)) for prop in props for place in prop.centre]
        scene.tasks = scene._say(np.random.default_rng([20261127, self.seed, *places]))
        return scene

    def _plan(self, task: Task, num_frames: int) -> list[Step]:
        return [moment(self, task, time) for time in frame_times(num_frames)]

    def _way_back(self, task: Task, num_frames: int) -> list[Step]:
        return [moment(self, task, 1.0, (number + 1) / num_frames) for number in range(num_frames)]

    def rom_frames(self, task: Task, num_frames: int = 8, back: int = 0) -> np.ndarray:
        """What would move, frame by frame (F, H, W) uint8 0/255: the clip's ``rom`` without its pictures."""
        shape = (self.height, self.width)
        plan = self._plan(task, num_frames) + self._way_back(task, back)
        moving = self._moving(plan)
        blank = np.zeros((*shape, 3), np.float32)
        rows = []
        for step in plan:
            parts = [silhouette(view, shape) for view in step.hands]
            parts += [outline(step.props[index], shape) for index in moving]
            parts += [draw_tool(blank, *step.tool)] if step.tool else []
            rows.append(_binary(np.max(parts, axis=0)))
        return np.stack(rows)

    def clip(self, task: Task, num_frames: int = 8, back: int = 0) -> DrawnClip:
        """Render what the sentence asks for.

        Args:
            task: one of :attr:`tasks`.
            num_frames: frames until it is done; frame 0 shows the scene at rest.
            back: frames after these, in which the hands go back; the last shows the scene at rest again, the thing as
                the action left it. 0: the clip ends with the hand at the thing. F = ``num_frames`` + ``back``.
        """
        phrases = {task.target: str(self.props[task.target].kind)}
        plan = self._plan(task, num_frames) + self._way_back(task, back)
        return self.render(plan, phrases, task.text, task.action)

    def render(self, plan: Sequence[Step], phrases: Mapping[int, str], text: str, action: str) -> DrawnClip:
        """Render what happens.

        Args:
            plan: F moments, all with the same hands and props.
            phrases: what the handled things are called, by their index in :attr:`props`.
            text, action: of the clip.
        """
        background, moving = self.without(plan[0].props), self._moving(plan)
        shape = (self.height, self.width)
        frames, rom, hands, joints = [], [], [], []
        boxes: dict[int, list[Box | None]] = {index: [] for index in phrases}
        for number, step in enumerate(plan):
            picture = background.copy()
            moved = np.zeros(shape, np.float32)
            for index, prop in step.props.items():
                thing = draw_prop(picture, prop)
                moved = np.maximum(moved, thing) if index in moving else moved
                boxes[index].append(bounding_box(thing > 0.5))
            if step.tool is not None:
                moved = np.maximum(moved, draw_tool(picture, *step.tool))
            covered = np.zeros(shape, np.float32)
            for view in step.hands:
                picture, hand = draw_hand(picture, view, self.light)
                covered = np.maximum(covered, hand)
            noise = np.random.default_rng([self.seed, number]).normal(0, 0.006, picture.shape)
            frames.append(_bytes(picture + noise))
            hands.append(_binary(covered))
            rom.append(_binary(np.maximum(moved, covered)))
            joints.append(np.stack([joint_pixels(view) for view in step.hands]))
        track = Track(tuple(Thing.of_frames(phrases[index], rows) for index, rows in boxes.items()))
        seen, changed, held, bones = map(np.stack, (frames, rom, hands, joints))
        return DrawnClip(text, seen, changed, held, bones, [view.left for view in plan[-1].hands], action, track)

    def without(self, taken: Container[int]) -> np.ndarray:
        """The counter without hands and without the props of these indices (H, W, 3) float32 0..1."""
        picture = counter(self.height, self.width, np.random.default_rng(self._texture_seed))
        for index, prop in enumerate(self.props):
            if index not in taken:
                draw_prop(picture, prop)
        return picture

    def _moving(self, plan: Sequence[Step]) -> list[int]:
        """The props that do not stay as they are."""
        return [index for index in plan[0].props if any(step.props[index] != self.props[index] for step in plan)]


def _binary(soft: np.ndarray) -> np.ndarray:
    return ((soft > 0.5) * 255).astype(np.uint8)


def _bytes(picture: np.ndarray) -> np.ndarray:
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
