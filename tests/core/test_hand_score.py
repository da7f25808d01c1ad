"""The hand score: sound clips score high, every fault lowers it, and no hand is an answer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.faults import FAULTS
from benchmarks.handscore import SIZES, at_size, auc, bench_handscore, telling_half
from ivg_core.cli import main
from ivg_core.hands.jumps import find_jumps
from ivg_core.hands.score import PARTS, as_text, chains, score_hands, score_tracked
from ivg_core.hands.tracker import HandTracker
from ivg_core.media.images import save_png
from ivg_core.media.video import write_video
from ivg_core.synthetic.clips import Scene

SIZE = (256, 192)


@pytest.fixture(scope="module")
def tracker():
    return HandTracker()


@pytest.fixture(scope="module")
def clip():
    scene = Scene(3, *SIZE)
    return scene.clip(scene.tasks[1], num_frames=14)


@pytest.fixture(scope="module")
def frames(clip):
    return torch.from_numpy(clip.frames).float() / 255


@pytest.fixture(scope="module")
def hands(frames, tracker):
    return tracker.track(frames)


@pytest.fixture(scope="module")
def sound(frames, hands):
    return score_tracked(frames, hands)


def test_a_sound_clip(sound):
    assert sound.found and sound.hands_found == 1 and sound.frames == 14
    assert sound.total > 0.85 and all(getattr(sound, part) > 0.7 for part in PARTS)


@pytest.mark.parametrize(
    ("fault", "part"),
    [
        ("extra_finger", "fingers"),
        ("shuffled_joints", "presence"),
        ("swapped_frames", "jitter"),
        ("flicker", "persistence"),
    ],
)
def test_every_fault_lowers_the_score_by_its_part(frames, clip, sound, tracker, fault, part):
    joints = [torch.from_numpy(joints).float() for joints in clip.joints[:, 0, :, :2]]
    faulty = FAULTS[fault](frames, joints, np.random.default_rng(1))
    assert not torch.equal(faulty, frames)
    score = score_hands(faulty, tracker)
    assert score.total < sound.total - 0.05 and getattr(score, part) < getattr(sound, part) - 0.1


def test_joints_in_the_wrong_order_are_no_hand(frames, hands, sound):
    order = torch.from_numpy(np.random.default_rng(0).permutation(21))
    shuffled = [[replace(h, joints=h.joints[order], depth=h.depth[order]) for h in found] for found in hands]
    assert score_tracked(frames, shuffled).total < sound.total - 0.1


def test_a_hand_that_vanishes_away_from_the_border_is_missing(frames, hands, sound):
    empty = torch.cat([frames[:-4], frames[:1].expand(4, -1, -1, -1)])  # the picture without it
    gone = [*hands[:-4], [], [], [], []]
    assert score_tracked(empty, gone).persistence < 0.3 < sound.persistence
    # the tracker missed it, and the picture goes on smoothly
    assert score_tracked(frames, gone).persistence > 0.7


def test_joints_that_jump_though_the_picture_does_not_are_no_jitter(frames, hands, sound):
    jumping = [[replace(h, joints=h.joints + i % 2 * h.palm / 2) for h in found] for i, found in enumerate(hands)]
    assert score_tracked(frames, jumping).jitter > 0.9


def test_where_the_picture_leaps_away_and_back(frames, hands):
    jumps = find_jumps(frames, chains(hands)[0])
    assert jumps.leaps.shape == (14,) and jumps.breaks.shape == (13,) and jumps.leaps.max() < 0.1
    order = [*range(14)]
    order[2], order[8] = 8, 2
    swapped = find_jumps(frames[order], chains([hands[i] for i in order])[0])
    assert swapped.leaps[2] > 0.2 and swapped.leaps[8] > 0.2 and swapped.leaps[[5, 11]].max() < 0.1


def test_the_size_of_the_picture_hardly_matters(clip, tracker):
    large = Scene(3, 576, 384)
    frames = torch.from_numpy(large.clip(large.tasks[1], num_frames=8).frames).float() / 255
    totals = [score_hands(at_size(frames, size), tracker).total for size in SIZES]
    assert max(totals) - min(totals) < 0.1


@pytest.mark.parametrize("shape", [(3, 48, 64, 3), (1, 16, 16, 3), (2, 32, 32, 1)])
def test_no_hand_is_an_answer(tracker, shape):
    score = score_hands(torch.full(shape, 0.5), tracker)
    assert not score.found and score.total == 0 and score.frames == shape[0]
    assert "no hand" in as_text({"grey": score})


def test_one_frame(frames, hands):
    score = score_tracked(frames[-1:], hands[-1:])
    assert score.found and score.jitter == score.bones == score.persistence == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=14), st.floats(-300, 300), st.floats(0.2, 4))
def test_any_hands_give_a_score(frames, hands, counts, shift, scale):
    """Hands anywhere, outside of the picture too, of any size, come and go."""
    some = [
        [replace(h, joints=h.joints * scale + shift * k) for h in found for k in range(count)]
        for found, count in zip(hands, counts, strict=False)
    ]
    score = score_tracked(frames[: len(some)], some)
    assert all(0 <= getattr(score, part) <= 1 for part in ("total", *PARTS))
    assert score.found == (score.hands_found > 0)


def test_hands_are_joined_over_jumps_and_gaps(hands):
    hand = hands[-1][0]
    far = replace(hand, joints=hand.joints + 4 * hand.palm)
    assert [len(chain) for chain in chains([[hand], [], [far], [hand]])] == [3]
    other = replace(hand, joints=hand.joints + 3 * hand.palm, right=1 - hand.right)
    assert [[h for _, h in chain] for chain in chains([[hand, other], [other, hand]])] == [[hand] * 2, [other] * 2]


def test_parameters_were_chosen_on_one_half_of_the_clips_and_figures_are_told_of_the_other(tmp_path):
    for name in ("c.mp4", "a.webm", "b.mp4", "d.gif"):
        (tmp_path / name).write_bytes(b"")
    assert [path.stem for path in telling_half(tmp_path)] == ["b", "d"]


def test_real_clips_and_photos_have_their_own_figures(frames, tmp_path):
    (tmp_path / "clips").mkdir()
    write_video(frames.flip(0), tmp_path / "clips" / "a.mp4", 8)
    write_video(frames, tmp_path / "clips" / "b.mp4", 8)
    save_png(frames[-1], tmp_path / "hand.png")
    save_png(frames[-1], tmp_path / "same.png")
    save_png(torch.zeros(64, 64, 3), tmp_path / "none.png")
    figures = bench_handscore(1, tmp_path / "clips", tmp_path, log=lambda line: None)
    assert figures["clips_real"] == 1 and figures["photos_real"] == 1
    assert 0 < figures["median_real_clips"] <= 1 and 0 < figures["median_real_photos"] <= 1
    assert {f"auc_real_{fault}" for fault in FAULTS} <= figures.keys()
    assert 0 <= figures["largest_size_difference"] < 0.1 and "largest_size_difference_real" in figures


def test_auc():
    assert auc([3, 4], [1, 2]) == 1 and auc([1, 2], [1, 2]) == 0.5 and auc([0.0], [1]) == 0


def test_the_command_names_the_best(frames, tmp_path, capsys):
    write_video(frames[-6:], tmp_path / "sound.mp4", 8)
    write_video(torch.zeros(3, 64, 64, 3), tmp_path / "black.mp4", 8)
    assert main(["hand-score", str(tmp_path / "black.mp4"), str(tmp_path / "sound.mp4")]) == 0
    said = capsys.readouterr().out
    assert "no hand" in said and said.strip().endswith("best: " + str(tmp_path / "sound.mp4"))
