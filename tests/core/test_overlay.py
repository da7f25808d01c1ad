import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.rom.overlay import correct_drift, measure_drift, overlay_clip

PHOTO = 0.2 + 0.6 * torch.rand(48, 64, 3, generator=torch.Generator().manual_seed(0))
MASK = torch.zeros(48, 64)
MASK[16:32, 20:40] = 1
OUTSIDE = MASK == 0


def clip_with(gain: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Three frames of the photo in other colours, with something black that moves inside the mask."""
    frames = torch.stack([PHOTO] * 3)
    for i in range(3):
        frames[i, 20:26, 22 + 4 * i : 28 + 4 * i] = 0
    return frames * gain + offset


@settings(deadline=None, max_examples=30)
@given(gain=st.tuples(*[st.floats(0.8, 1.1)] * 3), offset=st.tuples(*[st.floats(-0.1, 0.05)] * 3))
def test_drift_is_found_and_taken_out(gain, offset):
    gain, offset = torch.tensor(gain), torch.tensor(offset)
    frames = clip_with(gain, offset)
    drift = measure_drift(frames, PHOTO, OUTSIDE)
    assert torch.allclose(drift.gain, gain.expand(3, 3), atol=1e-3)
    assert torch.allclose(drift.offset, offset.expand(3, 3), atol=1e-3)
    assert drift.after.max() < 1e-3
    assert torch.allclose(correct_drift(frames, drift), clip_with(torch.ones(3), torch.zeros(3)), atol=2e-3)


def test_what_reaches_over_the_edge_does_not_count():
    frames = clip_with(torch.ones(3), torch.full((3,), 0.04))
    frames[:, 32:44, 20:40] = 0  # a tenth of what lies outside
    drift = measure_drift(frames, PHOTO, OUTSIDE)
    assert torch.allclose(drift.offset, torch.tensor(0.04), atol=0.02)


def test_a_flat_photo_keeps_its_contrast():
    grey = torch.full((16, 16, 3), 0.5)
    drift = measure_drift(grey[None] + 0.1, grey, torch.ones(16, 16, dtype=torch.bool))
    assert torch.equal(drift.gain, torch.ones(1, 3)) and torch.allclose(drift.offset, torch.tensor(0.1), atol=1e-6)


def test_sizes_must_agree():
    with pytest.raises(IVGError, match="same height and width"):
        measure_drift(torch.rand(2, 8, 8, 3), torch.rand(8, 9, 3), torch.ones(8, 8, dtype=torch.bool))


def test_the_photo_stays_outside_and_the_clip_shows_inside():
    frames = clip_with(torch.tensor([1.0, 0.9, 1.0]), torch.tensor([0.0, 0.0, 0.1]))
    composed, report = overlay_clip(frames, PHOTO, MASK, feather=2)
    assert torch.equal(composed[:, :12], PHOTO[:12].expand(3, -1, -1, -1))
    assert torch.allclose(
        composed[1, 16:32, 20:40], clip_with(torch.ones(3), torch.zeros(3))[1, 16:32, 20:40], atol=5e-3
    )
    assert "levels of 255" in report and "Corrected" in report and "camera" not in report


def test_uncorrected_it_says_what_it_could_have_done():
    frames = clip_with(torch.ones(3), torch.tensor([0.0, 0.0, 0.1]))
    composed, report = overlay_clip(frames, PHOTO, MASK, feather=0, correct_colour=False)
    assert torch.equal(composed[2, 16:32, 20:40], frames[2, 16:32, 20:40])
    assert "blue +25.5" in report and "Not corrected" in report


def test_a_moving_camera_is_named():
    frames = torch.stack([PHOTO.roll(8 * i, dims=1) for i in range(3)])
    assert "camera" in overlay_clip(frames, PHOTO, MASK)[1]


def test_a_mask_of_everything_leaves_nothing_to_compare():
    frames = clip_with(torch.ones(3), torch.zeros(3))
    composed, report = overlay_clip(frames, PHOTO, torch.ones(48, 64))
    assert torch.equal(composed, frames) and "nothing outside" in report


def test_one_mask_a_frame():
    masks = torch.stack([MASK, torch.zeros_like(MASK), MASK])
    frames = clip_with(torch.ones(3), torch.zeros(3))
    composed, _ = overlay_clip(frames, PHOTO, masks, feather=1, correct_colour=False)
    assert torch.equal(composed[1], PHOTO) and torch.equal(composed[2], frames[2])
    with pytest.raises(IVGError, match="2 masks for 3 frames"):
        overlay_clip(frames, PHOTO, masks[:2])


def test_a_photo_of_another_size_is_fitted_and_said(caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        composed, _ = overlay_clip(torch.rand(2, 24, 24, 3), PHOTO, MASK)
    assert composed.shape == (2, 24, 24, 3)
    assert "photo is 64 x 48" in caplog.text and "mask is 64 x 48" in caplog.text


def test_a_large_photo_is_compared_on_some_pixels_and_laid_over_whole():
    photo = 0.2 + 0.5 * torch.rand(1500, 1600, 3)
    mask = torch.zeros(1500, 1600)
    mask[700:900, 700:1000] = 1
    frames = (photo + 0.1)[None]
    laid, report = overlay_clip(frames, photo, mask, 8.0)
    assert "25.5 levels" in report and (laid[0] - photo).abs().max() < 2 / 255
    raw, _ = overlay_clip(frames, photo, mask, 8.0, correct_colour=False)
    assert torch.equal(raw[0, 700:900, 700:1000], frames[0, 700:900, 700:1000])
    assert torch.equal(raw[0, :690], photo[:690]) and torch.equal(raw[0, :, 1010:], photo[:, 1010:])
    assert (raw[0, 696, 800] - photo[696, 800]).abs().max() > 0.01  # the seam
