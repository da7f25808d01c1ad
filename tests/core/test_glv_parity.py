"""Windows of time, prompts over them and inversion against what Gen-L-Video's own code computed."""

import json

import pytest
import torch
from glv import FLAT, close, ladder, recorded, schedule_of
from safetensors.torch import load_file

from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.inflated import InflatedUNet
from ivg_core.models.told import Told
from ivg_core.sampling.context import ContextWindows, spans
from ivg_core.sampling.generate import denoise
from ivg_core.sampling.guidance import Guided
from ivg_core.sampling.solver import make_inverse, make_solver
from ivg_core.sampling.windowed import Stacked, Windowed, smoothed, told_in

#: Of Stable Diffusion, and of all that Gen-L-Video does.
SCHEDULE = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False,
    "set_alpha_to_one": False, "steps_offset": 1, "prediction_type": "epsilon", "timestep_spacing": "leading",
}  # fmt: skip


class Inflated(UNetBackbone):
    """The network by itself, without a checkpoint around it."""

    def __init__(self, config, weights):
        self.network = InflatedUNet.from_config_dict(config).eval().requires_grad_(False)
        self.network.load_state_dict({name: x.float() for name, x in weights.items()})


@pytest.fixture(scope="module")
def meta(golden):
    return json.loads((golden / "glv" / "meta.json").read_text())


@pytest.fixture(scope="module")
def io(golden):
    return load_file(golden / "glv" / "io.safetensors")


@pytest.fixture(scope="module")
def weights(golden):
    return {name: x.float() for name, x in load_file(golden / "glv" / "unet.safetensors").items()}


@pytest.fixture(scope="module")
def plain(meta, weights):
    return Inflated(meta["config"], {name: x for name, x in weights.items() if name != "conv_in5.extra"})


@pytest.fixture(scope="module")
def deep(meta, weights):
    """With a depth map as a fifth channel."""
    wide = {name: x for name, x in weights.items() if name != "conv_in5.extra"}
    wide["conv_in.weight"] = torch.cat([wide["conv_in.weight"], weights["conv_in5.extra"]], 1)
    return Inflated(meta["config"] | {"in_channels": 5}, wide)


def test_a_window_of_the_image_network(plain, io):
    close(plain(io["x6"], io["t"], Told(io["ehs"])), io["wota_6f"], 1e-5)
    close(plain(io["x6"][:, :, :1], io["t"], Told(io["ehs"])), io["wota_1f"], 1e-5)


def test_which_sentence_a_window_is_told(meta):
    for case in meta["mix_prompt_expand"]:
        count, stride = len(case["prompts"]), 4
        length = stride * (case["gap"] + 1)
        windows = spans(count * length, length, stride)
        at = schedule_of(count, count * length).shares(windows).argmax(1)
        told = [int(at[(window.start + window.stop - 1) // 2]) + 1 for window in windows]
        assert told == case["interleaved_ids(uncond,cond,..)"][1::2]
        if case["gap"] % 2:  # the sentence at a window's middle is the same rule
            middle = schedule_of(count, count * length, "centre").shares(windows).argmax(1)
            assert [int(middle[(window.start + window.stop - 1) // 2]) + 1 for window in windows] == told


def test_text_of_each_window(io):
    windows = spans(12, 6, 3)
    below, above = ladder(io["text_table"][1:3], io["text_table"][0], None, 3.0, schedule_of(2, 12), windows)
    for window, expected in zip(windows, io["mix_window_text"], strict=True):
        assert torch.equal(torch.cat([told_in(told, window).text for _, told in (below, above)]), expected)


class Given:
    """A backbone that answers with recorded predictions, window by window."""

    network = None

    def __init__(self, recorded):
        self.recorded = iter(recorded)

    def __call__(self, noisy, level, told, features=None):
        return next(self.recorded)


def test_one_merge_of_recorded_predictions(io):
    solver = make_solver(SCHEDULE, 4, "ddim")
    rungs = ladder(io["text_table"][1:3], io["text_table"][0], None, 3.0, schedule_of(2, 12), spans(12, 6, 3))
    windowed = Windowed(Given(io["mix_window_eps_step0"]), ContextWindows(6, 3, **FLAT), 6, solver.timesteps)
    merged = Guided(windowed, rungs)(io["lat12"], solver.timesteps[0], 0.0)
    close(solver.step(merged, io["lat12"], 0), io["mix_steps"][0], 1e-5)  # of values up to 11
    # and as the reference writes it: each window's own step, then the mean
    stacked, eps = Stacked(spans(12, 6, 3)), io["mix_window_eps_step0"]
    guided = eps[:, 0] + 3.0 * (eps[:, 1] - eps[:, 0])
    theirs = stacked.join(make_solver(SCHEDULE, 4, "ddim").step(guided, stacked.cut(io["lat12"]), 0))
    assert torch.equal(theirs, io["mix_steps"][0])


@pytest.mark.parametrize(("as_coded", "smooth"), [(False, False), (True, False), (True, True)])
def test_four_steps_over_windows_with_two_sentences(deep, io, as_coded, smooth):
    windows, solver = spans(12, 6, 3), make_solver(SCHEDULE, 4, "ddim")
    assert solver.timesteps.tolist() == [751, 501, 251, 1]
    rungs = ladder(io["text_table"][1:3], io["text_table"][0], io["mix_depth_latent"], 3.0, schedule_of(2, 12), windows)
    expected = io["mix_l2_steps" if smooth else "mix_steps"]
    seen = []

    def after(latents, step):
        latents = stacked(latents, step) if as_coded else latents
        seen.append(stacked.join(latents) if as_coded else latents)
        return latents

    stacked = Stacked(windows, smooth)
    if as_coded:
        predict = Guided(deep, [(scale, stacked.told(told)) for scale, told in rungs])
        denoise(predict, solver, stacked.cut(io["lat12"]), after=after)
    else:
        windowed = Windowed(deep, ContextWindows(6, 3, batch=2, **FLAT), 6, solver.timesteps)
        denoise(Guided(windowed, rungs), solver, io["lat12"], after=after)
    close(torch.stack(seen), expected)


def test_smoothing_draws_each_frame_to_the_one_before_and_ends_after_25_steps():
    video = torch.zeros(1, 1, 3, 1, 1)
    video[:, :, 1] = 1.0
    drawn = smoothed(video, 24).flatten().tolist()
    assert drawn == pytest.approx([0, 0.999**5, 1 - 0.999**5], abs=1e-4)
    assert torch.equal(smoothed(video, 25), video)


def test_inversion_over_windows(deep, io):
    solver = make_inverse(SCHEDULE, 4)
    told = Told(io["text_table"][:1], beside=io["mix_depth_latent"])
    predict = Guided(Windowed(deep, ContextWindows(6, 3, **FLAT), 6, solver.timesteps), [(1.0, told)])
    close(recorded(predict, solver, io["lat12"]), io["inv_long"][1:])
