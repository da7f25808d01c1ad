"""The two networks with the weights that ship: do they know hands, in every precision, with gradients to the pixels?"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.hands import drawn_clip
from ivg_core.hands.detector import Palm, anchors, find_palms, load_palm_net, merge_palms, whole_and_tiles
from ivg_core.hands.landmarks import CROP, load_landmark_net
from ivg_core.hands.regions import crop, roi_of_palm


@pytest.fixture(scope="module")
def frame():
    return drawn_clip(1, 192, 128)[4:5]


@pytest.fixture(scope="module")
def palm(frame):
    (palms,) = find_palms(load_palm_net(), frame, whole_and_tiles(192, 128, tiled=False), 0.5)
    assert len(palms) == 1
    return palms[0]


@pytest.fixture(scope="module")
def hand_crop(frame, palm):
    roi = roi_of_palm(palm.box, palm.joints[0], palm.joints[2])
    return crop(frame, torch.tensor([0]), torch.tensor([roi]), CROP)


@pytest.mark.parametrize("lite", [False, True])
def test_a_hand_is_recognised_and_a_wall_is_not(hand_crop, lite):
    net = load_landmark_net(lite)
    with torch.no_grad():
        joints, presence, right = net(torch.cat([hand_crop, torch.full_like(hand_crop, 0.5)]))
    assert joints.shape == (2, 21, 3) and presence.shape == right.shape == (2,)
    assert presence[0] > 2 and presence[1] < 0
    wrist, middle_tip = joints[0, 0, :2], joints[0, 12, :2]
    assert wrist[1] > middle_tip[1]  # the crop shows fingers up


def test_full_and_lite_agree_about_a_hand(hand_crop):
    with torch.no_grad():
        full, lite = load_landmark_net()(hand_crop)[0], load_landmark_net(lite=True)(hand_crop)[0]
    assert 0 < (full - lite)[..., :2].norm(dim=-1).mean() < 12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(hand_crop, dtype):
    with torch.no_grad():
        expected, half = load_landmark_net()(hand_crop), load_landmark_net(dtype=dtype)(hand_crop)
    assert half[0].dtype == torch.float32
    assert (half[0] - expected[0])[..., :2].abs().max() < (2 if dtype == torch.float16 else 12)


def test_gradients_flow_to_the_pixels_and_not_to_the_weights(hand_crop):
    net = load_landmark_net()
    pixels = hand_crop.clone().requires_grad_(True)
    joints, presence, _ = net(pixels)
    (joints.square().mean() + presence.sum()).backward()
    assert pixels.grad.abs().max() > 0
    assert all(p.grad is None for p in net.parameters())


def test_an_answer_does_not_depend_on_the_batch(hand_crop):
    net = load_landmark_net()
    with torch.no_grad():
        alone, among = net(hand_crop)[0], net(torch.cat([torch.rand_like(hand_crop), hand_crop]))[0]
    torch.testing.assert_close(among[1], alone[0], atol=1e-3, rtol=0)


def test_anchors():
    places = anchors(torch.device("cpu"))
    assert places.shape == (2016, 2)
    assert places[0].tolist() == [4, 4] and torch.equal(places[0], places[1])  # two at each fine place
    assert places[1152].tolist() == [8, 8] and torch.equal(places[1152], places[1157])  # six at each coarse one


@settings(deadline=None)
@given(st.integers(16, 4000), st.integers(16, 4000))
def test_tiles_cover_the_frame_and_overlap_by_half(width, height):
    windows = whole_and_tiles(width, height, tiled=True)
    short, long = min(width, height), max(width, height)
    assert windows[0].tolist() == [width / 2, height / 2, long, 0]
    tiles = windows[1:]
    assert len(tiles) <= 7 and (len(tiles) == 0) == (short == long)
    if len(tiles):
        side = max(short, long / 4)
        along = tiles[:, 0 if width > height else 1]
        assert along[0] == pytest.approx(side / 2) and along[-1] == pytest.approx(long - side / 2)
        assert (along.diff() <= side / 2 * 1.0001).all() and (tiles[:, 2] == side).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 90), st.floats(5, 40), st.floats(0.5, 1)), max_size=8))
def test_merged_palms_stay_among_those_they_were_made_of(rows):
    palms = [Palm(s, torch.tensor([x, y, x + w, y + w]), torch.full((7, 2), x)) for x, y, w, s in rows]
    merged = merge_palms(palms)
    assert len(merged) <= len(palms) and bool(merged) == bool(palms)
    assert [p.score for p in merged] == sorted((p.score for p in merged), reverse=True)
    for palm in merged:
        assert min(r[0] for r in rows) - 1e-3 <= palm.box[0] <= max(r[0] for r in rows) + 1e-3


def test_overlapping_palms_are_averaged_by_score():
    one = Palm(0.9, torch.tensor([0.0, 0, 10, 10]), torch.zeros(7, 2))
    other = Palm(0.6, torch.tensor([2.0, 0, 12, 10]), torch.ones(7, 2))
    apart = Palm(0.7, torch.tensor([50.0, 50, 60, 60]), torch.zeros(7, 2))
    merged = merge_palms([other, one, apart])
    assert [p.score for p in merged] == pytest.approx([0.9, 0.7])
    assert merged[0].box[0] == pytest.approx(0.6 * 2 / 1.5) and merged[0].joints[0, 0] == pytest.approx(0.4)
