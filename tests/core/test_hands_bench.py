"""What is measured about hands, on made-up hands."""

import torch

from benchmarks.hands import choose_pair, compare, count_found, drawn_clip
from ivg_core.hands.hand import Hand
from ivg_core.hands.regions import Roi
from ivg_core.hands.tracker import HandTracker


def hand(x: float, y: float) -> Hand:
    joints = torch.tensor([x, y]) + torch.linspace(-20, 20, 21)[:, None].expand(21, 2)
    return Hand(joints, torch.zeros(21), 0.9, 0.9, 0.5, Roi(x, y, 100, 0))


def test_hands_of_two_trackers_are_paired_by_place():
    ours = [[hand(50, 50), hand(203, 104), hand(400, 50)], []]
    theirs = [[hand(200, 100), hand(50, 50)], [hand(10, 10)]]
    apart, missed, added = compare(ours, theirs)
    assert sorted(apart.round().tolist()) == [0.0] * 21 + [5.0] * 21
    assert (missed, added) == (1, 1)
    assert compare([[]], [[]])[0].shape == (0,)


def test_annotated_hands_are_counted_once():
    assert count_found([hand(50, 50), hand(55, 50), hand(300, 50)], [(52, 50), (200, 50)]) == (1, 2)
    assert count_found([], [(1, 1)]) == (0, 0)


def test_a_pair_shows_one_hand_in_two_poses():
    source, target, goal = choose_pair(drawn_clip(0, 192, 128), HandTracker())
    assert source.shape == target.shape == (128, 192, 3) and not torch.equal(source, target)
    assert goal.frame.tolist() == [0] and goal.joints.shape == (1, 21, 2)
    assert choose_pair(torch.full((2, 64, 64, 3), 0.5), HandTracker()) is None
