"""Hands of a clip as a box track."""

import logging

import pytest
import torch

from ivg_core.errors import IVGError
from ivg_core.hands.boxes import track_of_hands
from ivg_core.hands.hand import Hand
from ivg_core.hands.regions import Roi
from ivg_core.hands.tracker import HandTracker
from ivg_core.synthetic.clips import Scene

SIZE = (200, 100)


def hand(x, y, number, right=1.0):
    """A palm of 20 pixels and joints that reach from (x, y) to (x + 40, y + 20)."""
    joints = torch.tensor([[x, y + 20.0]]).repeat(21, 1)
    joints[9], joints[20] = torch.tensor([x, y]), torch.tensor([x + 40.0, y + 20.0])
    return Hand(joints, torch.zeros(21), 1.0, 1.0, right, Roi(0, 0, 1, 0), number)


def test_each_hand_is_a_thing_with_a_margin():
    track = track_of_hands([[hand(20, 40, 0), hand(100, 40, 1, right=0.2)]] * 2, SIZE)
    assert track.phrases == ["right hand", "left hand"]
    # three pixels, 0.15 of the palm, on each side
    assert track.boxes(2)[1, 0].tolist() == pytest.approx([17 / 200, 37 / 100, 63 / 200, 63 / 100, 1])


def test_a_box_ends_at_the_picture_and_a_hand_outside_is_not_there():
    track = track_of_hands([[hand(-20, -10, 0)], [hand(180, 90, 0)], [hand(500, 90, 0)]], SIZE)
    first, second, third = track.boxes(3)[:, 0].tolist()
    assert first == pytest.approx([0, 0, 23 / 200, 13 / 100, 1])
    assert second == pytest.approx([177 / 200, 87 / 100, 1, 1, 1]) and third == [0] * 5


def test_before_and_after_it_is_seen_it_is_not_there_and_between_it_goes_on():
    frames = [[], [hand(0, 40, 0)], [], [hand(40, 40, 0)], [], []]
    rows = track_of_hands(frames, SIZE).boxes(6)[:, 0]
    assert rows[:, 4].tolist() == [0, 1, 1, 1, 0, 0]
    assert rows[2, 2].item() == pytest.approx(63 / 200)  # half way


def test_a_hand_of_a_moment_is_left_out_and_of_many_those_seen_most_are_kept(caplog):
    left, short = hand(0, 0, 0, right=0.0), [[hand(0, 0, 9)]]
    long = [[*([left] if frame else []), *(hand(0, 0, number) for number in range(1, 9))] for frame in range(3)]
    with caplog.at_level(logging.WARNING, logger="ivg"):
        assert track_of_hands([*long, *short], SIZE).phrases == ["right hand"] * 8  # the left one is seen once less
    assert "shows 9 hands: the 8 that are seen most are kept" in caplog.text
    with pytest.raises(IVGError, match="No hand is seen in two frames"):
        track_of_hands([*short, []], SIZE)


def test_the_hand_of_a_drawn_clip():
    scene = Scene(3, 256, 192)
    clip = scene.clip(scene.tasks[1], num_frames=8)
    frames = torch.from_numpy(clip.frames)
    track = track_of_hands(HandTracker().track(frames), (256, 192))
    (box,) = track.boxes(8)[-1].tolist()
    joints = clip.joints[-1, 0, :, :2] / (256, 192)
    assert box[4] == 1 and (joints.min(0) > [box[0] - 0.02, box[1] - 0.02]).all()
    assert (joints.max(0) < [box[2] + 0.02, box[3] + 0.02]).all()
