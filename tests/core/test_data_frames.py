"""Choosing frames and cutting them: the released numbers, and laws that hold for any clip."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.media.clips import even_indices
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.data.transform import (
    bucket_sizes,
    choose_frames,
    cover,
    nearest_bucket,
    released_indices,
    whole_latents,
)

sides = st.integers(16, 400)
cells = st.integers(2, 20).map(lambda n: 8 * n)


def test_released_sampling_is_the_released_one(golden):
    for case in json.loads((golden / "functions.json").read_text())["frame_sampling"]:
        found = released_indices(case["n_frames"], case["native_fps"], case["sample_fps"], case["max_frames"])
        assert found == case["indices"], case


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 2000), st.integers(2, 32))
def test_even_sampling_spans_the_clip_in_even_steps(count, frames):
    found = even_indices(count, frames)
    assert found[0] == 0 and found[-1] == count - 1 and len(found) == min(frames, count)
    steps = np.diff(found)
    assert steps.min() >= 1 and steps.max() - steps.min() <= 1


def test_the_settings_choose_the_sampling():
    assert choose_frames(60, 30, DataSettings(".", frames=4)) == [0, 20, 39, 59]
    assert choose_frames(60, 30, DataSettings(".", frames=4, frame_sampling="released")) == [44, 48, 52, 56]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.integers(9, 129), st.sampled_from([4, 8]), st.sampled_from(["even", "released"]))
@example(4, 9, 4, "even")
@example(8, 9, 8, "released")
@example(1, 9, 4, "even")
def test_frames_fill_latent_frames(count, frames, stride, sampling):
    asked = DataSettings(".", frames=frames, frame_sampling=sampling)
    if 1 < count <= stride:
        with pytest.raises(IVGError, match=f"it has {count} frames, and the model takes {1 + stride} or more"):
            choose_frames(count, 30, asked, stride)
        return
    found, most = choose_frames(count, 30, asked, stride), frames if sampling == "released" else min(frames, count)
    assert (len(found) - 1) % stride == 0 and most - stride < len(found) <= most
    assert found == sorted(found) and found[0] >= 0 and found[-1] < count
    if sampling == "even":
        assert found[0] == 0 and found[-1] == count - 1


def test_whole_latents():
    assert [whole_latents(frames, 4) for frames in (1, 4, 5, 8, 9, 33)] == [1, 1, 5, 5, 9, 33]
    assert [whole_latents(frames, 1) for frames in (1, 2, 7)] == [1, 2, 7]


@settings(max_examples=60, deadline=None)
@given(sides, sides, cells, cells)
def test_a_cut_covers_the_size_and_loses_one_direction_at_most(width, height, wide, high):
    cut = cover((width, height), (wide, high))
    assert cut(np.zeros((height, width, 3), np.uint8)).shape == (high, wide, 3)
    over = (cut.scaled[0] - wide, cut.scaled[1] - high)
    assert min(over) == 0 and cut.left == over[0] // 2 and cut.top == over[1] // 2
    # the shape is kept to the nearest pixel
    assert abs(cut.scaled[0] * height - cut.scaled[1] * width) <= max(width, height)


@settings(max_examples=40, deadline=None)
@given(sides, sides, cells, cells, st.integers(0, 2**31))
def test_video_and_mask_are_cut_alike(width, height, wide, high, seed):
    """A mask painted into the picture itself comes out where the mask does, to the grey level."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    corner = (int(rng.integers(width)), int(rng.integers(height)))
    cv2.rectangle(mask, corner, (int(rng.integers(width)), int(rng.integers(height))), 255, -1)
    cut = cover((width, height), (wide, high))
    frame = cut(np.repeat(mask[..., None], 3, -1))
    assert (frame == cut(mask)[..., None]).all()


@settings(max_examples=40, deadline=None)
@given(cells, cells, st.sampled_from([8, 32, 64]), sides, sides)
def test_buckets_have_one_area_and_the_nearest_shape_is_taken(width, height, step, clip_width, clip_height):
    sizes = bucket_sizes(width, height, step)
    assert (width, height) in sizes
    for wide, high in sizes:
        assert wide % 8 == high % 8 == 0
        assert 0.8 <= wide * high / (width * height) <= 1.2
    chosen = nearest_bucket((clip_width, clip_height), sizes)
    shape = np.log(clip_width / clip_height)
    assert abs(np.log(chosen[0] / chosen[1]) - shape) == min(abs(np.log(w / h) - shape) for w, h in sizes)


def test_upright_and_wide_clips_go_to_upright_and_wide_buckets():
    sizes = bucket_sizes(256, 256, 32)
    assert nearest_bucket((1920, 1080), sizes) == (352, 192)
    assert nearest_bucket((1080, 1920), sizes) == (192, 352)
    assert nearest_bucket((500, 490), sizes) == (256, 256)


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 0},
        {"width": 100},
        {"bucket_step": 12},
        {"min_motion": -1},
        {"fps": 0},
        {"heldout": -2},
        {"max_motion": float("nan")},
    ],
)
def test_wrong_settings_are_one_sentence(wrong):
    with pytest.raises(IVGError, match=f"data: {next(iter(wrong))} is"):
        DataSettings(".", **wrong)
