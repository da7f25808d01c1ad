"""IVGTextToVideo as ComfyUI runs it, with a text-to-video model in models/ivg."""

import pathlib
from dataclasses import replace

import pytest
import torch

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.sampling.generate import generate
from ivg_pack.ivg_core.sampling.prompts import read_schedule
from ivg_pack.nodes.loaders import SAME_MODEL, LoadIVGModel
from ivg_pack.nodes.long_video import IVGPromptSchedule, IVGWindows
from ivg_pack.nodes.sampling import IVGSampler, IVGSamplerOptions
from ivg_pack.nodes.text_to_video import IVGTextToVideo

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
WIDGETS = {
    "prompt": "a dog runs", "negative": "", "seed": 3, "frames": 2, "steps": 2, "guidance": 2.0, "fps": 4.0,
    "width": 80, "height": 64,
}  # fmt: skip
OPTIONS = {
    "solver": "dpm++2m", "motion_mode": "raw", "guidance_start": 0.0, "guidance_end": 1.0, "binarize_mask": False,
    "decode_chunk": 0, "region": "whole", "cache_every": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def text_model(models_folder):
    (models_folder / "text").symlink_to(GOLDEN / "motiondirector" / "training" / "model")
    yield LoadIVGModel.execute("text", SAME_MODEL, "fp32")[0]
    (models_folder / "text").unlink()


def made(model, **changes):
    with torch.inference_mode():  # as ComfyUI does
        return IVGTextToVideo.execute(model, **{**WIDGETS, **changes}).args


def options(**changes):
    return IVGSamplerOptions.execute(**{**OPTIONS, **changes})[0]


def test_a_sentence_gives_frames_and_a_video(text_model):
    frames, video = made(text_model)
    assert frames.shape == (2, 64, 80, 3) and frames.min() >= 0 and frames.max() <= 1
    parts = video.get_components()
    assert float(parts.frame_rate) == 4 and torch.equal(parts.images, frames)
    assert torch.equal(made(text_model)[0], frames)
    for change in ({"seed": 4}, {"prompt": "a cat"}, {"negative": "a cat"}, {"guidance": 5.0}, {"steps": 3}):
        assert not torch.equal(made(text_model, **change)[0], frames), change


def test_zeros_are_what_the_model_was_made_for(text_model, monkeypatch):
    asked = {}

    def generate(model, image, prompt, *, on_step, **settings):
        asked.update(settings, image=image)
        width, height = settings["size"]
        return type("Made", (), {"frames": torch.zeros(settings["num_frames"], height, width, 3)})

    monkeypatch.setattr("ivg_pack.ivg_core.sampling.generate.generate", generate)
    frames, video = made(text_model, frames=0, steps=0, guidance=0.0, fps=0.0, width=0, height=0)
    defaults = text_model.model.defaults
    assert asked["image"] is None and frames.shape[0] == asked["num_frames"] == defaults.num_frames
    assert asked["size"] == (defaults.width, defaults.height)
    assert asked["how"].num_inference_steps is None and asked["how"].guidance_scale is None  # the model's
    assert float(video.get_components().frame_rate) == defaults.fps
    made(text_model, width=2 * defaults.width, height=0)
    assert asked["size"] == (2 * defaults.width, 2 * defaults.height)


def test_the_solver_of_the_options_counts(text_model):
    assert not torch.equal(made(text_model, options=options(solver="ddim"))[0], made(text_model)[0])


def test_a_model_for_photos_is_refused_in_one_sentence(model):
    with pytest.raises(IVGError, match="makes videos of a photo: give one, or load a text-to-video model") as error:
        made(model)
    assert "\n" not in str(error.value)


def test_the_sampler_for_photos_refuses_a_text_model(text_model):
    photo = torch.rand(1, 64, 80, 3)
    widgets = {key: value for key, value in WIDGETS.items() if key != "prompt"}
    with pytest.raises(IVGError, match="cannot take a photo"), torch.inference_mode():
        IVGSampler.execute(
            text_model, photo, "a dog runs", motion_strength=5.0, keep_first_frame=False, composite=False, feather=-1.0,
            **widgets,
        )  # fmt: skip


@pytest.mark.parametrize("region", ["crop", "zoom"])
def test_options_that_need_a_photo_are_one_sentence(text_model, region):
    with pytest.raises(IVGError, match=f"without a photo for region {region}: leave that off") as error:
        made(text_model, options=options(region=region))
    assert "\n" not in str(error.value)


def test_a_long_video_of_two_sentences(text_model):
    windows = IVGWindows.execute(4, 2, "static", "pyramid", "independent", 1, False)[0]
    said = IVGPromptSchedule.execute("0: a dog runs\n4: a cat sleeps", "centre")[0]
    frames, _ = made(text_model, prompt="", frames=7, schedule=said, options=windows)
    expected = generate(
        text_model.model,
        None,
        read_schedule("0: a dog runs | 4: a cat sleeps"),
        num_frames=7,
        size=(80, 64),
        seed=3,
        how=replace(windows, num_inference_steps=2, guidance_scale=2.0),
    )
    assert torch.equal(frames, expected.frames)
