import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.rom.latent import LatentGrid, crop_to, fit, latent_mask, still_video, vace_control

WAN = LatentGrid(frames=3, height=6, width=8, cell=8, stride=4)  # 64 x 48 pixels, 9 frames
LTX = LatentGrid(frames=3, height=3, width=4, cell=32, stride=8)  # 128 x 96 pixels, 17 frames


def dot(grid: LatentGrid, row: int, column: int, value: float = 1.0) -> torch.Tensor:
    """One pixel of the video's size that may move."""
    mask = torch.zeros(grid.size[1], grid.size[0])
    mask[row, column] = value
    return mask


def test_a_grid_knows_its_video():
    assert (WAN.video_frames, WAN.size) == (9, (64, 48))
    assert (LTX.video_frames, LTX.size) == (17, (128, 96))


@settings(deadline=None)
@given(
    row=st.integers(0, 47),
    column=st.integers(0, 63),
    value=st.sampled_from([0.0625, 0.25, 1.0]),
    grow=st.integers(0, 2),
)
def test_a_single_pixel_opens_its_cell_and_those_around_it(row, column, value, grow):
    cells = latent_mask(dot(WAN, row, column, value), WAN, grow)
    rows, columns = torch.arange(6)[:, None], torch.arange(8)[None]
    near = ((rows - row // 8).abs() <= grow) & ((columns - column // 8).abs() <= grow)
    assert cells.shape == (3, 6, 8)
    assert cells[0].eq(0).all(), "the first frame stays the photo"
    assert torch.equal(cells[1], near * torch.tensor(value)) and torch.equal(cells[1], cells[2])


@settings(deadline=None)
@given(st.integers(20, 150), st.integers(20, 150), st.randoms(use_true_random=False))
def test_nothing_of_the_mask_gets_lost(height, width, random):
    """Whatever the photo's size, a pixel inside the crop opens the cell that the video shows it in."""
    row, column = random.randrange(height), random.randrange(width)
    mask = torch.zeros(height, width)
    mask[row, column] = 1
    shown = fit(mask[..., None].expand(-1, -1, 3), WAN.size)[..., 0]  # where core's resizing puts the pixel
    if not crop_to(mask, WAN.size).any():
        with pytest.raises(IVGError, match="empty"):
            latent_mask(mask, WAN, grow=0)
        return
    cells = latent_mask(mask, WAN, grow=0)[1]
    lit = torch.nn.functional.max_pool2d(shown[None, None], 8)[0, 0] > 0.5
    assert cells.any() and (cells[lit] == 1).all()


def test_masks_in_time_are_united_by_latent_frames():
    masks = torch.zeros(9, 48, 64)
    masks[0, 20, 4] = 1  # frame 0 is locked
    masks[3, 20, 20] = 1  # frames 1 to 4 are latent frame 1
    masks[5, 20, 36] = 1  # frames 5 to 8 are latent frame 2
    cells = latent_mask(masks, WAN, grow=0)
    assert cells.nonzero().tolist() == [[1, 2, 2], [2, 2, 4]]


def test_another_number_of_masks_is_spread_and_said(caplog):
    masks = torch.zeros(2, 48, 64)
    masks[0, 20, 20] = masks[1, 20, 36] = 1
    with caplog.at_level(logging.WARNING, "ivg"):
        cells = latent_mask(masks, WAN, grow=0)
    assert "2 masks for 9 frames" in caplog.text
    assert cells[1, 2, 2] == 1 and cells[2, 2, 4] == 1 and cells[2, 2, 2] == 0


@pytest.mark.parametrize("mask", [torch.zeros(48, 64), torch.zeros(1, 64, 64)])
def test_an_empty_mask_is_refused(mask):
    with pytest.raises(IVGError, match="nothing may move"):
        latent_mask(mask, WAN)
    with pytest.raises(IVGError, match="nothing may move"):
        vace_control(torch.rand(48, 64, 3), mask, 9, (64, 48))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(IVGError, match=r"\(1, 1, 8, 8\)"):
        latent_mask(torch.ones(1, 1, 8, 8), WAN)


def test_the_still_video_is_the_photo_again_and_again():
    video = still_video(torch.rand(60, 64, 3), LTX)
    assert video.shape == (17, 96, 128, 3)
    assert (video == video[:1]).all()


def test_a_photo_of_the_right_size_is_not_touched():
    photo = torch.rand(48, 64, 3)
    assert torch.equal(fit(photo, (64, 48)), photo)


def test_vace_gets_the_photo_first_and_grey_where_it_may_move():
    photo, mask = torch.rand(48, 64, 3) * 0.4, torch.zeros(48, 64)
    mask[10:20, 10:30] = 0.8
    mask[30:40, 40:50] = 0.4  # too faint for VACE, which knows black and white only
    video, masks = vace_control(photo, mask, 9, (64, 48))
    assert video.shape == (9, 48, 64, 3) and masks.shape == (9, 48, 64)
    assert torch.equal(video[0], photo) and masks[0].eq(0).all()
    for frame, white in zip(video[1:], masks[1:], strict=True):
        assert torch.equal(white, (mask >= 0.5).float())
        assert frame[white == 1].eq(0.5).all() and torch.equal(frame[white == 0], photo[white == 0])


def test_vace_in_a_box():
    mask = torch.zeros(48, 64)
    mask[10, 10] = mask[19, 29] = 1
    _, masks = vace_control(torch.rand(48, 64, 3), mask, 5, (64, 48), box=True)
    assert masks[1, 10:20, 10:30].eq(1).all() and masks[1].sum() == 200


def test_vace_masks_follow_the_photo_into_another_shape():
    mask = torch.zeros(40, 120)
    mask[:, 30:90] = 1  # the middle half; a square crop shows all of it but 10 pixels on either side
    video, masks = vace_control(torch.rand(40, 120, 3), mask, 5, (64, 64))
    assert video.shape == (5, 64, 64, 3) and masks[1].eq(1).all()
