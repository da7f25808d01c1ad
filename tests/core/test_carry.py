"""Drawn clips in which hands carry things: exact boxes, ways of their own, and finding the things again."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.synthetic.boxes import bounding_box, box_of_colour
from ivg_core.synthetic.carry import Carry, Errand, carried_clip, errand
from ivg_core.synthetic.clips import Scene

SEED = 1  # a bowl in the upper left quarter, and a cucumber; the left hand acts


def carried(*carries, seed=SEED, **options):
    return carried_clip(Scene(seed), Errand(carries, "move it"), **options)


def boxes(clip, thing=0):
    return [key.box for key in clip.track.things[thing].keyframes]


def test_a_box_follows_its_thing_to_the_pixel():
    clip = carried(Carry(0, "move", "bowl", to=(60, 30)))
    first, last = boxes(clip)[0], boxes(clip)[-1]
    shift = np.subtract(last, first) * (192, 128, 192, 128)
    np.testing.assert_allclose(shift, (60, 30, 60, 30), atol=1)
    assert clip.track.phrases == ["bowl"] and len(boxes(clip)) == 8


def test_a_box_is_that_of_the_drawn_pixels():
    scene = Scene(6)
    index = next(i for i, prop in enumerate(scene.props) if (prop.kind, prop.colour) == ("lid", "black"))
    clip = carried(Carry(index, "move", "lid", start=1.0), seed=6)  # no hand comes near it
    x1, y1, x2, y2 = np.round(np.array(boxes(clip)[0]) * (192, 128, 192, 128)).astype(int)
    changed = np.abs(clip.frames[0] / 255 - scene.without([index])).max(-1) > 0.15
    row, column = changed[(y1 + y2) // 2, x1 - 10 :], changed[y1 - 10 :, (x1 + x2) // 2]
    assert abs(row.argmax() - 10) <= 1 and abs(column.argmax() - 10) <= 1, "it begins where the picture changes"
    size = scene.props[index].size  # the shadow is no part of it
    assert x2 - x1 == pytest.approx(size, abs=1.5) and y2 - y1 == pytest.approx(size, abs=1.5)


def test_a_hand_in_front_does_not_shorten_the_box():
    size = {
        tuple(np.round(np.subtract(box[2:], box[:2]) * (192, 128))) for box in boxes(carried(Carry(0, "push", "b")))
    }
    assert len(size) == 1


def test_out_of_the_picture_it_vanishes():
    found = boxes(carried(Carry(0, "move", "bowl", to=(260, 0))))
    assert found[0] and found[-1] is None
    assert max(box[2] for box in found if box) == 1.0, "cut at the edge"
    assert found.index(None) == sum(box is not None for box in found), "it does not come back"


def test_a_thing_that_nobody_touches_stays():
    clip = carried(Carry(0, "move", "bowl", to=(60, 0), start=1.0))
    assert len(set(boxes(clip))) == 1
    assert (clip.joints == clip.joints[:1]).all()
    assert np.abs(clip.frames[-1].astype(int) - clip.frames[0]).mean() < 2.5, "only noise"


def test_a_hand_may_wait():
    clip = carried(Carry(0, "move", "bowl", to=(60, 0), start=0.4))
    assert (clip.joints[:3] == clip.joints[:1]).all() and boxes(clip)[3] == boxes(clip)[0]
    assert boxes(clip)[-1][0] > boxes(clip)[0][0] + 0.3


def test_a_bent_way_leaves_the_straight_line_and_arrives_all_the_same():
    straight, bent = (Carry(0, "move", "bowl", to=(80, 0), bend=bend) for bend in (0, 15))
    off = [bent.shift(time)[1] - straight.shift(time)[1] for time in np.linspace(0, 1, 30)]
    assert max(off) == pytest.approx(15, abs=0.5) and off[0] == off[-1] == 0
    np.testing.assert_allclose(bent.shift(1.0), (80, 0))


def test_each_hand_carries_one():
    clip = carried(
        Carry(0, "move", "bowl", to=(0, 30)), Carry(1, "push", "cucumber", to=(30, 0), other=True), hands=True
    )
    assert sorted(clip.left) == [False, True] and clip.joints.shape[1] == 2
    assert clip.track.phrases == ["bowl", "cucumber", "left hand", "right hand"]
    assert boxes(clip, 0)[-1][1] > boxes(clip, 0)[0][1] + 0.2 and boxes(clip, 1)[-1][0] > boxes(clip, 1)[0][0] + 0.1
    assert boxes(clip, 3)[0] is None and boxes(clip, 3)[-1], "the other hand comes from outside"


def test_a_hand_is_without_its_forearm():
    clip = carried(Carry(0, "move", "bowl", to=(0, -10)), hands=True)
    joints = clip.joints[-1, 0, :, :2] / (192, 128)
    x1, y1, x2, y2 = boxes(clip, 1)[-1]
    assert (joints > (x1, y1)).all() and (joints < (x2, y2)).all()
    assert y2 < joints[0, 1] + 0.1 < 1, "it ends at the wrist"
    assert clip.hands[-1, -1].any(), "though the forearm goes on"


def test_what_is_carried_is_in_the_region_of_motion():
    clip = carried(Carry(0, "move", "bowl", to=(60, 30)))
    for frame, (x1, y1, x2, y2) in enumerate(boxes(clip)):
        middle = clip.rom[frame, round((y1 + y2) * 64), round((x1 + x2) * 96)]
        assert middle == 255
    assert (clip.rom >= clip.hands).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 5000), st.integers(0, 5))
def test_every_scene_has_something_to_carry(scene_seed, seed):
    scene = Scene(scene_seed)
    task = errand(scene, seed)
    assert task == errand(Scene(scene_seed), seed)
    clip = carried_clip(scene, task, num_frames=6)
    assert np.abs(clip.frames[0].astype(int) - scene.photo()).mean() < 0.5, "it begins with the photo"
    for carry, thing in zip(task.carries, clip.track.things, strict=True):
        assert scene.props[carry.target].kind in thing.phrase and thing.phrase in task.text
        length = np.linalg.norm(carry.to) / scene.width
        end = thing.keyframes[-1].box
        assert end is None or length == 0 or 0.15 <= length <= 0.6
        assert end is None or length == 0 or carry.start == 1 or (min(end) > 0 and max(end) < 1), "it ends inside"


def test_sentences_say_the_way_or_another_or_none():
    said = {"true": 0, "other": 0, "none": 0}
    both = gone = still = 0
    for seed in range(150):
        task = errand(Scene(seed))
        both += len(task.carries) == 2
        for carry in task.carries:
            still += not any(carry.to) or carry.start == 1
            gone += np.linalg.norm(carry.to) > 0.7 * 192
        if len(task.carries) == 1 and any(task.carries[0].to):
            right = task.carries[0].to[0] > 0
            told = "right" if "to the right" in task.text else "left" if "to the left" in task.text else None
            said["none" if told is None else "true" if (told == "right") == right else "other"] += 1
    assert min(said.values()) > 15
    assert 20 < both < 70 and gone > 5 and still > 5


def test_things_are_found_again_by_their_colours():
    found = {}
    for seed in range(0, 24):
        scene = Scene(seed)
        task = errand(scene)
        clip = carried_clip(scene, task, num_frames=6)
        for carry, thing in zip(task.carries, clip.track.things, strict=True):
            prop = scene.props[carry.target]
            background = (scene.without([carry.target]) * 255).clip(0, 255).astype(np.uint8)
            for key, box in zip(thing.keyframes, box_of_colour(clip.frames, prop, background), strict=True):
                if key.box is None:
                    assert box is None, "nothing is there"
                else:
                    found.setdefault(prop.kind, []).append(overlap(key.box, box))
    assert np.mean(np.concatenate(list(found.values()))) > 0.85
    assert min(map(np.mean, found.values())) > 0.6, found


def test_a_picture_without_the_thing_has_no_box():
    scene = Scene(SEED)
    background = (scene.without([0]) * 255).clip(0, 255).astype(np.uint8)
    noisy = np.clip(background + np.random.default_rng(0).normal(0, 4, background.shape), 0, 255).astype(np.uint8)
    assert box_of_colour([background, noisy], scene.props[0], background) == [None, None]


def test_a_box_around_nothing_and_around_a_rectangle():
    mask = np.zeros((40, 80), bool)
    assert bounding_box(mask) is None
    cv2.rectangle(picture := np.zeros((40, 80), np.uint8), (20, 10), (39, 29), 1, -1)
    assert bounding_box(picture > 0) == (0.25, 0.25, 0.5, 0.75)


def test_other_clips_have_the_track_of_their_thing():
    scene = Scene(4)
    for task in scene.tasks:
        clip = scene.clip(task, num_frames=3)
        assert clip.track.phrases == [scene.props[task.target].kind]
        if task.action in ("push", "pick up"):
            assert boxes(clip)[0] != boxes(clip)[-1]
        elif task.action != "wipe":
            assert len(set(boxes(clip))) == 1 or task.action == "rotate"


def overlap(a, b):
    """Intersection over union of two boxes; 0 where the second is None."""
    if b is None:
        return 0.0
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0) * max(high, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
