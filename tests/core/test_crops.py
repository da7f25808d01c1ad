"""Parts of a picture that are decoded alone: they lie in it, on its cells, and hold what is to be looked at."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.models.codec import LatentGrid
from ivg_core.training.crops import crop_around, random_point
from ivg_core.training.hand_loss import HandTargets, crops_of_hands

grids = st.builds(
    LatentGrid, st.just(3), st.integers(1, 24), st.integers(1, 24), st.sampled_from([8, 16, 32]), st.just(4)
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def hand_at(x: float, y: float, side: float, turn: float = 0.0) -> HandTargets:
    """One hand whose region is a square around a point."""
    return HandTargets(torch.zeros(1, dtype=torch.long), torch.tensor([[x, y, side, turn]]), torch.full((1, 21, 2), x))


@settings(max_examples=200, deadline=None)
@given(grids, st.floats(-100, 900), st.floats(-100, 900), st.integers(1, 500))
def test_a_crop_lies_in_the_picture_around_its_point(grid, x, y, side):
    crop = crop_around((x, y), side, grid)
    assert (crop.width, crop.height) == tuple(min(n, math.ceil(side / grid.cell)) for n in (grid.width, grid.height))
    assert 0 <= crop.left <= grid.width - crop.width and 0 <= crop.top <= grid.height - crop.height
    for point, begin, wide, cells in ((x, crop.left, crop.width, grid.width), (y, crop.top, crop.height, grid.height)):
        off = abs(begin + wide / 2 - point / grid.cell)
        assert off <= 0.5 + 1e-6 or begin in (0, cells - wide), "its middle, to the nearest cell, but at an edge"


@settings(max_examples=60, deadline=None)
@given(grids, st.floats(0, 768), st.floats(0, 768), st.integers(1, 300))
def test_its_cells_and_its_pixels_are_the_same_part(grid, x, y, side):
    crop = crop_around((x, y), side, grid)
    cells = torch.arange(grid.height * grid.width).view(1, grid.height, grid.width)
    pixels = cells.repeat_interleave(grid.cell, 1).repeat_interleave(grid.cell, 2)
    part = crop.latents(cells).repeat_interleave(grid.cell, 1).repeat_interleave(grid.cell, 2)
    assert torch.equal(crop.pixels(pixels), part)
    assert crop.pixels(pixels)[0, 0, 0] == pixels[0, crop.corner[1], crop.corner[0]]


@settings(max_examples=200, deadline=None)
@given(
    grids,
    st.floats(-0.2, 1.2),
    st.floats(-0.2, 1.2),
    st.floats(4, 400),
    st.floats(-3.2, 3.2),
    st.sampled_from([64, 256]),
)
def test_a_crop_of_a_hand_holds_it(grid, x, y, side, turn, least):
    hand = hand_at(x * grid.size[0], y * grid.size[1], side, turn)
    (crop,) = crops_of_hands([hand], least, grid, rng())
    assert crop.holds(hand.boxes).all()
    inside = hand.within(crop)
    corner = torch.tensor(crop.corner)
    assert torch.equal(inside.rois[:, :2], hand.rois[:, :2] - corner) and torch.equal(
        inside.joints, hand.joints - corner
    )
    assert torch.equal(inside.rois[:, 2:], hand.rois[:, 2:])


def test_a_turned_hand_takes_the_box_around_its_corners():
    reach = 20 * 2**0.5
    torch.testing.assert_close(
        hand_at(100, 90, 40, math.pi / 4).boxes,
        torch.tensor([[100 - reach, 90 - reach, 100 + reach, 90 + reach]]),
    )


def test_what_reaches_out_of_a_crop_on_any_side_is_not_in_it():
    crop = crop_around((96, 96), 64, LatentGrid(3, 12, 12, 16, 4))
    assert crop.corner == (64, 64)
    boxes = [[64, 64, 128, 128], [63, 64, 128, 128], [64, 63, 128, 128], [64, 64, 129, 128], [64, 64, 128, 129]]
    assert crop.holds(torch.tensor(boxes, dtype=torch.float32)).tolist() == [True, False, False, False, False]
    whole = crop_around((96, 96), 512, LatentGrid(3, 12, 12, 16, 4))
    assert whole.holds(torch.tensor([[-9.0, -9.0, 300.0, 300.0]])).all(), "what the picture itself cuts off is whole"


def test_crops_of_a_batch_have_the_size_of_the_largest_hand():
    grid = LatentGrid(3, 32, 32, 16, 4)
    crops = crops_of_hands([hand_at(100, 100, 40), hand_at(300, 200, 220)], 128, grid, rng())
    assert {(crop.width, crop.height) for crop in crops} == {(math.ceil((220 + 64) / 16),) * 2}
    hands = HandTargets(
        torch.zeros(2, dtype=torch.long),
        torch.tensor([[64.0, 64, 30, 0], [448, 448, 30, 0]]),
        torch.zeros(2, 21, 2),
    )
    corners = {crops_of_hands([hands], 128, grid, rng(seed))[0].corner for seed in range(20)}
    assert len(corners) == 2, "each of its hands is drawn"


def test_a_point_is_drawn_from_what_is_white():
    mask = torch.zeros(9, 7)
    assert random_point(mask, rng()) == (3.5, 4.5)
    mask[2, 5] = mask[6, 1] = 0.5
    mask[0, 0] = 0.49
    assert {random_point(mask, rng(seed)) for seed in range(20)} == {(5.5, 2.5), (1.5, 6.5)}
