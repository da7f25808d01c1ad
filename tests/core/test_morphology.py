"""The quick shapes of masks against the plain ones, and what large pictures may differ in."""

import cv2
import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from ivg_core.media.images import shrink_to, to_bytes
from ivg_core.rom import morphology, refine
from ivg_core.rom.region import region_around
from ivg_core.rom.units import in_pixels


def masks():
    """Hard masks of many kinds: specks, blobs, none, all, at the border."""
    generator = np.random.default_rng(0)
    for height, width in ((1, 9), (17, 23), (30, 45), (40, 30)):
        for level in (0.02, 0.5, 0.9):
            yield (generator.random((height, width)) < level).astype(np.uint8)
        blob = cv2.resize(generator.random((height // 8 + 1, width // 8 + 1)), (width, height))
        yield (blob > 0.6).astype(np.uint8)
        yield np.zeros((height, width), np.uint8)
        yield np.ones((height, width), np.uint8)


def plain_distance(core):
    """Every pixel's distance to the nearest 1, one pair of pixels after the other."""
    if not core.any():
        return np.full(core.shape, np.inf)
    rows, columns = np.nonzero(core)
    y, x = np.mgrid[: core.shape[0], : core.shape[1]]
    return np.sqrt(np.min([(y - row) ** 2 + (x - column) ** 2 for row, column in zip(rows, columns, strict=True)], 0))


@pytest.mark.parametrize("pixels", [0.4, 1, 2.5, 8, 8.3, 13, 70])
def test_growing_and_shrinking_are_exact_with_a_disc_and_by_distance(pixels):
    for core in masks():
        before = core.copy()
        assert np.array_equal(morphology.grown(core, pixels), plain_distance(core) <= pixels)
        assert np.array_equal(morphology.shrunk(core, pixels), plain_distance(1 - core) > pixels)
        assert np.array_equal(core, before)


def test_holes_are_what_no_way_leads_to_from_the_border():
    for core in masks():
        _, labels = cv2.connectedComponents(1 - core, connectivity=4)
        border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        assert np.array_equal(morphology.filled(core), (core > 0) | ~np.isin(labels, border))


@pytest.mark.parametrize("least", [1, 2, 7, 1e9])
def test_specks_are_counted_pixel_by_pixel(least):
    for core in masks():
        _, labels = cv2.connectedComponents(core, connectivity=8)
        sizes = np.bincount(labels.ravel())
        assert np.array_equal(morphology.without_specks(core, least), (core > 0) & (sizes[labels] >= least))


def disc(height, width, radius):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (((y - height / 2) ** 2 + (x - width / 2) ** 2) <= radius**2).float()


def test_a_wide_feather_of_a_large_mask_is_that_of_a_small_one_within_a_level():
    mask = disc(1200, 2000, 400)
    assert mask.numel() > refine.LARGE
    large = refine.feather_edge(mask, 160)
    plain = torch.from_numpy(cv2.GaussianBlur(mask.numpy(), (0, 0), 40, borderType=cv2.BORDER_REPLICATE))
    assert (large - plain).abs().max() < 1.5 / 255
    assert not large[:10].any() and large[600, 1000] == pytest.approx(1, abs=1e-5)


def test_smoothing_goes_over_the_edge_of_its_strips():
    clip = torch.rand(5, 2 * refine.ROWS + 3, 7)
    smooth = refine.smooth_in_time(clip, 1)
    assert torch.allclose(smooth[2], clip[1:4].mean(0), atol=1e-6)
    assert torch.allclose(smooth[0], clip[:2].mean(0), atol=1e-6)


@pytest.mark.parametrize("shape", ["one", "each", "none"])
def test_the_region_of_a_large_photo_is_that_of_the_same_photo_smaller(shape):
    small = disc(500, 800, 60) + torch.roll(disc(500, 800, 60), 200, 1).clamp(0, 1)
    small = small.clamp(0, 1)
    large = interpolate(small[None, None], scale_factor=4, mode="nearest")[0, 0]  # 6.4 megapixels
    found = region_around(large, grow=0.05, shape=shape)
    wanted = region_around(small, grow=0.05, shape=shape)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert (avg_pool2d(found[None], 4)[0] - wanted).abs().mean() < 0.01


def test_a_single_pixel_of_a_large_photo_is_not_lost():
    point = torch.zeros(1500, 2000)
    point[701, 903] = 1
    assert region_around(point, grow=0.05)[701, 903] == 1


def test_lengths_and_areas_in_thousandths_of_the_width():
    assert in_pixels(7, "pixels", 6000) == 7
    assert in_pixels(4, "thousandths", 6000) == 24
    assert in_pixels(16, "thousandths", 6000, area=True) == 16 * 36


def test_bytes_are_the_nearest_levels_and_pictures_only_shrink():
    values = torch.linspace(-0.1, 1.2, 4000).reshape(2, 20, 100)
    assert np.array_equal(to_bytes(values), (values.clamp(0, 1) * 255).round().byte().numpy())
    halves = (torch.arange(255) + 0.5) / 255
    assert np.array_equal(to_bytes(halves[None]), (halves[None] * 255).round().byte().numpy())
    picture = torch.rand(2, 30, 60, 3)
    assert shrink_to(picture, 60) is picture
    assert torch.allclose(shrink_to(picture, 30), avg_pool2d(picture.movedim(-1, 1), 2).movedim(1, -1), atol=1e-6)
