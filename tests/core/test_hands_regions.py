"""Turned squares: where they lie, what is cut out, and what of it flows back."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.hands.regions import Roi, crop, roi_of_joints, roi_of_palm, to_pixels, to_region

ROIS = st.builds(
    Roi, st.floats(-50, 300), st.floats(-50, 300), st.floats(1, 400), st.floats(-math.pi, math.pi, exclude_min=True)
)


def frames(count: int, height: int = 12, width: int = 16) -> torch.Tensor:
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(0))


@settings(deadline=None)
@given(ROIS, st.integers(0, 99))
def test_to_region_undoes_to_pixels(roi, seed):
    points = torch.rand(1, 21, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
    rois = torch.tensor([roi], dtype=torch.float64)
    torch.testing.assert_close(to_region(to_pixels(points, rois), rois), points)


def test_a_square_on_the_pixels_is_cut_exactly():
    clip = frames(2)
    cut = crop(clip, torch.tensor([1]), torch.tensor([[8.0, 6.0, 8.0, 0.0]]), 8)
    torch.testing.assert_close(cut[0].permute(1, 2, 0), clip[1, 2:10, 4:12])


def test_a_quarter_turn_clockwise():
    clip = frames(1, 9, 9)
    # an even side puts the centre of the square on a pixel: the ninth column and row would fall outside
    cut = crop(clip, torch.tensor([0]), torch.tensor([[4.0, 4.0, 8.0, math.pi / 2]]), 8)[0].permute(1, 2, 0)
    torch.testing.assert_close(cut[4, 4], clip[0, 4, 4])
    torch.testing.assert_close(cut[0, 4], clip[0, 4, 8], atol=1e-5, rtol=0)  # what is above in the crop is on the right
    torch.testing.assert_close(cut[4, 0], clip[0, 0, 4], atol=1e-5, rtol=0)


def test_crops_stand_in_the_order_of_their_squares():
    clip = frames(3)
    rois = torch.tensor([[8.0, 6.0, 6.0, 0.3]]).repeat(5, 1)
    owner = torch.tensor([2, 0, 2, 1, 0])
    together = crop(clip, owner, rois, 5)
    for row, index in enumerate(owner.tolist()):
        assert torch.equal(together[row], crop(clip[index : index + 1], torch.tensor([0]), rois[:1], 5)[0])


def test_no_squares_no_crops():
    assert crop(frames(1), torch.zeros(0, dtype=torch.long), torch.zeros(0, 4), 8).shape == (0, 3, 8, 8)


def test_outside_of_the_frame_is_its_border_or_black():
    clip = frames(1) * 0.5 + 0.5
    far = torch.tensor([[-100.0, 6.0, 8.0, 0.0]])
    assert crop(clip, torch.tensor([0]), far, 8, padding="zeros").max() == 0
    torch.testing.assert_close(crop(clip, torch.tensor([0]), far, 8)[0, :, 4, 0], clip[0, 6, 0])


def test_the_gradient_reaches_only_what_the_square_covers():
    clip = frames(2).requires_grad_(True)
    crop(clip, torch.tensor([1]), torch.tensor([[8.0, 6.0, 4.0, 0.0]]), 4).sum().backward()
    touched = clip.grad.abs().sum(-1) > 0
    assert touched[1, 4:8, 6:10].all() and touched.sum() == 16


X = [50, 40, 32, 27, 22, 42, 40, 39, 38, 50, 50, 50, 50, 58, 60, 61, 62, 65, 69, 71, 73]
Y = [90, 85, 75, 66, 58, 55, 40, 30, 22, 53, 36, 25, 16, 55, 40, 30, 22, 59, 48, 40, 33]
JOINTS = torch.tensor([X, Y], dtype=torch.float64).T  # (21, 2) an open hand, fingers up


def test_an_upright_hand_has_an_upright_region_around_it():
    roi = roi_of_joints(JOINTS)
    assert abs(roi.angle) < 0.05
    inside = to_region(JOINTS[None], torch.tensor([roi], dtype=torch.float64))
    assert inside.abs().max() < 0.5


@settings(deadline=None)
@given(st.floats(-3, 3), st.floats(0.2, 5), st.floats(-200, 200), st.floats(-200, 200))
def test_the_region_turns_grows_and_moves_with_the_hand(angle, scale, x, y):
    motion = torch.tensor([[x, y, scale, angle]], dtype=torch.float64)
    moved = roi_of_joints(to_pixels(JOINTS[None], motion)[0])
    roi = roi_of_joints(JOINTS)
    centre = to_pixels(torch.tensor([[[roi.cx, roi.cy]]], dtype=torch.float64), motion)[0, 0]
    assert (moved.cx, moved.cy) == pytest.approx(centre.tolist(), abs=1e-6)
    assert moved.size == pytest.approx(scale * roi.size)
    assert math.cos(moved.angle - roi.angle - angle) == pytest.approx(1)


def test_the_region_of_a_palm():
    box = torch.tensor([40.0, 50.0, 60.0, 70.0])
    up = roi_of_palm(box, wrist=torch.tensor([50.0, 70.0]), middle=torch.tensor([50.0, 50.0]))
    assert up == pytest.approx((50, 50, 52, 0))
    right = roi_of_palm(box, wrist=torch.tensor([40.0, 60.0]), middle=torch.tensor([60.0, 60.0]))
    assert right == pytest.approx((60, 60, 52, math.pi / 2))
