"""HS-Err: exact where joints are known, and the true tracker on drawn clips."""

import math

import pytest
import torch

from ivg_core.errors import IVGError
from ivg_core.evaluate.metrics.hs_err import hs_err
from ivg_core.hands.hand import Hand
from ivg_core.hands.regions import roi_of_joints
from ivg_core.hands.tracker import HandTracker
from ivg_core.synthetic.clips import Scene

SIZE = (200, 100)
FRAMES = torch.zeros(2, 100, 200, 3)
JOINTS = torch.rand(21, 2, generator=torch.Generator().manual_seed(0)) * 40


class Known:
    """Stands in for a tracker where the joints are to be exact."""

    def __init__(self, hands):
        self.hands = hands

    def detect(self, frames):
        return self.hands[-len(frames) :]


def hand(x=0.0, y=0.0, right=1.0):
    joints = JOINTS + torch.tensor([x, y])
    return Hand(joints, torch.zeros(21), 1.0, 1.0, right, roi_of_joints(joints))


def compare(generated, true, **options):
    return hs_err(FRAMES, true, Known(generated), true_size=SIZE, **options)


def test_a_shifted_hand():
    result = compare([[hand(20)], [hand(0, 10)]], [[hand()], [hand()]])
    assert result.value == pytest.approx((0.1**2 + 0.1**2) / 2)
    assert result.value_found == pytest.approx(result.value) and result.recall == 1


def test_a_missing_hand_lies_at_the_corner():
    result = compare([[], [hand()]], [[hand()], [hand()]])
    at_corner = (JOINTS / torch.tensor(SIZE)).square().sum(-1).mean().item()
    assert result.value == pytest.approx(at_corner / 2) and result.value_found == 0
    assert result.recall == 0.5 and result.detection_rate_generated == 0.5 and result.detection_rate_true == 1


def test_frames_without_a_true_hand_do_not_count():
    assert compare([[hand()], [hand(20)]], [[], [hand()]]).value == pytest.approx(0.01)
    nothing = compare([[hand()], []], [[], []])
    assert math.isnan(nothing.value) and math.isnan(nothing.recall) and nothing.hands_true == 0


def test_hands_are_paired_by_side_and_then_by_place():
    left, right = hand(0, 0, right=0.0), hand(100, 0)
    crossed = [[hand(0), hand(100, 0, right=0.0)]] * 2
    assert compare(crossed, [[left, right]] * 2).value == pytest.approx(0.25)
    swapped = [[hand(104), hand(2)]] * 2  # the same side: by place
    assert compare(swapped, [[hand(0), hand(100)]] * 2).value == pytest.approx((0.01**2 + 0.02**2) / 2)


def test_the_latter_frames():
    assert compare([[hand(20)], [hand()]], [[hand()], [hand()]], latter=1).value == 0


def test_mistakes():
    for options, sentence in (({"latter": 0}, "latter"), ({"latter": 3}, "latter")):
        with pytest.raises(IVGError, match=sentence):
            compare([[], []], [[], []], **options)
    with pytest.raises(IVGError, match="true_size"):
        hs_err(FRAMES, [[], []], Known([[], []]))
    with pytest.raises(IVGError, match="2 and 1 frames"):
        compare([[], []], [[]])


def test_on_drawn_clips():
    scene = Scene(3, 256, 192)
    frames = torch.from_numpy(scene.clip(scene.tasks[1], num_frames=4).frames).float() / 255
    tracker = HandTracker()
    same = hs_err(frames, frames, tracker)
    assert same.value == 0 and same.recall == 1
    moved = hs_err(frames.roll(16, 2), frames, tracker, latter=3)
    assert moved.value_found == pytest.approx((16 / 256) ** 2, rel=0.3)
    gone = hs_err(torch.zeros_like(frames), frames, tracker)
    assert gone.value > 10 * moved.value_found and gone.recall == 0
