"""The model that ships inside: complete, small, and better than guessing."""

from pathlib import Path
from statistics import fmean

import pytest
import torch

import ivg_core as ivg
from benchmarks.rom import held_out_scenes, training_prior
from ivg_core.evaluate.metrics.motion import mask_iou, motion_outside_ratio

ASSETS = Path(ivg.__file__).parent / "assets"
SCENES = 8

STEPS = ivg.Sampling(num_inference_steps=6, keep_first_frame=False, composite=False)


@pytest.fixture(scope="module")
def model():
    return ivg.load_model("embedded")


@pytest.fixture(scope="module")
def scenes(model):
    size = model.defaults
    return held_out_scenes(SCENES, size.width, size.height, size.num_frames)


@pytest.fixture(scope="module")
def predicted(model, scenes):
    return [ivg.predict_rom(model, item.photo, item.tasks[0].text, seed=i, how=STEPS) for i, item in enumerate(scenes)]


def test_it_is_small_and_has_a_card():
    assert (ASSETS / "ivg-tiny.safetensors").stat().st_size <= 24 * 2**20
    assert sum(file.stat().st_size for file in ASSETS.iterdir()) <= 36 * 2**20  # with hand networks, gates and a LoRA
    assert (ASSETS / "README.md").exists()


def test_it_has_both_stages(model):
    assert model.for_stage(1) is not model.for_stage(2)
    assert model.vae_scale_factor == 8 and model.licence.startswith("MIT")


def test_predicted_masks_beat_every_guess(model, scenes, predicted):
    size = model.defaults
    prior = training_prior(size.width, size.height, size.num_frames)
    truth = [item.truths[0] for item in scenes]
    ours = fmean(mask_iou(rom.mask, t) for rom, t in zip(predicted, truth, strict=True))
    guesses = {
        "white": fmean(mask_iou(torch.ones_like(t), t) for t in truth),
        "prior": fmean(mask_iou(prior, t) for t in truth),
    }
    assert ours > 1.2 * max(guesses.values()), (ours, guesses)
    assert predicted[0].frame_masks.shape == (size.num_frames, size.height, size.width)


def test_the_video_moves_inside_the_mask(model, scenes, predicted):
    item, mask = scenes[0], ivg.refine_mask(predicted[0].mask, grow=4)
    video = ivg.generate(model, item.photo, item.tasks[0].text, mask=mask, how=STEPS, seed=0)
    assert motion_outside_ratio(video.frames, mask) < 0.5
    assert (video.frames - video.frames[:1]).abs().amax(dim=(0, 3))[mask > 0.5].mean() > 0.05


def test_the_demo_leaves_what_it_says(tmp_path):
    from ivg_core.cli import main

    assert main(["demo", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"photo.png", "mask.png", "video.mp4", "sheet.png"}
