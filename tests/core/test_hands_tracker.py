"""Finding and following hands: MediaPipe's recorded answers, and pictures that are unlike what it expects."""

import json
import logging

import pytest
import torch

from benchmarks.hands import drawn_clip
from ivg_core.errors import IVGError
from ivg_core.hands.hand import BONES, FINGERS, Hand
from ivg_core.hands.regions import Roi
from ivg_core.hands.tracker import MEMORY, HandTracker, match, without_doubles
from ivg_core.rom.fallback import hand_hull_mask
from ivg_core.synthetic.clips import Scene


@pytest.fixture(scope="module")
def tracker():
    return HandTracker()


@pytest.fixture(scope="module")
def clip():
    return drawn_clip(1, 192, 128)


def recorded():
    from pathlib import Path

    return json.loads((Path(__file__).parents[1] / "golden" / "hands.json").read_text())["pictures"]


@pytest.mark.parametrize("row", recorded(), ids=lambda row: f"{row['seed']}-{row['width']}-{row['task']}")
def test_joints_are_those_of_mediapipe(row):
    scene = Scene(row["seed"], row["width"], row["height"])
    frame = torch.from_numpy(scene.clip(scene.tasks[row["task"]], 8).frames[row["frame"]]).float() / 255
    (found,) = HandTracker(tiled=False).detect(frame[None])
    assert len(found) == len(row["hands"]) > 0
    for theirs in row["hands"]:
        apart = [(hand.joints - torch.tensor(theirs["joints"])).norm(dim=-1) for hand in found]
        nearest = min(range(len(apart)), key=lambda i: float(apart[i].mean()))
        assert apart[nearest].median() < 1 and apart[nearest].max() < 4
        assert found[nearest].right == pytest.approx(theirs["right"], abs=0.05)


def test_joints_are_near_the_drawn_ones():
    scene = Scene(1_000_001, 448, 256)
    drawn = scene.clip(scene.tasks[0], 8)
    frames = torch.from_numpy(drawn.frames[3:5]).float() / 255
    for index, (hand,) in enumerate(HandTracker().detect(frames)):
        true = torch.from_numpy(drawn.joints[3 + index, 0, :, :2]).float()
        assert (hand.joints - true).norm(dim=-1).mean() < 0.15 * hand.palm
        assert (hand.right < 0.5) == drawn.left[0]


def test_every_frame_is_searched_for_itself(tracker, clip, monkeypatch):
    monkeypatch.setattr("ivg_core.hands.tracker.CHUNK", 2)  # three frames are more than go through at once
    together = tracker.detect(clip[:3])
    assert len(together) == 3
    for frame, found in zip(clip, together, strict=False):
        (alone,) = tracker.detect(frame[None])
        assert len(alone) == len(found)
        for one, other in zip(alone, found, strict=True):
            torch.testing.assert_close(one.joints, other.joints, atol=1e-2, rtol=0)
            assert one.track is None and 0.5 <= one.presence <= 1 and 0.5 <= one.palm_score <= 1


def test_it_is_the_detector_that_masks_are_made_with(tracker, clip):
    mask = hand_hull_mask(clip[4], tracker, margin=2)
    assert mask.shape == (128, 192) and 200 < mask.sum() < 6000


def test_no_hand_is_an_answer(tracker):
    grey = torch.full((2, 64, 96, 3), 0.5)
    assert tracker.detect(grey) == [[], []] and tracker.track(grey) == [[], []]
    assert tracker(grey[0]) == []


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (3, 200)])
def test_tiny_pictures(tracker, size):
    assert tracker.detect(torch.rand(1, *size, 3)) == [[]]


def test_a_hand_cut_by_the_border_has_joints_outside(tracker):
    frame = drawn_clip(1, 448, 256)[4:5]
    ((whole,),) = tracker.detect(frame)
    top = int(whole.joints[:, 1].min())
    cut = frame[:, top + round(0.25 * whole.palm) :]  # without the finger tips
    ((hand,),) = tracker.detect(cut)
    assert hand.joints[:, 1].min() < 2


def test_ten_hands(tracker):
    frame = drawn_clip(1, 192, 128)[4]
    ((hand,),) = tracker.detect(frame[None])
    left = max(0, min(round(float(hand.centre[0])) - 48, 96))
    crowd = frame[:, left : left + 96].repeat(2, 5, 1)  # two rows of five
    found = tracker.detect(crowd[None])[0]
    assert len(found) == 10
    assert len(HandTracker(max_hands=3).detect(crowd[None])[0]) == 3


def test_grey_and_transparent_pictures_are_told_of(tracker, clip, caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        assert len(tracker.detect(clip[4:5].mean(-1, keepdim=True))) == 1
        assert "grey" in caplog.text
        seen = tracker.detect(torch.cat([clip[4:5], torch.ones(1, 128, 192, 1)], -1))
    assert "transparency" in caplog.text
    torch.testing.assert_close(seen[0][0].joints, tracker.detect(clip[4:5])[0][0].joints)


@pytest.mark.parametrize("frames", [torch.rand(4, 4), torch.rand(1, 8, 8, 2), torch.rand(1, 0, 8, 3)])
def test_what_is_no_picture_is_refused(tracker, frames):
    with pytest.raises(IVGError, match="shape"):
        tracker.detect(frames)


def test_nan_is_refused(tracker):
    with pytest.raises(IVGError, match="NaN"):
        tracker.detect(torch.full((1, 32, 32, 3), float("nan")))


def test_no_frames(tracker):
    assert tracker.detect(torch.zeros(0, 32, 32, 3)) == []


@pytest.mark.parametrize("options", [{"palm_threshold": 2}, {"presence_threshold": -1}, {"max_hands": 0}])
def test_options_out_of_range(options):
    with pytest.raises(IVGError, match=next(iter(options))):
        HandTracker(**options)
    with pytest.raises(IVGError, match="backend"):
        HandTracker(backend="other")


def test_a_hand_keeps_its_number_through_a_clip(tracker, clip):
    tracks = {hand.track for hands in tracker.track(clip) for hand in hands}
    assert tracks == {0}


def test_a_hand_that_was_away_for_a_frame_keeps_its_number(tracker, clip):
    gap = clip.clone()
    gap[4] = 0.5
    hands = tracker.track(gap)
    assert hands[4] == [] and {hand.track for hand in hands[3] + hands[5]} == {0}


def test_a_hand_that_is_not_found_is_looked_for_where_it_was(clip):
    class Blinking(HandTracker):
        def detect(self, frames):
            return [hands if index % 2 == 0 else [] for index, hands in enumerate(super().detect(frames))]

    hands = Blinking().track(clip[:4])
    assert [len(found) for found in hands] == [1, 1, 1, 1]
    assert [found[0].palm_score > 0 for found in hands] == [True, False, True, False]
    assert {found[0].track for found in hands} == {0}


def test_several_finds_of_one_hand_are_one():
    joints = torch.rand(21, 2) * 100
    sure = Hand(joints, torch.zeros(21), 0.9, 0.8, 1.0, Roi(50, 50, 200, 0))
    again = Hand(joints + 3, torch.zeros(21), 0.99, 0.7, 1.0, Roi(50, 50, 200, 0))
    finger = Hand(joints * 0.2 + 45, torch.zeros(21), 0.9, 0.6, 1.0, Roi(50, 50, 40, 0))
    beside = Hand(joints + 150, torch.zeros(21), 0.6, 0.5, 1.0, Roi(200, 200, 200, 0))
    assert without_doubles([beside, finger, again, sure]) == [sure, beside]
    assert match([beside, again], {7: sure, 3: beside}) == {1: 7, 0: 3}


def test_bones_join_every_joint_once():
    assert {joint for bone in BONES for joint in bone} == set(range(21)) and len(BONES) == 21
    assert sorted(joint for finger in FINGERS.values() for joint in finger) == list(range(1, 21))


class Scripted(HandTracker):
    """Finds what it is told, and notes for which frames it looks where a hand was before."""

    def __init__(self, *frames):
        self.frames, self.reference, self.max_hands, self.followed = frames, None, 10, []

    def detect(self, frames):
        return [list(hands) for hands in self.frames]

    def _follow(self, frame, lost):
        self.followed.append(int(frame.sum()))
        return []


def hand_at(x: float) -> Hand:
    joints = torch.tensor([[x, 0.0]]) + 10 * torch.rand(21, 2, generator=torch.Generator().manual_seed(0))
    return Hand(joints, torch.zeros(21), 1.0, 1.0, 1.0, Roi(x, 0.0, 20.0, 0.0))


def numbered() -> torch.Tensor:
    """Frames whose one pixel is their number."""
    return torch.arange(MEMORY + 3.0).reshape(-1, 1, 1, 1).expand(-1, 1, 1, 3) / 3


@pytest.mark.parametrize(("away", "same"), [(MEMORY, True), (MEMORY + 1, False)])
def test_a_lost_hand_is_remembered_for_so_long(away, same):
    frames = [[hand_at(5)], *[[] for _ in range(away - 1)], [hand_at(5)]]
    found = Scripted(*frames).track(numbered()[: len(frames)])
    assert (found[-1][0].track == found[0][0].track) == same


def test_a_hand_is_followed_into_the_next_frame_only():
    tracker = Scripted([hand_at(5)], [], [], [])
    tracker.track(numbered()[:4])
    assert tracker.followed == [1]
