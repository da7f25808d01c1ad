"""Drawn scenes: exact, deterministic, and worth learning from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.synthetic import example
from ivg_core.synthetic.clips import Scene
from ivg_core.synthetic.dataset import HELD_OUT_SEED, load_shard, render_dataset
from ivg_core.synthetic.skeleton import POSES, skeleton


@pytest.fixture(scope="module")
def clip():
    scene = Scene(3)
    return scene.clip(scene.tasks[0])


def test_a_clip_is_whole(clip):
    assert clip.frames.shape == (8, 128, 192, 3) and clip.frames.dtype == np.uint8
    assert clip.rom.shape == clip.hands.shape == (8, 128, 192)
    assert clip.joints.shape[:1] + clip.joints.shape[2:] == (8, 21, 3)
    assert (clip.rom >= clip.hands).all(), "what moves includes the hands"


def test_nothing_moves_outside_the_region(clip):
    change = np.abs(clip.frames[1:].astype(int) - clip.frames[:1]).mean(-1).max(0)
    shadows = 12  # pixels beside a hand that its shadow darkens
    import cv2

    near = cv2.dilate(clip.rom_mask.astype(np.uint8), np.ones((2 * shadows + 1,) * 2)) > 0
    assert change[~near].max() < 16, "only sensor noise far from what moves"
    assert change[clip.rom_mask].mean() > 20


def test_the_same_seed_draws_the_same_clip(clip):
    scene = Scene(3)
    again = scene.clip(scene.tasks[0])
    assert (again.frames == clip.frames).all() and again.text == clip.text


def test_every_clip_of_a_scene_starts_with_its_photo():
    scene = Scene(5)
    photo = scene.photo()
    for task in scene.tasks[:3]:
        difference = np.abs(scene.clip(task, num_frames=2).frames[0].astype(int) - photo)
        assert difference.mean() < 0.5, task.text


def test_masks_without_pictures_are_those_of_the_clip(clip):
    scene = Scene(3)
    alone = scene.rom_frames(scene.tasks[0]) > 127
    drawn = clip.rom > 127
    assert (alone & drawn).sum() / (alone | drawn).sum() > 0.95


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_every_scene_has_something_to_do(seed):
    scene = Scene(seed)
    assert scene.tasks
    for task in scene.tasks:
        assert scene.props[task.target].kind in task.text or "food" in task.text
        region = (scene.rom_frames(task) > 127).any(0).mean()
        assert 0.02 < region < 0.6, task.text


def test_sentences_about_other_things_move_elsewhere():
    scene = Scene(HELD_OUT_SEED + 1)
    first, other = scene.tasks[0], next(t for t in scene.tasks if t.target != scene.tasks[0].target)
    a, b = ((scene.rom_frames(t) > 127).any(0) for t in (first, other))
    assert (a & b).sum() / (a | b).sum() < 0.8


@pytest.mark.parametrize("name", POSES)
def test_left_mirrors_right(name):
    right, bones = skeleton(POSES[name])
    left, _ = skeleton(POSES[name], left=True)
    assert right.shape == (21, 3) and len(bones) == 15
    np.testing.assert_allclose(left, right * [-1, 1, 1])
    assert np.linalg.norm(right[9]) == pytest.approx(1, abs=0.05), "the unit is wrist to middle knuckle"


def test_shards_are_written_once(tmp_path):
    few = render_dataset(tmp_path, 3, 2, 64, 48, workers=1)
    whole = render_dataset(tmp_path, 50, 2, 64, 48, workers=1)
    for (path,), count in ((few, 3), (whole, 50)):  # a few are never taken for a whole shard
        frames, rom, texts = load_shard(path)
        assert frames.shape == (count, 2, 48, 64, 3) and rom.shape == (count, 4, 2, 48, 64)
        assert len(texts) == count and all(text[0] for text in texts)
    written = few[0].stat().st_mtime_ns
    assert render_dataset(tmp_path, 3, 2, 64, 48, workers=1)[0].stat().st_mtime_ns == written


def test_example_is_a_photo_and_a_sentence():
    photo, action = example(0)
    assert photo.shape == (128, 192, 3) and photo.min() >= 0 and photo.max() <= 1
    assert len(action.split()) >= 3
