"""Frames and masks as programs hand them in: the same picture in every number format, or one sentence."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.media.frames import to_frames
from ivg_core.media.masks import to_masks

BYTES = torch.randint(0, 256, (2, 5, 7, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@settings(deadline=None)
@given(
    kind=st.sampled_from([torch.uint8, torch.int32, torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    channels=st.sampled_from([1, 3, 4]),
)
def test_every_number_format_means_the_same(kind, channels):
    given = BYTES[..., :channels]
    given = (given.double() / 255).to(kind) if kind.is_floating_point else given.to(kind)
    frames = to_frames(given)
    expected = (BYTES[..., : min(channels, 3)].float() / 255).expand(-1, -1, -1, 3)
    assert frames.dtype == torch.float32 and (frames - expected).abs().max() < 1 / 128
    masks = to_masks(given[..., 0])
    assert masks.shape == (2, 5, 7) and (masks - expected[..., 0]).abs().max() < 1 / 128
    assert to_masks(given[0, ..., 0]).shape == (1, 5, 7)


def test_a_mask_may_be_bool():
    assert torch.equal(to_masks(torch.eye(3) > 0)[0], torch.eye(3))


def test_what_is_right_is_not_copied():
    frames = torch.rand(2, 5, 7, 3)
    assert to_frames(frames).data_ptr() == frames.data_ptr()


def test_a_little_beyond_is_cut_off():
    assert to_frames(torch.full((1, 2, 2, 3), 1.2)).max() == 1 and to_masks(torch.full((2, 2), -0.1)).min() == 0


@pytest.mark.parametrize("make", [to_frames, to_masks])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 255.0, -1.0])
def test_values_that_are_no_colours(make, value):
    x = torch.full((2, 4, 4, 3), 0.5)
    x[1, 2, 2, 1] = value
    with pytest.raises(IVGError, match=r"values from|NaN or infinite"):
        make(x if make is to_frames else x[..., 1])


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (2, 0, 4, 3)])
def test_none(shape):
    with pytest.raises(IVGError, match="There are no frames"):
        to_frames(torch.zeros(shape))
    with pytest.raises(IVGError, match="There are no masks"):
        to_masks(torch.zeros(shape[:3]))


@pytest.mark.parametrize("shape", [(4, 4, 3), (2, 4, 4, 2), (1, 2, 4, 4, 3)])
def test_other_shapes(shape):
    with pytest.raises(IVGError, match="have shape"):
        to_frames(torch.zeros(shape))


def test_masks_of_other_shapes():
    with pytest.raises(IVGError, match="have shape"):
        to_masks(torch.zeros(1, 1, 4, 4))
