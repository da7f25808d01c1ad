"""Drawn plans: the hand goes back to rest, and each step begins as the one before left the counter."""

from itertools import pairwise

import numpy as np
import pytest

from ivg_core.synthetic.clips import ACTIONS
from ivg_core.synthetic.moments import moment
from ivg_core.synthetic.plans import BACK, after, drawn_plan
from ivg_core.synthetic.props import outline

NOISE = 12  # levels by which two drawings of the same differ


def of_action(action):
    """The first scene whose plan begins with it, and the task."""
    steps = (drawn_plan(seed, 1)[0] for seed in range(400))
    return next((step.scene, step.task) for step in steps if step.task.action == action)


@pytest.mark.parametrize("action", ACTIONS)
def test_the_hand_goes_back_and_the_thing_stays_as_the_action_left_it(action):
    scene, task = of_action(action)
    there, both = scene.clip(task), scene.clip(task, back=BACK)
    assert len(both.frames) == len(both.rom) == len(both.hands) == len(both.joints) == 8 + BACK
    for whole, first in ((both.frames, there.frames), (both.rom, there.rom), (both.joints, there.joints)):
        assert (whole[:8] == first).all(), "the way there is drawn as without a way back"
    assert (both.hands[-1] == both.hands[0]).all(), "the last frame is at rest"
    assert np.abs(both.joints[9] - both.joints[7]).max() > 5, "and the hand went there, it did not jump"
    boxes = both.track.boxes(8 + BACK)[:, 0]
    assert (boxes[8:] == boxes[7]).all()


@pytest.mark.parametrize("action", ACTIONS)
def test_the_next_scene_begins_as_the_last_frame_shows_it(action):
    scene, task = of_action(action)
    last, next_photo = scene.clip(task, back=2).frames[-1].astype(int), after(scene, task).photo()
    # things that were laid close together at first cast their shadows in the order in which they are drawn
    assert (np.abs(last - next_photo) > NOISE).mean() < 0.004
    if action in ("push", "pick up"):
        assert (np.abs(last - scene.photo()) > NOISE).mean() > 0.01, "what was moved stays moved"


def test_the_region_of_a_clip_there_and_back_is_told_without_pictures():
    scene, task = of_action("push")
    alone = scene.rom_frames(task, back=BACK) > 127
    drawn = scene.clip(task, back=BACK).rom > 127
    assert alone.shape == drawn.shape and (alone & drawn).sum() / (alone | drawn).sum() > 0.95


def test_things_are_put_down_and_tools_taken_along():
    scene, task = of_action("pick up")
    assert moment(scene, task, 1.0).props[task.target].lift > 0
    assert all(prop.lift == 0 for prop in after(scene, task).props)
    scene, task = of_action("cut")
    assert moment(scene, task, 1.0, back=0.5).tool and moment(scene, task, 1.0, back=1.0).tool is None


def test_a_plan_is_of_one_scene_and_never_does_the_same_twice_in_a_row():
    for seed in range(30):
        plan = drawn_plan(seed)
        assert len(plan) == 5
        done = [(step.task.action, step.task.target) for step in plan]
        assert all(a != b for a, b in pairwise(done)), seed
        for step, later in pairwise(plan):
            left = after(step.scene, step.task)
            assert left.props == later.scene.props and left.tasks == later.scene.tasks
            assert later.task in later.scene.tasks
    assert drawn_plan(3) == drawn_plan(3)


def test_what_is_moved_stays_in_the_frame_and_apart():
    moved = 0
    for seed in range(30):
        for step in drawn_plan(seed):
            index, scene = step.task.target, after(step.scene, step.task)
            if scene.props[index].centre == step.scene.props[index].centre:
                continue
            moved += 1
            height, width = shape = (scene.height, scene.width)
            whole = outline(scene.props[index].moved(width, height), (3 * height, 3 * width)) > 0.5
            own = outline(scene.props[index], shape) > 0.5
            assert whole.sum() == own.sum(), seed
            others = [outline(prop, shape) for other, prop in enumerate(scene.props) if other != index]
            assert not any((other[own] > 0.5).any() for other in others), seed
    assert moved > 20
