"""Mask refinement: each step alone, the laws they obey on any mask, and the chain."""

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ivg_core.errors import IVGError
from ivg_core.rom import refine
from ivg_core.rom.refine import refine_mask

SIZE = (17, 23)
hard_masks = hnp.arrays("float32", SIZE, elements=st.sampled_from([0.0, 1.0])).map(torch.from_numpy)
soft_masks = hnp.arrays("float32", SIZE, elements=st.floats(0, 1, width=32)).map(torch.from_numpy)


def square(top=6, left=8, side=6, size=SIZE):
    mask = torch.zeros(size)
    mask[top : top + side, left : left + side] = 1
    return mask


@settings(max_examples=30, deadline=None)
@given(soft_masks, st.floats(0.01, 1))
def test_threshold_twice_is_threshold_once(mask, threshold):
    once = refine.apply_threshold(mask, threshold)
    assert torch.equal(refine.apply_threshold(once, threshold), once)
    assert set(once.unique().tolist()) <= {0.0, 1.0}


@settings(max_examples=30, deadline=None)
@given(hard_masks, st.integers(1, 6))
def test_growing_contains_and_shrinking_is_contained(mask, pixels):
    grown, shrunk = refine.grow_by(mask, pixels), refine.shrink_by(mask, pixels)
    assert (grown >= mask).all() and (shrunk <= mask).all()
    closed = refine.shrink_by(grown, pixels)
    assert (closed >= mask).all() and torch.equal(closed, refine.close_gaps(mask, pixels))
    assert torch.equal(refine.combine_masks(grown, mask), grown)


@settings(max_examples=30, deadline=None)
@given(hard_masks, st.booleans())
def test_hull_lies_between_mask_and_box(mask, each_part):
    hull, box = refine.hull_of(mask, each_part), refine.box_of(mask, each_part)
    assert (mask <= hull).all() and (hull <= box).all()


@settings(max_examples=30, deadline=None)
@given(soft_masks, soft_masks)
def test_combinations_obey_set_laws(a, b):
    union, common = refine.combine_masks(a, b), refine.combine_masks(a, b, "intersect")
    assert (union >= a).all() and (common <= a).all()
    assert torch.equal(union + common, torch.maximum(a, b) + torch.minimum(a, b))
    assert (refine.combine_masks(a, b, "subtract") <= 1 - b).all()


@settings(max_examples=30, deadline=None)
@given(soft_masks, st.integers(0, 3), st.integers(0, 20), st.integers(0, 4), st.integers(-4, 4), st.floats(0, 9))
def test_any_chain_gives_a_mask_and_leaves_its_input_alone(mask, smooth, area, close, grow, feather):
    clips = torch.stack([mask, mask.flip(0)])
    before = clips.clone()
    out = refine_mask(clips, smooth=smooth, min_area=area, close=close, grow=grow, feather=feather, other=mask)
    assert out.shape == clips.shape and out.min() >= 0 and out.max() <= 1
    assert torch.equal(clips, before)


@pytest.mark.parametrize("shape", [SIZE, (3, *SIZE)])
def test_an_empty_mask_stays_empty(shape):
    out = refine_mask(
        torch.zeros(shape), smooth=1, threshold=0.5, min_area=4, close=2, fill_holes=True, convex_hull=True, box=True,
        grow=5, feather=3,
    )  # fmt: skip
    assert out.shape == shape and not out.any()


def test_a_full_mask_stays_full():
    out = refine_mask(torch.ones(SIZE), min_area=4, close=2, fill_holes=True, convex_hull=True, grow=-5, feather=3)
    assert torch.allclose(out, torch.ones(SIZE))


def test_threshold_zero_does_not_whiten_black():
    assert torch.equal(refine.apply_threshold(torch.tensor([[0.0, 0.1, 1.0]]), 0.0), torch.tensor([[0.0, 1.0, 1.0]]))


def test_grow_measures_euclidean_pixels():
    point = torch.zeros(21, 21)
    point[10, 10] = 1
    y, x = torch.meshgrid(torch.arange(21), torch.arange(21), indexing="ij")
    assert torch.equal(refine.grow_by(point, 5), (((y - 10) ** 2 + (x - 10) ** 2) <= 25).float())


def test_specks_below_the_area_go():
    mask = square()
    mask[0, 0] = mask[1, 1] = 1  # one part of two pixels, by its corners
    assert torch.equal(refine.remove_specks(mask, 3), square())
    assert torch.equal(refine.remove_specks(mask, 2), mask)


def test_gaps_close_and_enclosed_holes_fill():
    mask = square()
    mask[8, 10] = 0
    assert torch.equal(refine.close_gaps(mask, 1), square())
    ring = square(side=9) - square(7, 9, 7)
    assert torch.equal(refine.fill_enclosed(ring), square(side=9))
    assert not refine.close_gaps(ring, 1)[10, 12]
    diamond = torch.zeros(5, 5)
    diamond[1, 2] = diamond[2, 1] = diamond[2, 3] = diamond[3, 2] = 1  # its corners touch, and that encloses
    assert refine.fill_enclosed(diamond)[2, 2] == 1


def test_hull_and_box_of_all_or_of_each_part():
    mask = square(1, 1, 3) + square(12, 18, 3)
    assert refine.box_of(mask)[1:15, 1:21].all()
    assert torch.equal(refine.box_of(mask, each_part=True), mask)
    assert refine.hull_of(mask)[8, 11] == 1
    assert torch.equal(refine.hull_of(mask, each_part=True), mask)


def test_smooth_is_a_mean_in_time_and_with_a_threshold_a_majority():
    clip = torch.zeros(5, 2, 2)
    clip[2] = 1
    assert torch.allclose(refine.smooth_in_time(clip, 1)[:, 0, 0], torch.tensor([0, 1, 1, 1, 0]) / 3)
    assert not refine_mask(clip, smooth=1, threshold=0.5).any()
    assert torch.equal(refine_mask(square(), smooth=3), square())


def test_feather_is_centred_on_the_edge_and_about_as_wide_as_asked():
    half = torch.zeros(9, 64)
    half[:, 32:] = 1
    row = refine_mask(half, feather=12)[4]
    assert row[31] < 0.5 < row[32] and (row.diff() >= 0).all()
    assert row[32 - 7] < 0.03 and row[32 + 6] > 0.97


@pytest.mark.parametrize("width", [5e-324, 1e-3, 0.3])
def test_a_feather_far_below_a_pixel_changes_nothing(width):
    assert torch.allclose(refine_mask(square(), feather=width), square(), atol=1e-4)


def test_the_second_mask_has_the_last_word_before_the_feather():
    cut = square(6, 8, 2)
    out = refine_mask(square(), grow=4, convex_hull=True, other=cut, combine="subtract")
    assert not out[cut > 0].any()


def test_a_second_mask_of_another_size_is_resized_and_said(caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        out = refine_mask(torch.zeros(SIZE), other=torch.ones(5, 7))
    assert out.shape == SIZE and out.all()
    assert "7 x 5" in caplog.text and "resized" in caplog.text


def test_one_second_mask_serves_every_frame():
    clip = torch.zeros(3, *SIZE)
    assert torch.equal(refine_mask(clip, other=square()[None]), square().expand(3, *SIZE))


def test_softness_survives_value_steps_only():
    soft = square() * 0.7
    assert torch.equal(refine_mask(soft), soft)
    assert torch.equal(refine_mask(soft, grow=-1).unique(), torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"threshold": 2}, "0..1"),
        ({"feather": -1}, "feather"),
        ({"min_area": -1}, "min_area"),
        ({"other": torch.ones(2, *SIZE)}, "frames"),
        ({"other": torch.ones(SIZE), "combine": "xor"}, "xor"),
    ],
)
def test_bad_arguments_are_said(arguments, says):
    with pytest.raises(IVGError, match=says):
        refine_mask(torch.ones(3, *SIZE), **arguments)


def test_bad_masks_are_said():
    with pytest.raises(IVGError, match="shape"):
        refine_mask(torch.ones(1, 1, 4, 4))
    with pytest.raises(IVGError, match="NaN"):
        refine_mask(torch.full(SIZE, torch.nan))
