"""Stage 1: from a decoded mask video to the Region of Motion."""

import dataclasses
import logging

import pytest
import torch

from ivg_core.errors import IVGError
from ivg_core.sampling import predict
from ivg_core.sampling.generate import Generated
from ivg_core.sampling.predict import Sampling, predict_rom, rom_from_video

PHOTO = torch.rand(48, 64, 3, generator=torch.Generator().manual_seed(0))


def mask_video():
    """A soft-edged square that walks to the right, and a speck in one frame."""
    video = torch.full((3, 24, 32), 0.1)
    for i in range(3):
        video[i, 8:16, 4 + 6 * i : 12 + 6 * i] = 0.9
    video[1, 0, 30] = 0.95
    return video[..., None].expand(-1, -1, -1, 3)


def test_frames_are_thresholded_cleaned_and_united_in_the_photos_size():
    rom = rom_from_video(mask_video(), (64, 48), min_area=4)
    assert rom.mask.shape == (48, 64) and rom.frame_masks.shape == (3, 48, 64) and rom.soft.shape == (48, 64)
    assert set(rom.mask.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(rom.mask, rom.frame_masks.amax(0))
    assert rom.mask[16:32, 8:48].all() and rom.mask.sum() == 16 * 40
    assert rom.coverage == pytest.approx(16 * 40 / (48 * 64))
    assert rom.soft.max() > 0.8 and rom.soft[40, 60].item() == pytest.approx(0.1, abs=1e-3)


def test_colours_are_averaged_before_the_threshold():
    red = torch.zeros(1, 8, 8, 3)
    red[..., 0] = 1  # one channel of three: 0.33
    assert not rom_from_video(red, (8, 8)).mask.any()
    assert rom_from_video(red, (8, 8), threshold=0.3).mask.all()


def test_gaps_close_and_specks_go_by_default_with_the_size():
    video = torch.zeros(1, 64, 64, 3)
    video[:, 10:40, 10:40] = 1
    video[:, 20:22] = 0  # a slit of two pixels
    video[:, 60, 60] = 1
    rom = rom_from_video(video, (64, 64))
    assert rom.mask[12:38, 12:38].all() and not rom.mask[60, 60]
    assert not rom_from_video(video, (64, 64), close=0).mask[20:22].any()
    assert rom_from_video(video, (64, 64), min_area=0).mask[60, 60]


def test_nothing_above_the_threshold_is_an_empty_mask_and_said(caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        rom = rom_from_video(mask_video() * 0.4, (64, 48))
    assert not rom.mask.any() and rom.mask.shape == (48, 64) and rom.coverage == 0
    assert "empty" in caplog.text and "0.38" in caplog.text


def test_the_model_is_asked_as_it_was_made(tiny_model, monkeypatch):
    asked = {}

    def record(model, image, action, **options):
        asked.update(options, action=action)
        return Generated(mask_video(), torch.zeros(1, 4, 3, 3, 4), torch.ones(24, 32), 0)

    monkeypatch.setattr(predict, "generate", record)
    predict_rom(tiny_model, PHOTO, "stir")
    assert asked["stage"] == 1 and asked["seed"] == 0 and asked.get("mask") is None and asked["action"] == "stir"
    assert asked["num_frames"] is None and asked["how"] == Sampling(), "what the model was made for"
    assert asked["motion_strength"] is None, "as stage 1 is trained"
    predict_rom(tiny_model, PHOTO, "stir", num_frames=2, how=Sampling(guidance_scale=0.0))
    assert asked["num_frames"] == 2 and asked["how"].guidance_scale == 0.0


def test_end_to_end_on_random_weights(tiny_model):
    model = dataclasses.replace(tiny_model, rom_unet=tiny_model.unet)
    seen = []
    options = {"num_frames": 2, "how": Sampling(num_inference_steps=2), "size": (32, 24), "threshold": 0.0}
    rom = predict_rom(model, PHOTO, "stir", on_step=lambda *step: seen.append(step[:2]), **options)
    assert rom.mask.shape == (48, 64) and rom.frame_masks.shape == (2, 48, 64) and seen == [(1, 2), (2, 2)]
    assert torch.equal(predict_rom(model, PHOTO, "stir", **options).soft, rom.soft)
    assert not torch.equal(predict_rom(model, PHOTO, "stir", seed=1, **options).soft, rom.soft)


def test_missing_weights_and_bad_numbers_are_said(tiny_model):
    with pytest.raises(IVGError, match="fallback"):
        predict_rom(tiny_model, PHOTO, "stir")
    model = dataclasses.replace(tiny_model, rom_unet=tiny_model.unet)
    with pytest.raises(IVGError, match="threshold"):
        predict_rom(model, PHOTO, "stir", threshold=1.5)
    with pytest.raises(IVGError, match="num_frames is 0"):
        predict_rom(model, PHOTO, "stir", num_frames=0)


def test_a_mask_video_of_few_frames_is_told(tiny_model, caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        for frames in (2, 3):
            predict_rom(
                dataclasses.replace(tiny_model, rom_unet=tiny_model.unet),
                PHOTO,
                "stir",
                num_frames=frames,
                how=Sampling(num_inference_steps=1, guidance_scale=1.0),
            )
    assert caplog.text.count("sees little of the motion") == 1 and "video of 2 frames" in caplog.text


# ---- a batch


@pytest.fixture
def in_stage_1(tiny_model):
    return dataclasses.replace(tiny_model, rom_unet=tiny_model.unet)


#: From 16 x 16 latent cells on; below, the deepest level is one cell, whose group norm blows rounding up.
BIG = {"num_frames": 2, "how": Sampling(num_inference_steps=2), "size": (128, 128), "threshold": 0.5, "min_area": 0}


def test_regions_of_a_batch_equal_those_one_by_one(in_stage_1):
    photos = torch.rand(2, 48, 64, 3, generator=torch.Generator().manual_seed(3))
    items = [(photos[0], "stir", 11, 4.0), (photos[1], "cut the carrot", 5, 6.0)]
    images, actions, seeds, strengths = (list(values) for values in zip(*items, strict=True))
    both = predict_rom(in_stage_1, images, actions, seed=seeds, motion_strength=strengths, **BIG)
    assert both.mask.shape == (2, 48, 64) and both.frame_masks.shape == (2, 2, 48, 64)
    assert both.soft.shape == (2, 48, 64) and 0 < both.coverage < 1
    for number, (photo, action, seed, strength) in enumerate(items):
        alone = predict_rom(in_stage_1, photo, action, seed=seed, motion_strength=strength, **BIG)
        assert torch.allclose(both.soft[number], alone.soft, atol=1e-4)
        assert (both.frame_masks[number] != alone.frame_masks).float().mean() < 1e-3  # values at the threshold
        assert (both.mask[number] != alone.mask).float().mean() < 1e-3
    assert not torch.equal(both.soft[0], both.soft[1])


def test_a_batch_is_given_as_to_generate(in_stage_1):
    quick = {**BIG, "size": (32, 24), "how": Sampling(num_inference_steps=1)}
    stacked = predict_rom(in_stage_1, torch.stack([PHOTO, PHOTO]), "stir", seed=4, **quick)
    listed = predict_rom(in_stage_1, [PHOTO, PHOTO.numpy()], ["stir", "stir"], seed=[4, 5], **quick)
    assert torch.equal(stacked.soft, listed.soft) and not torch.equal(stacked.soft[0], stacked.soft[1])
    several = predict_rom(in_stage_1, PHOTO, ["stir", "cut"], **quick)
    assert several.mask.shape == (2, 48, 64)
    assert predict_rom(in_stage_1, [PHOTO], "stir", **quick).mask.shape == (1, 48, 64)
    assert predict_rom(in_stage_1, PHOTO[None], "stir", **quick).mask.shape == (48, 64)


def test_the_masks_of_a_batch_go_on_to_generate(in_stage_1):
    from ivg_core.sampling.generate import generate

    quick = {"num_frames": 2, "size": (32, 24), "how": Sampling(num_inference_steps=1)}
    photos, actions = [PHOTO, PHOTO.flip(0)], ["stir", "cut"]
    roms = predict_rom(in_stage_1, photos, actions, threshold=0.0, **quick)
    videos = generate(in_stage_1, photos, actions, mask=roms.mask, seed=0, **quick)
    assert videos.frames.shape == (2, 2, 24, 32, 3)


@pytest.mark.parametrize(
    ("image", "action", "more", "said"),
    [
        ([PHOTO, PHOTO[:40]], "stir", {}, r"different sizes \(64 x 40, 64 x 48\)"),
        ([PHOTO, PHOTO], ["stir"], {}, r"not equally long \(image: 2, action: 1\)"),
        ([PHOTO, PHOTO], "stir", {"seed": [1, 2, 3]}, r"not equally long \(image: 2, seed: 3\)"),
        ([], "stir", {}, "list of photos or sentences is empty"),
        ([PHOTO, "nowhere.png"], "stir", {}, "no image at nowhere"),
    ],
)
def test_what_is_no_batch_is_said(in_stage_1, image, action, more, said):
    with pytest.raises(IVGError, match=said):
        predict_rom(in_stage_1, image, action, **more)
