"""The photo stays where nothing should change."""

import torch

from ivg_core.rom.composite import composite_over, keep_first, seam

PHOTOS = torch.full((2, 32, 32, 3), 0.25)
FRAMES = torch.rand(2, 3, 32, 32, 3, generator=torch.Generator().manual_seed(0))


def square():
    mask = torch.zeros(32, 32)
    mask[10:20, 12:22] = 1
    return mask


def test_only_frame_zero_becomes_the_photo():
    kept = keep_first(FRAMES, PHOTOS)
    assert torch.equal(kept[:, 0], PHOTOS) and torch.equal(kept[:, 1:], FRAMES[:, 1:])


def test_frames_inside_photo_outside():
    out = composite_over(FRAMES, PHOTOS[:, None], torch.stack([square(), torch.ones(32, 32)])[:, None], feather=4)
    assert torch.equal(out[0, :, 10:20, 12:22], FRAMES[0, :, 10:20, 12:22])
    far = seam(square(), 4) == 0
    assert far[0, 0] and torch.equal(out[0, :, far], PHOTOS[:1].expand(3, -1, -1, -1)[:, far])
    assert torch.equal(out[1], FRAMES[1])


def test_over_a_video_with_a_mask_for_each_frame():
    video = torch.rand(1, 3, 32, 32, 3, generator=torch.Generator().manual_seed(1))
    masks = torch.stack([square(), torch.zeros(32, 32), square().flip(0)])
    out = composite_over(FRAMES, video, masks[None], feather=0)
    inside = masks[None, ..., None].bool().expand_as(out)
    assert torch.equal(out[inside], FRAMES[inside]) and torch.equal(out[~inside], video.expand_as(out)[~inside])


def test_the_seam_falls_over_the_feather_and_no_further():
    row = seam(square(), 6)[15]
    assert (row[12:22] == 1).all() and not row[:6].any() and not row[28:].any()
    assert (row[6:13].diff() > 0).all() and row[9].item() == 0.5
    assert torch.equal(seam(square(), 0), square())


def test_a_soft_edge_that_reaches_further_counts():
    soft = square()
    soft[15, 2] = 0.3
    assert seam(soft, 2)[15, 2].item() == torch.tensor(0.3).item()


def test_an_empty_mask_shows_the_photo():
    assert not seam(torch.zeros(8, 8), 4).any()
