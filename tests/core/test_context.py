"""Windows of time: every frame is in one, whatever the length; what cannot work is said."""

import json
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.sampling.context import ContextWindows, bit_reversed, frame_weights, spans
from ivg_core.sampling.noise import free_noise, gaussian_noise
from ivg_core.sampling.settings import Sampling


@settings(max_examples=300, deadline=None)
@given(data=st.data(), frames=st.integers(1, 200), length=st.integers(1, 200))
def test_every_frame_lies_in_a_window_and_windows_are_equally_long(data, frames, length):
    stride = data.draw(st.integers(1, length))
    shift = data.draw(st.integers(0, stride - 1))
    kind = data.draw(st.sampled_from(["flat", "pyramid", "overlap-linear"]))
    windows = spans(frames, length, stride, shift)
    assert {frame for window in windows for frame in range(window.start, window.stop)} == set(range(frames))
    assert {window.stop - window.start for window in windows} == {min(length, frames)}
    starts = [window.start for window in windows]
    assert all(0 < two - one <= stride for one, two in pairwise(starts))
    weights = frame_weights(windows, kind)
    assert all(len(row) == min(length, frames) and min(row) > 0 for row in weights)


def test_windows_of_the_reference_where_these_come_out_even(golden):
    for case in json.loads((golden / "glv" / "meta.json").read_text())["views"]:
        ours = [[x.start, x.stop] for x in spans(case["T"], case["window"], case["stride"])]
        if (case["T"] - case["window"]) % case["stride"] == 0 and case["views"]:
            assert ours == case["views"]
        else:  # there the reference leaves frames out
            assert ours[:-1] == case["views"] and ours[-1][1] == case["T"]


def test_uniform_windows_shift_at_every_step_and_isolated_ones_do_not_overlap():
    uniform = ContextWindows(8, 4, schedule="uniform")
    assert [[x.start for x in uniform.spans(20, 16, step)] for step in range(3)] == [
        [0, 4, 8, 12], [0, 2, 6, 10, 12], [0, 1, 5, 9, 12],
    ]  # fmt: skip
    assert [bit_reversed(i) for i in range(4)] == [0, 0.5, 0.25, 0.75]
    assert [x.start for x in ContextWindows(schedule="isolated").spans(32, 16)] == [0, 16]


def test_weights_are_drawn_as_their_names_say():
    two = spans(9, 6, 3)
    assert frame_weights(two, "pyramid") == [[1, 2, 3, 3, 2, 1]] * 2
    assert frame_weights(two, "flat") == [[1] * 6] * 2
    first, second = frame_weights(two, "overlap-linear")
    assert first == [1, 1, 1, 0.75, 0.5, 0.25] and second == first[::-1]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"length": 0}, "length is 0"),
        ({"stride": 0}, "stride is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"batch": None}, "batch is None"),
        ({"length": 8, "stride": 9}, "stride of 9 frames is longer than the window of 8"),
        ({"weights": "round"}, "no weights 'round'"),
        ({"schedule": "looped"}, "no schedule 'looped'"),
        ({"noise": "loud"}, "no noise 'loud'"),
        ({"schedule": "isolated", "length": 8, "stride": 4}, "side by side"),
    ],
)
def test_windows_that_cannot_be_are_said(values, said):
    with pytest.raises(IVGError, match=said):
        ContextWindows(**values)


def test_a_stride_beyond_the_models_own_window_is_said_when_that_is_known():
    with pytest.raises(IVGError, match="stride of 20 frames is longer than the window of 16"):
        ContextWindows(stride=20).spans(64, 16)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cache_every": 2, "context": ContextWindows(schedule="uniform")}, "uniform windows shift"),
        ({"parity": True, "context": ContextWindows()}, "flat and static"),
        ({"parity": True, "context": ContextWindows(weights="flat", noise="freenoise")}, "flat and static"),
        ({"parity": True, "solver": "lcm", "context": ContextWindows(weights="flat")}, "without lcm"),
    ],
)
def test_options_that_exclude_windows_are_said(options, said):
    with pytest.raises(IVGError, match=said):
        Sampling(**options)


def test_freenoise_repeats_the_first_windows_noise_in_another_order():
    shape = (4, 20, 2, 3)
    noise = free_noise([5, 6], shape, 8, 4)
    first = gaussian_noise([5, 6], (4, 8, 2, 3))
    assert torch.equal(noise[:, :, :8], first) and torch.equal(noise, free_noise([5, 6], shape, 8, 4))
    for clip, window in zip(noise, first, strict=True):
        for start in range(4, 17, 4):
            several = clip[:, start : start + 8] if start <= 12 else clip[:, 12:]
            found = {tuple(x) for x in several.transpose(0, 1).flatten(1).tolist()}
            assert found == {tuple(x) for x in window.transpose(0, 1).flatten(1).tolist()}
    assert not torch.equal(noise[0, :, 8:16], first[0])
    assert torch.equal(free_noise([5], (4, 6, 2, 3), 8, 4), gaussian_noise([5], (4, 6, 2, 3)))
