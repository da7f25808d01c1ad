"""Sampling only a window around the mask, and reusing deep features: what they keep, what they change."""

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled import sample

from ivg_core.errors import IVGError
from ivg_core.rom.window import Window
from ivg_core.sampling.crop import Windows, motion_windows
from ivg_core.sampling.inputs import Pictures
from ivg_core.sampling.noise import gaussian_noise

PHOTO = torch.rand(64, 96, 3, generator=torch.Generator().manual_seed(1))
LITTLE = {"num_frames": 2, "num_inference_steps": 3, "size": (96, 64), "guidance_scale": 2.0, "seed": 3}


def mask_at(top, bottom, left, right, size=(96, 64)):
    mask = torch.zeros(size[1], size[0])
    mask[top:bottom, left:right] = 1
    return mask


def pictures(*masks):
    height, width = masks[0].shape
    each, at = [mask[None] for mask in masks], [[0]] * len(masks)
    photos = torch.rand(len(masks), height, width, 3)
    return Pictures(photos, torch.stack(masks), torch.ones(1), (width, height), each, at)


def run(model, **options):
    return sample(model, PHOTO, "the person cuts the carrot", **(LITTLE | options))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_window_holds_its_mask_in_whole_cells(data):
    width, height = (8 * data.draw(st.integers(1, 20)) for _ in range(2))
    boxes = []
    for _ in range(data.draw(st.integers(1, 3))):
        top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
        boxes.append((top, bottom, left, right))
    windows = motion_windows(pictures(*(mask_at(*box, (width, height)) for box in boxes)), 8, "crop", (512, 512))
    if windows is None:
        return
    for window, box in zip(windows.each, boxes, strict=True):
        assert window.size == window.sampled == windows.each[0].size != (width, height)
        assert all(side % 8 == 0 for side in (window.left, window.top, *window.size))
        assert 0 <= window.left <= box[2] and box[3] <= window.left + window.width <= width
        assert 0 <= window.top <= box[0] and box[1] <= window.top + window.height <= height


def test_zoom_samples_at_the_area_the_model_is_made_for():
    (window,) = motion_windows(pictures(mask_at(24, 40, 32, 64)), 8, "zoom", (512, 512)).each
    assert window.size == (64, 48) and window.sampled == (592, 440)


def test_stitched_edges_fade_but_not_at_the_pictures_own():
    photos, left = torch.zeros(1, 64, 96, 3), Windows([Window(0, 16, 48, 48, (96, 64), (48, 48))], 16)
    video = left.stitch(torch.ones(1, 2, 48, 48, 3), photos)[0, 1, ..., 0]
    assert video[:16].max() == 0 and video[:, 48:].max() == 0
    assert (video[40:, :30] == 1).all()  # left and bottom edges are the picture's
    assert 0 < video[17, 0] < 0.1 and (video[:, 0].diff().abs() < 0.2).all()
    other = Windows([Window(48, 0, 48, 48, (96, 64), (48, 48))], 16)  # in the upper right corner
    video = other.stitch(torch.ones(1, 2, 48, 48, 3), photos)[0, 1, ..., 0]
    assert (video[:30, 66:] == 1).all() and 0 < video[0, 49] < 0.1 and 0 < video[46, 95] < 0.1


def test_a_window_begins_a_margin_before_the_mask_and_ends_one_after_it():
    """With a margin of 16 pixels the last one falls on a cell's first pixel, which belongs to the window."""
    (window,) = motion_windows(pictures(mask_at(24, 40, 40, 49)), 8, "crop", (512, 512)).each
    assert window.left == 24 and window.left + window.width == 72


def test_a_slim_window_grows_to_both_sides():
    (window,) = motion_windows(pictures(mask_at(232, 240, 24, 616, (640, 480))), 8, "crop", (512, 512)).each
    assert window.size == (640, 320) and (window.left, window.top) == (0, 80)  # it was 248 high, from 112 on


def test_previews_show_the_window_in_its_place():
    windows, shown = Windows([Window(16, 8, 32, 24, (80, 48), (32, 24))], 8), []
    still = torch.full((1, 4, 1, 6, 10), 7.0)
    windows.seen_whole(lambda step, total, x0: shown.append(x0), still, 8)(1, 2, torch.ones(1, 4, 2, 3, 4))
    expected = still.repeat(1, 1, 2, 1, 1)
    expected[..., 1:4, 2:6] = 1
    assert torch.equal(shown[0], expected)


def test_a_window_has_its_part_of_the_whole_pictures_noise(tiny_model):
    mask = mask_at(24, 40, 8, 24)
    whole = gaussian_noise([3], (4, 2, 8, 12))
    given = run(tiny_model, mask=mask, region="crop", seed=None, noise=whole)
    assert torch.equal(run(tiny_model, mask=mask, region="crop").latents, given.latents)


@pytest.mark.parametrize("region", ["crop", "zoom"])
def test_outside_the_window_the_photo_stays(tiny_model, region):
    seen = []
    out = run(tiny_model, mask=mask_at(24, 40, 8, 24), region=region, on_step=lambda *x: seen.append(x[2].shape))
    assert out.frames.shape == (2, 64, 96, 3) and out.mask.shape == (64, 96)
    assert torch.equal(out.frames[:, :, 56:], PHOTO[:, 56:].expand(2, -1, -1, -1))
    assert not torch.allclose(out.frames[1, 24:40, 8:24], PHOTO[24:40, 8:24], atol=0.05)
    assert set(seen) == {(1, 4, 2, 8, 12)}  # previews show the whole picture


def test_a_batch_has_windows_of_one_size(tiny_model):
    masks = [mask_at(0, 16, 0, 16), mask_at(40, 64, 60, 96)]
    out = sample(tiny_model, [PHOTO, PHOTO], "the person cuts", mask=masks, region="crop", **LITTLE)
    assert torch.equal(out.frames[0, 0, 40:], PHOTO[40:]) and torch.equal(out.frames[1, 0, :, :16], PHOTO[:, :16])
    alone = run(tiny_model, mask=masks[1], region="crop", seed=4)
    assert alone.frames.shape == out.frames[1].shape


def test_a_mask_across_the_picture_is_sampled_whole(tiny_model, caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        out = run(tiny_model, region="crop")
    assert "whole of it is sampled" in caplog.text and torch.equal(out.frames, run(tiny_model).frames)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"region": "window"}, "There is no region 'window'"),
        ({"region": "crop", "parity": True}, "Parity mode"),
        ({"cache_every": 2, "parity": True}, "Parity mode"),
        ({"cache_every": 0}, "cache_every is 0"),
        ({"region": "zoom", "noise": torch.zeros(1, 4, 2, 8, 12)}, "give a seed"),
    ],
)
def test_mistakes(tiny_model, options, sentence):
    with pytest.raises(IVGError, match=sentence):
        run(tiny_model, **options)


def test_deep_layers_run_at_every_second_step_only(tiny_model):
    calls = []
    hook = tiny_model.unet.mid_block.resnets[0].register_forward_hook(lambda *_: calls.append(1))
    try:
        exact = run(tiny_model, num_inference_steps=4)
        assert len(calls) == 4
        fast = run(tiny_model, num_inference_steps=4, cache_every=2)
        assert len(calls) == 6
        run(tiny_model, num_inference_steps=4, cache_every=9, guidance_interval=(0.5, 1))
        assert len(calls) == 8  # another batch begins anew
        run(tiny_model, num_inference_steps=6, cache_every=2)
        assert len(calls) == 11
        run(tiny_model, num_inference_steps=6, cache_every=3)
        assert len(calls) == 13
    finally:
        hook.remove()
    difference = (fast.latents - exact.latents).abs().max() / exact.latents.abs().max()
    assert 0 < difference < 0.5


def test_the_cache_is_gone_after_a_run_that_broke(tiny_model):
    before = run(tiny_model)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny_model, cache_every=2, on_step=stop)
    assert torch.equal(run(tiny_model).frames, before.frames)
