"""Plans of a drawn scene: tasks one after the other, each in the state in which the one before left the counter."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .clips import DrawnClip, Scene, Task
from .hand import silhouette
from .moments import moment
from .props import outline

#: Frames in which the hands go back to where they rest, after the frames in which the task is done.
BACK = 4
#: Share of the picture's height that things keep between them, so that no shadow falls on a neighbour.
APART = 0.06


@dataclass(frozen=True)
class DrawnStep:
    """One step of a drawn plan.

    Attributes:
        scene: the counter in the state that the steps before left.
        task: one of its tasks.
    """

    scene: Scene
    task: Task

    def clip(self, num_frames: int = 8, back: int = BACK) -> DrawnClip:
        """The exact clip: from rest to rest, see `Scene.clip`."""
        return self.scene.clip(self.task, num_frames, back)


def drawn_plan(seed: int, steps: int = 5, width: int = 192, height: int = 128) -> list[DrawnStep]:
    """Tasks that follow each other in one scene, by chance.

    The same action at the same thing never comes twice in a row, unless a scene offers nothing else. What is moved
    stays in the frame, apart from other things and free of the hand at rest.

    Args:
        seed: of the scene; decides everything.
        steps: how many.
        width, height: pixels.
    """
    rng = np.random.default_rng([20261127, seed])
    scene, plan = Scene(seed, width, height), list[DrawnStep]()
    for _ in range(steps):
        last = plan[-1].task if plan else None
        new = [task for task in scene.tasks if not (last and _same(task, last))] or scene.tasks
        fit = [task for task in new if _fits(scene, task)]
        task = (fit or new)[rng.integers(len(fit or new))]
        plan.append(DrawnStep(scene, task))
        scene = after(scene, task)
    return plan


def after(scene: Scene, task: Task) -> Scene:
    """The scene as a task leaves it: the same counter and hands, things where they are then, its tasks said anew.

    Args:
        scene: before.
        task: one of its tasks.
    """
    props = list(scene.props)
    for index, prop in moment(scene, task, 1.0, back=1.0).props.items():
        props[index] = prop
    return scene.with_props(props)


def _same(task: Task, other: Task) -> bool:
    return (task.action, task.target) == (other.action, other.target)


def _fits(scene: Scene, task: Task) -> bool:
    """Whether a thing that is moved ends inside the frame, apart from the others and free of the resting hand."""
    prop = after(scene, task).props[task.target]
    if prop.centre == scene.props[task.target].centre:
        return True
    height, width = shape = (scene.height, scene.width)
    thing = outline(prop, shape) > 0.5
    if thing.sum() < (outline(prop.moved(width, height), (3 * height, 3 * width)) > 0.5).sum():
        return False
    near = 2 * round(APART * height) + 1
    grown = cv2.dilate(thing.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (near, near))) > 0
    others = [outline(other, shape) for index, other in enumerate(scene.props) if index != task.target]
    others += [silhouette(view, shape) for view in scene.hands_at_rest(task)]
    return not any((other[grown] > 0.5).any() for other in others)
