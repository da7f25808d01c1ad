"""The solver follows the checkpoint's own schedule."""

import json

import pytest
import torch
from safetensors.torch import load_file

from ivg_core.errors import IVGError
from ivg_core.sampling.noise import gaussian_noise, initial_latents
from ivg_core.sampling.solver import make_solver

CONFIG = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
}


def scheduler_config(golden, name):
    if name == "sampler_eval_linspace":
        return json.loads((golden / "meta.json").read_text())[name]["scheduler_json"]
    return json.loads((golden / "tiny_ckpt" / "scheduler" / "scheduler_config.json").read_text())


@pytest.mark.parametrize("name", ["sampler_eval", "sampler_eval_linspace"])
def test_schedule_and_start_equal_the_golden_ones(golden, name):
    expected, inputs = load_file(golden / f"{name}.safetensors"), load_file(golden / "sampler_eval.safetensors")
    solver = make_solver(scheduler_config(golden, name), 5, zero_snr=False)
    assert torch.equal(solver.timesteps, expected["timesteps"])
    assert (solver.scheduler.sigmas - expected["sigmas"]).abs().max() < 1e-5
    start = initial_latents(solver, inputs["condition_latent"], inputs["noise"])
    assert (start - expected["initial_latents"]).abs().max() < 1e-5


@pytest.mark.parametrize("run", ["first", "second"])
def test_start_of_the_web_app_equals_the_golden_one(golden, run):
    expected, inputs = load_file(golden / "sampler_app.safetensors"), load_file(golden / "sampler_eval.safetensors")
    solver = make_solver(scheduler_config(golden, "app"), 5, "ddim")
    assert torch.equal(solver.timesteps, expected["timesteps"])
    t_last = int(expected[f"{run}.t_last"])
    start = initial_latents(solver, inputs["condition_latent"], expected["noise"], t_last)
    assert (start - expected[f"{run}.initial_latents"]).abs().max() < 1e-5


def test_spacing_comes_from_the_file_or_the_solver():
    without = {key: value for key, value in CONFIG.items() if key != "timestep_spacing"}
    assert make_solver(CONFIG, 25).timesteps[[0, 1, -1]].tolist() == [951, 913, 39]
    assert make_solver(without, 25).timesteps[[0, 1, -1]].tolist() == [999, 959, 40]


@pytest.mark.parametrize("name", ["dpm++2m", "ddim"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_a_perfect_network_leads_to_the_clean_latents(name, prediction, spacing, steps):
    solver = make_solver(CONFIG | {"prediction_type": prediction, "timestep_spacing": spacing}, steps, name)
    x0, noise = torch.randn(2, 1, 4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    latents = solver.add_noise(x0, noise, 0)
    for step in range(len(solver)):
        alpha = solver.alphas_cumprod[solver.timesteps[step]]
        eps = (latents - alpha.sqrt() * x0) / (1 - alpha).sqrt()
        pred = {"epsilon": eps, "v_prediction": alpha.sqrt() * eps - (1 - alpha).sqrt() * x0, "sample": x0}[prediction]
        assert torch.allclose(solver.predict_x0(pred, latents, step), x0, atol=1e-3)
        latents = solver.step(pred, latents, step)
        # The perfect path stays on the noised photo; DDIM walks 1000 // N timesteps and so is a little off elsewhere.
        if step + 1 < len(solver) and (name == "dpm++2m" or spacing == "leading"):
            assert torch.allclose(latents, solver.add_noise(x0, noise, step + 1), atol=1e-3)
    assert torch.allclose(latents, x0, atol=0.15)  # both end at the schedule's smallest noise, not at zero
    assert solver.add_noise(x0, noise, len(solver)) is x0


def test_zero_terminal_snr_is_obeyed_unless_refused():
    config = CONFIG | {
        "rescale_betas_zero_snr": True,
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
    }
    assert make_solver(config, 5).alphas_cumprod[-1] < 1e-6
    assert make_solver(config, 5, zero_snr=False).alphas_cumprod[-1] > 1e-3


def test_noise_depends_on_the_seed_alone():
    shape = (4, 2, 3, 5)
    both = gaussian_noise([7, 2**64 - 1], shape)
    torch.manual_seed(0)
    assert torch.equal(both[:1], gaussian_noise([7], shape)) and both.shape == (2, *shape)
    assert not torch.equal(both[0], both[1])


@pytest.mark.parametrize(
    ("config", "steps", "name", "says"),
    [
        (CONFIG, 5, "euler", "no solver 'euler'"),
        (CONFIG, 501, "dpm++2m", "at most 500"),
        (CONFIG | {"prediction_type": "flow"}, 5, "ddim", "prediction_type 'flow'"),
        (CONFIG | {"beta_schedule": "cubic"}, 5, "dpm++2m", "scheduler_config.json"),
    ],
)
def test_what_cannot_be_solved_is_said(config, steps, name, says):
    with pytest.raises(IVGError, match=says):
        make_solver(config, steps, name)


def test_the_noise_between_steps_is_not_the_start_noise():
    shape = (4, 2, 3, 5)
    solver = make_solver(CONFIG, 4, "lcm", seeds=[7])
    latents = torch.zeros(1, *shape)
    after = solver.step(torch.zeros_like(latents), latents, 0)  # of nothing but noise: what was added
    added, start = after.flatten(), gaussian_noise([7], shape).flatten()
    assert added.std() > 0.1 and abs(torch.corrcoef(torch.stack([added, start]))[0, 1]) < 0.5
