"""A window around the region, for any model: where it lies, at which size it is made, and the way back."""

import logging

import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.rom.overlay import overlay_clip, stitch_clip
from ivg_core.rom.window import Window, centre_window, report, resized, window_for

SIZE = (150, 101)  # width, height
PHOTO = 0.2 + 0.6 * torch.rand(SIZE[1], SIZE[0], 3, generator=torch.Generator().manual_seed(0))
MASK = torch.zeros(SIZE[1], SIZE[0])
MASK[40:60, 50:80] = 1


def boxes(width, height):
    return st.tuples(
        st.integers(0, width - 1), st.integers(0, height - 1), st.integers(1, width), st.integers(1, height)
    )


@settings(deadline=None, max_examples=200)
@given(
    box=boxes(*SIZE),
    region=st.sampled_from(["zoom", "crop"]),
    base=st.sampled_from([(832, 480), (480, 832), (192, 128)]),
    multiple=st.sampled_from([8, 16, 32]),
    context=st.floats(0, 0.5, allow_subnormal=False),
)
def test_a_window_holds_the_region_and_its_context_and_keeps_its_shape(box, region, base, multiple, context):
    mask = torch.zeros(SIZE[1], SIZE[0])
    mask[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = 0.01
    window = window_for(mask, region, base, multiple, context)
    margin = round(context * SIZE[0])
    rows, columns = mask.amax(1).nonzero(), mask.amax(0).nonzero()
    assert 0 <= window.left <= max(0, int(columns[0]) - margin)
    assert min(SIZE[0], int(columns[-1]) + 1 + margin) <= window.left + window.width <= SIZE[0]
    assert 0 <= window.top <= max(0, int(rows[0]) - margin)
    assert min(SIZE[1], int(rows[-1]) + 1 + margin) <= window.top + window.height <= SIZE[1]
    width, height = window.sampled
    assert width % multiple == height % multiple == 0
    # the shape that is made differs from the window's by at most a multiple a side, and a pixel of the window
    wide, high = width / window.width, height / window.height
    assert abs(wide - high) <= multiple / min(window.size) + max(wide, high) / min(window.size)


def test_zoom_gives_the_region_the_whole_size_and_crop_the_photos_detail():
    zoomed = window_for(MASK, "zoom", (96, 64), 8, 0.05)
    assert zoomed.sampled == (96, 64) and abs(zoomed.width / zoomed.height - 1.5) < 0.05
    cropped = window_for(MASK, "crop", (96, 64), 8, 0.05)
    scale = (96 * 64 / (SIZE[0] * SIZE[1])) ** 0.5
    assert cropped.sampled == (32, 24)  # 46 x 36 pixels of the photo, 29.4 x 22.9 in the video
    assert cropped.width >= 46 and cropped.width * scale <= 32
    assert "fewer tokens" in report(zoomed) and f"{1 - zoomed.share:.0%}" in report(zoomed)


def test_a_region_in_a_corner_has_its_window_in_the_corner():
    mask = torch.zeros(SIZE[1], SIZE[0])
    mask[90:, :20] = 1
    window = window_for(mask, "zoom", (64, 64), 8, 0.1)
    assert window.left == 0 and window.top + window.height == SIZE[1] and window.width == window.height


def test_where_the_photo_ends_the_window_takes_another_shape_at_the_same_area():
    mask = torch.zeros(60, 30)
    mask[5:55, 5:25] = 1
    window = window_for(mask, "zoom", (832, 480), 32)
    assert window.width == 30 and window.sampled[0] < window.sampled[1]
    assert abs(window.sampled[0] * window.sampled[1] / (832 * 480) - 1) < 0.1


@pytest.mark.parametrize(
    ("mask", "region", "sentence"),
    [(torch.zeros(8, 8), "zoom", "The mask is empty"), (MASK, "whole", "choose zoom or crop")],
)
def test_mistakes(mask, region, sentence):
    with pytest.raises(IVGError, match=sentence):
        window_for(mask, region, (832, 480))


@pytest.mark.parametrize("numbers", [((832, 480), 0, 0.1), ((832, 16), 32, 0.1), ((64, 64), 8, float("nan"))])
def test_numbers_that_cannot_be_meant(numbers):
    with pytest.raises(IVGError, match="cannot be made"):
        window_for(MASK, "zoom", *numbers)


def drifted(window, gain, offset, frames=3, size=None, photo=PHOTO):
    """The still window as a model gives it back: at its own size, in other colours, a black thing moving in it."""
    still = resized(window.cut_photo(photo), size or window.sampled)
    clip = torch.stack([still] * frames)
    for index in range(frames):
        clip[index, 24:40, 30 + 4 * index : 50 + 4 * index] = 0
    return clip * gain + offset


def test_outside_region_and_seam_no_bit_of_the_photo_changes():
    window = window_for(MASK, "zoom", (96, 64), 8, 0.1)
    stitched, said = stitch_clip(drifted(window, 0.9, 0.02), PHOTO, MASK, window, feather=3)
    assert stitched.shape == (3, *PHOTO.shape)
    outside = torch.ones_like(MASK, dtype=torch.bool)
    outside[37:63, 47:83] = False
    assert torch.equal(stitched[:, outside], PHOTO[outside].expand(3, -1, -1))
    assert (stitched[:, 40:60, 50:80] != PHOTO[40:60, 50:80]).float().mean() > 0.9
    assert "Corrected" in said


def test_colours_are_put_right_by_what_lies_around_the_region():
    window = window_for(MASK, "zoom", (96, 64), 8, 0.1)
    right, _ = stitch_clip(drifted(window, 0.85, 0.1), PHOTO, MASK, window)
    wrong, _ = stitch_clip(drifted(window, 0.85, 0.1), PHOTO, MASK, window, correct_colour=False)
    sound, _ = stitch_clip(drifted(window, 1, 0), PHOTO, MASK, window)
    assert (right - sound).abs().mean() < 0.1 * (wrong - sound).abs().mean()


def test_enlarged_frames_are_taken_and_another_shape_is_told(caplog):
    window = window_for(MASK, "zoom", (96, 64), 8)
    with caplog.at_level(logging.WARNING, "ivg"):
        stitch_clip(drifted(window, 1, 0, size=(192, 128)), PHOTO, MASK, window)
        assert not caplog.records
        stitch_clip(drifted(window, 1, 0, size=(96, 96)), PHOTO, MASK, window)
    assert "squeezed" in caplog.text


def test_a_mask_a_frame_shows_only_its_own_part():
    window = window_for(MASK, "zoom", (96, 64), 8)
    masks = torch.stack([MASK, torch.zeros_like(MASK)])
    stitched, _ = stitch_clip(drifted(window, 1, 0, frames=2), PHOTO, masks, window, feather=0)
    assert not torch.equal(stitched[0], PHOTO) and torch.equal(stitched[1], PHOTO)
    with pytest.raises(IVGError, match="2 masks for 3 frames"):
        stitch_clip(drifted(window, 1, 0), PHOTO, masks, window)


def test_a_region_at_the_photos_border_is_not_faded_there():
    mask = torch.zeros(SIZE[1], SIZE[0])
    mask[:30, :30] = 1
    window = window_for(mask, "zoom", (64, 64), 8, 0.1)
    stitched, _ = stitch_clip(torch.zeros(1, 64, 64, 3), PHOTO, mask, window, feather=8, correct_colour=False)
    assert (stitched[0, :30, :30] == 0).all()


def test_a_window_without_context_still_fades_at_its_edge():
    window = Window(50, 40, 30, 20, SIZE, (48, 32))
    stitched, _ = stitch_clip(torch.zeros(1, 32, 48, 3), PHOTO, MASK, window, feather=6, correct_colour=False)
    kept = stitched[0, 40:60, 50:80] / PHOTO[40:60, 50:80]
    assert kept[10, 0].min() > 0.9 and kept[10, 15].max() == 0


def test_a_whole_clip_goes_back_into_the_photos_size():
    photo = resized(PHOTO[:8, :12], SIZE)  # a smooth one, so that the two ways of making it smaller agree
    frames = drifted(centre_window(SIZE, (96, 64)), 1, 0, photo=photo)
    stitched, _ = stitch_clip(frames, photo, MASK)
    assert stitched.shape == (3, *photo.shape)
    assert torch.equal(stitched[:, :30], photo[:30].expand(3, -1, -1, -1))
    alike, _ = overlay_clip(frames, photo, MASK)
    assert (stitched[0, 40:60, 50:80] == 0).any()
    assert (resized(stitched[0], (96, 64)) - alike[0]).abs().mean() < 0.01


def test_the_photo_must_be_the_windows():
    window = window_for(MASK, "zoom", (96, 64), 8)
    with pytest.raises(IVGError, match=r"150 x 101.*40 x 30"):
        stitch_clip(torch.zeros(1, 64, 96, 3), torch.zeros(30, 40, 3), torch.ones(30, 40), window)


def test_what_does_not_fit_into_the_memory_is_refused_before_it_is_made(monkeypatch):
    window = window_for(MASK, "zoom", (96, 64), 8)
    free = psutil.virtual_memory()._replace(available=PHOTO.numel() * 4)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    stitch_clip(drifted(window, 1, 0, frames=1), PHOTO, MASK, window)
    with pytest.raises(IVGError, match=r"3 frames of 150 x 101 pixels take .* smaller before its region is cut out"):
        stitch_clip(drifted(window, 1, 0), PHOTO, MASK, window)
