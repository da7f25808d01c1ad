"""Tiny folders of Stable Diffusion, loaded and sampled in windows, against what Gen-L-Video's own code computed."""

import json
import shutil

import pytest
import torch
from glv import FLAT, close, ladder, recorded, schedule_of
from safetensors.torch import load_file

from ivg_core.checkpoints.load import load_model
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.text import encode_text
from ivg_core.models.told import Told
from ivg_core.sampling.context import ContextWindows, spans
from ivg_core.sampling.generate import Sampling, denoise, generate
from ivg_core.sampling.guidance import Guided
from ivg_core.sampling.prompts import PromptSchedule, Stretch
from ivg_core.sampling.solver import make_inverse, make_solver
from ivg_core.sampling.windowed import Stacked, Windowed, told_in


@pytest.fixture(scope="module")
def folder(golden):
    return golden / "glv_more"


@pytest.fixture(scope="module")
def meta(folder):
    return json.loads((folder / "glv_meta.json").read_text())


@pytest.fixture(scope="module")
def io(folder):
    return load_file(folder / "glv_io.safetensors")


@pytest.fixture(scope="module")
def model(folder):
    return load_model(folder / "sd1")


def backbone(folder, tmp_path_factory, name):
    """Of a folder with this UNet and all else of `sd1`."""
    path = shutil.copytree(folder / "sd1", tmp_path_factory.mktemp("models") / name)
    shutil.copytree(folder / name / "unet", path / "unet", dirs_exist_ok=True)
    return UNetBackbone(load_model(path), 2)


@pytest.fixture(scope="module")
def plain(model):
    return UNetBackbone(model, 2)


@pytest.fixture(scope="module")
def deep(folder, tmp_path_factory):
    return backbone(folder, tmp_path_factory, "sd2_depth")


@pytest.fixture(scope="module")
def painting(folder, tmp_path_factory):
    return backbone(folder, tmp_path_factory, "sd2_inpaint")


@pytest.fixture(scope="module")
def said(model, meta, io):
    """The text states of sentences."""
    states = encode_text(model, meta["text_table"])
    close(states, io["text_table"], 1e-5)
    return lambda *sentences: torch.stack([states[meta["text_table"].index(sentence)] for sentence in sentences])


def windowed(network, part, solver):
    return Windowed(network, ContextWindows(part["w"], part["s"], **FLAT), part["w"], solver.timesteps)


def test_one_call_of_the_network(plain, io, said):
    close(plain(io["x"], io["t"], Told(said("", "night"))), io["wota"], 1e-5)
    close(plain(io["x"][:1, :, :1], io["t"], Told(said("snow"))), io["wota_1f"], 1e-5)
    close(plain(io["x_odd"], io["t"], Told(said("snow"))), io["wota_odd"], 1e-5)


def test_text_of_each_window(meta, io, said):
    mix = meta["params"]["mix"]
    windows = spans(mix["T"], mix["w"], mix["s"])
    text = said(*mix["prompts"])
    below, above = ladder(text, said("")[0], None, 3.0, schedule_of(len(text), mix["T"]), windows)
    for window, expected in zip(windows, io["mix_window_text"], strict=True):
        close(torch.cat([told_in(told, window).text for _, told in (below, above)]), expected, 1e-5)


@pytest.mark.parametrize("sentences", [3, 1])
def test_a_stride_that_does_not_divide_the_window(deep, meta, io, said, sentences):
    mix, config = meta["params"]["mix"], deep.model.scheduler_config
    windows, solver = spans(mix["T"], mix["w"], mix["s"]), make_solver(config, mix["steps"], "ddim")
    assert solver.timesteps.tolist() == meta["mix"]["timesteps"]
    schedule = schedule_of(sentences, mix["T"], "reference" if sentences > 1 else "centre")
    text = said(*mix["prompts"][:sentences])
    rungs = ladder(text, said("")[0], io["mix_depth_latent"], mix["g"], schedule, windows)
    steps = recorded(Guided(windowed(deep, mix, solver), rungs), solver, io["mix_start"])
    if sentences == 1:
        close(steps[-1], io["single_prompt_last"])
        return
    close(steps, io["mix_steps"])
    frames = deep.codec.decode(steps[-1])[0, ::3].permute(3, 0, 1, 2) * 255  # (3, f, H, W)
    close(frames.round(), io["mix_video_u8"].float(), 1.5)
    stacked, solver = Stacked(windows, smooth=True), make_solver(config, mix["steps"], "ddim")
    predict = Guided(deep, [(scale, stacked.told(told)) for scale, told in rungs])
    last = denoise(predict, solver, stacked.cut(io["mix_start"]), after=stacked)
    close(stacked.join(last), io["mix_l2_last"])


@pytest.mark.parametrize("parity", [False, True])
def test_the_same_by_generate(deep, meta, io, parity):
    mix = meta["params"]["mix"]
    starts = [i * mix["T"] // len(mix["prompts"]) for i in range(len(mix["prompts"]))]
    stretches = tuple(Stretch(start, prompt) for start, prompt in zip(starts, mix["prompts"], strict=True))
    video = generate(
        deep.model,
        None,
        PromptSchedule(stretches, "reference"),
        num_frames=mix["T"],
        noise=io["mix_start"],
        beside=io["mix_depth_latent"],
        how=Sampling(
            num_inference_steps=mix["steps"],
            guidance_scale=mix["g"],
            solver="ddim",
            parity=parity,
            context=ContextWindows(mix["w"], mix["s"], **FLAT),
        ),
    )
    close(video.latents, io["mix_steps"][-1])


def test_inversion_over_windows(plain, meta, io, said):
    inv = meta["params"]["inv"]
    solver = make_inverse(plain.model.scheduler_config, inv["steps"])
    steps = recorded(Guided(windowed(plain, inv, solver), [(1.0, Told(said("")))]), solver, io["inv_start"])
    close(steps, torch.stack([io["inv_long"][i] for i in range(len(meta["inv_long_index"]))]))


def test_inpainting_over_windows(painting, meta, io, said):
    part, config = meta["params"]["inp"], painting.model.scheduler_config
    mask = io["inp_mask_latent"]

    def told(sentence, latents):
        return Told(said(sentence), beside=torch.cat([mask, latents], 1).transpose(0, 1)[None])  # (1, 5, T, h, w)

    solver = make_inverse(config, part["steps"])
    rungs = [(1.0, told("", io["inp_masked_latents_inversion"]))]
    close(recorded(Guided(windowed(painting, part, solver), rungs), solver, io["inp_latents"])[-1], io["inp_inverted"])
    solver = make_solver(config, part["steps"], "ddim")
    masked = io["inp_masked_latents"]
    rungs = [(1.0, told("", masked)), (part["g"], told(meta["inp"]["prompt"], masked))]
    close(recorded(Guided(windowed(painting, part, solver), rungs), solver, io["inp_inverted"]), io["inp_steps"])
