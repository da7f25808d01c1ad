"""The noise prior: inversion and mixing against MotionDirector's numbers, and what the sampler makes of it."""

import dataclasses
import json
import logging
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.errors import IVGError
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.lora import applied_lora
from ivg_core.models.text import encode_text
from ivg_core.models.told import Told
from ivg_core.models.unet import IVGUNet
from ivg_core.sampling.generate import Sampling, denoise, generate
from ivg_core.sampling.guidance import Guided
from ivg_core.sampling.invert import invert, invert_once, load_inverted, save_inverted
from ivg_core.sampling.noise import Inverted, NoisePrior, gaussian_noise, mix_noise
from ivg_core.sampling.solver import make_inverse
from ivg_core.synthetic.clips import Scene

GOLDEN = Path(__file__).parents[1] / "golden" / "motiondirector"
META = json.loads((GOLDEN / "meta.json").read_text())
TRAINING = GOLDEN / "training"
TRAINING_META = json.loads((TRAINING / "md_meta.json").read_text())
FEW = Sampling(num_inference_steps=2)


@pytest.fixture(scope="module")
def io():
    return load_file(GOLDEN / "io.safetensors")


@pytest.fixture(scope="module")
def training_io():
    return load_file(TRAINING / "md_io.safetensors")


@pytest.fixture(scope="module")
def t2v():
    return load_model(TRAINING / "model")


@pytest.fixture(scope="module")
def clip():
    scene = Scene(3, 80, 64)
    return torch.from_numpy(scene.clip(scene.tasks[1], num_frames=4).frames).float() / 255


def inverted(latents) -> Inverted:
    return Inverted(latents, model="x", fingerprint="", prompt="", steps=3, size=(80, 64))


def way(predict, solver, clean):
    """The latents before each step, and after the last."""
    seen = []

    def seeing(latents, timestep, progress):
        seen.append(latents)
        return predict(latents, timestep, progress)

    end = denoise(seeing, solver, clean)
    return torch.stack([*seen, end])


def close_step_by_step(predict, solver, recorded):
    """One call of the network from each recorded place leads to the next."""
    for step, (here, there) in enumerate(pairwise(recorded)):
        found = solver.step(predict(here, solver.timesteps[step], 0.0), here, step)
        torch.testing.assert_close(found, there, atol=1e-5, rtol=0)


@torch.no_grad()
def test_inversion_is_the_reference(io, t2v):
    unet = IVGUNet.from_config_dict({**META["config"], "photo": False}).eval()
    unet.load_state_dict({key: t.float() for key, t in load_file(GOLDEN / "unet.safetensors").items()})
    solver = make_inverse(t2v.scheduler_config, len(io["inv_timesteps"]))
    assert solver.timesteps.tolist() == sorted(io["inv_timesteps"].tolist())

    def predict(latents, timestep, _progress):
        return unet(latents, timestep, io["ehs"])

    found = way(predict, solver, io["latents_train"])
    torch.testing.assert_close(found, io["inv_traj"], atol=2e-4, rtol=0)
    close_step_by_step(predict, solver, io["inv_traj"])


@torch.no_grad()
@pytest.mark.parametrize(("name", "prompt"), [("inv_traj", ""), ("inv_traj_prompted", TRAINING_META["inv_prompted"])])
def test_inversion_with_a_whole_model_is_the_reference(training_io, t2v, name, prompt):
    solver = make_inverse(t2v.scheduler_config, len(TRAINING_META["inv_timesteps"]))
    assert solver.timesteps.tolist() == TRAINING_META["inv_timesteps"]
    predict = Guided(UNetBackbone(t2v, 2), [(1.0, Told(encode_text(t2v, [prompt])))])
    found = way(predict, solver, training_io["clip_latents"])
    torch.testing.assert_close(found, training_io[name], atol=2e-4, rtol=0)
    close_step_by_step(predict, solver, training_io[name])


def test_the_clip_of_a_training_was_inverted_so(training_io):
    kept = torch.load(TRAINING / "cache_prior" / "cached_0.pt", weights_only=True)
    assert kept["inversion_noise"].equal(training_io["inv_traj"][-1, 0])


@pytest.mark.parametrize("strength", [0.3, 0.5])
def test_the_mix_is_the_reference(io, strength):
    mixed = mix_noise(io["inv_traj"][-1], io["prior_noise"], strength)
    torch.testing.assert_close(mixed, io[f"prior_mix_{strength}"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["prior_same", "prior_resized", "prior_batch2"])
def test_the_start_of_a_sampling_is_the_reference(training_io, name):
    strength = TRAINING_META[name]["noise_prior"]
    mixed = mix_noise(training_io["inv_traj"][-1, 0], training_io[f"{name}_noise"], strength)
    torch.testing.assert_close(mixed, training_io[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("strength", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("frames", [8, 5, 21])
def test_a_mix_has_the_variance_of_noise(strength, frames):
    one, other = gaussian_noise([1], (4, 8, 32, 32))[0], gaussian_noise([2], (4, frames, 32, 32))
    assert mix_noise(one, other, strength).var().item() == pytest.approx(1, abs=0.03)


def test_other_numbers_of_frames_take_the_nearest():
    clip = torch.arange(4.0)[None, :, None, None].expand(4, 4, 2, 2)
    mixed = mix_noise(clip, torch.zeros(1, 4, 7, 2, 2), 1.0)
    assert mixed[0, 0, :, 0, 0].tolist() == [0, 0, 1, 2, 2, 2, 3]
    assert mix_noise(clip, torch.zeros(1, 4, 2, 2, 2), 1.0)[0, 0, :, 0, 0].tolist() == [0, 3]


def test_no_strength_is_the_noise_itself():
    noise = gaussian_noise([1], (4, 3, 8, 8))
    assert torch.equal(mix_noise(torch.full((4, 3, 8, 8), torch.nan), noise, 0), noise)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_is_a_share(strength):
    with pytest.raises(IVGError, match="strength of the noise prior"):
        mix_noise(torch.zeros(4, 2, 8, 8), torch.zeros(1, 4, 2, 8, 8), strength)
    with pytest.raises(IVGError, match="strength of the noise prior"):
        NoisePrior(inverted(torch.zeros(4, 2, 8, 8)), strength)


# a text-to-video model: no photo, no mask, no motion


def test_a_clip_is_brought_to_size_and_inverted(t2v, clip):
    steps = []
    found = invert(t2v, clip, steps=3, size=(64, 48), on_step=lambda *said: steps.append((*said[:2], said[2].shape)))
    assert found.latents.shape == (4, 4, 6, 8) and found.size == (64, 48)
    assert (found.model, found.prompt, found.steps) == (t2v.name, "", 3)
    assert steps == [(step, 3, (1, 4, 4, 6, 8)) for step in (1, 2, 3)]
    assert not torch.equal(found.latents, invert(t2v, clip, steps=3, size=(64, 48), prompt="a dog").latents)


def test_the_size_is_the_models_area_in_the_clips_shape(t2v, clip):
    small = dataclasses.replace(t2v, defaults=dataclasses.replace(t2v.defaults, width=64, height=64))
    assert invert(small, clip, steps=1).size == (72, 56)


def test_a_stop_comes_through(t2v, clip):
    def stop(step, total, x0):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        invert(t2v, clip, steps=3, size=(64, 48), on_step=stop)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"frames": torch.rand(1, 64, 80, 3)}, "has one frame, in which nothing moves"),
        ({"frames": torch.rand(0, 64, 80, 3)}, "There are no frames of the clip"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 501}, "501 steps are more"),
        ({"mask": torch.ones(64, 80)}, "knows neither photo nor mask"),
        ({"size": (65, 64)}, "65 x 64 cannot be made"),
    ],
)
def test_what_cannot_be_inverted(t2v, clip, given, said):
    with pytest.raises(IVGError, match=said):
        invert(t2v, **{"frames": clip, "size": (64, 48), "steps": 2, **given})


def test_numbers_that_overflow_are_said(t2v, clip):
    broken = dataclasses.replace(t2v, unet=IVGUNet.from_config(t2v.unet.config).eval())
    torch.nn.init.constant_(broken.unet.conv_out.weight, torch.nan)
    with pytest.raises(IVGError, match="The network"):
        invert(broken, clip, steps=1, size=(64, 48))


# sampling with a prior


def sample(model, prior=None, seed=1, **changes):
    given = {"num_frames": 3, "size": (64, 48), "how": FEW, "prior": prior, "seed": seed, **changes}
    return generate(model, None, "a dog runs", **given).latents


def test_strength_zero_changes_nothing(t2v, clip):
    found = invert(t2v, clip, steps=2, size=(64, 48))
    assert torch.equal(sample(t2v, NoisePrior(found, 0)), sample(t2v))
    assert not torch.equal(sample(t2v, NoisePrior(found, 0.3)), sample(t2v))


def test_full_strength_leaves_nothing_to_the_seed(t2v, clip):
    prior = NoisePrior(invert(t2v, clip, steps=2, size=(80, 64)), 1)
    assert torch.equal(sample(t2v, prior, seed=1), sample(t2v, prior, seed=2))


def test_each_of_a_batch_gets_the_prior_and_its_own_noise(t2v, clip):
    prior = NoisePrior(invert(t2v, clip, steps=2, size=(64, 48)), 0.4)
    both = generate(t2v, None, ["a dog runs"] * 2, num_frames=3, size=(64, 48), how=FEW, prior=prior, seed=1).latents
    torch.testing.assert_close(both, torch.cat([sample(t2v, prior, 1), sample(t2v, prior, 2)]), atol=1e-4, rtol=0)


def test_a_prior_of_another_model_is_said(t2v, tiny_model, clip, caplog):
    found = invert(t2v, clip, steps=1, size=(64, 48))
    with caplog.at_level(logging.WARNING, "ivg"):
        sample(t2v, NoisePrior(found, 0.5))
        assert "noise prior" not in caplog.text
        sample(t2v, NoisePrior(dataclasses.replace(found, fingerprint="", model="other"), 0.5))
    assert f'The noise prior was made by other, and "{t2v.name}" samples' in caplog.text


def test_a_lora_or_another_number_format_makes_no_other_model(t2v, clip, caplog):
    prior = NoisePrior(invert(t2v, clip, steps=1, size=(64, 48)), 0.5)
    lora = read_lora(next(TRAINING.glob("lora/checkpoint-*/temporal/lora/*.pt")), t2v.unet)
    with caplog.at_level(logging.WARNING, "ivg"), applied_lora(t2v.unet, lora, 1.0):
        sample(t2v, prior)
    prior.check(load_model(TRAINING / "model", dtype=torch.float16).unet, t2v.name)
    assert "noise prior" not in caplog.text


def test_a_prior_and_given_noise_exclude_each_other(t2v):
    prior = NoisePrior(inverted(torch.zeros(4, 3, 6, 8)))
    with pytest.raises(IVGError, match="mixed into the noise of a seed"):
        sample(t2v, prior, noise=torch.zeros(1, 4, 3, 6, 8))


def test_a_prior_with_other_channels(t2v):
    with pytest.raises(IVGError, match="has 16 channels"):
        sample(t2v, NoisePrior(inverted(torch.zeros(16, 3, 6, 8))))


# IVG's own models: the photo, its mask and its motion are told


def test_the_first_frame_a_white_mask_and_the_clips_motion_are_told(tiny_model, clip):
    def run(**told):
        return invert(tiny_model, clip, steps=1, size=(64, 48), **told).latents

    plain = run()
    assert torch.equal(run(mask=torch.ones(10, 10)), plain)
    torch.testing.assert_close(run(photo=clip[0]), plain, atol=1e-5, rtol=0)
    assert not torch.allclose(run(mask=torch.eye(64, 80)), plain, atol=1e-3)
    assert not torch.allclose(run(photo=clip[0].flip(0)), plain, atol=1e-3)
    assert not torch.allclose(run(motion_strength=50.0), plain, atol=1e-4)
    assert torch.equal(invert(tiny_model, clip[[0, 0]], steps=1, size=(64, 48), motion_strength=0.0).latents,
        invert(tiny_model, clip[[0, 0]], steps=1, size=(64, 48)).latents)  # fmt: skip


@pytest.mark.parametrize("region", ["crop", "zoom"])
def test_a_window_gets_its_part_of_the_prior(tiny_model, clip, region):
    prior = NoisePrior(invert(tiny_model, clip, steps=1, size=(128, 96)), 1)
    mask = torch.zeros(96, 128)
    mask[40:60, 40:60] = 1
    how = Sampling(num_inference_steps=1, region=region, guidance_scale=1)

    def run(prior, seed=1):
        return generate(tiny_model, clip[0], "stir", mask=mask, num_frames=3, size=(128, 96), seed=seed, how=how,
            prior=prior).latents  # fmt: skip

    assert torch.equal(run(prior, 1), run(prior, 2))
    outside = prior.inverted.latents.clone()
    outside[..., :1, :] = outside[..., -1:, :] = outside[..., -1:] = 9.0  # no window has these
    assert torch.equal(run(NoisePrior(dataclasses.replace(prior.inverted, latents=outside), 1)), run(prior))


def test_the_sampler_makes_the_clip_again(clip):
    """The embedded model, which predicts v: from the clip's noise comes its motion, from any other another one."""
    model = load_model("embedded")
    size = model.defaults
    scene = Scene(100, size.width, size.height)
    clip = torch.from_numpy(scene.clip(scene.tasks[0], size.num_frames).frames).float() / 255
    how = Sampling(num_inference_steps=8, guidance_scale=1, solver="ddim")
    prior = NoisePrior(invert(model, clip, steps=8), 1)

    def error(prior):
        video = generate(model, clip[0], "", num_frames=len(clip), seed=1, how=how, prior=prior)
        return (video.frames - clip).square().mean().item()

    assert error(prior) < 0.7 * error(None)


# files


def test_a_file_brings_everything_back(t2v, clip, tmp_path):
    found = invert(t2v, clip, steps=1, size=(64, 48), prompt="a dog")
    save_inverted(found, tmp_path / "dog.safetensors")
    back = load_inverted(tmp_path / "dog.safetensors")
    assert torch.equal(back.latents, found.latents)
    assert dataclasses.replace(back, latents=found.latents) == found


def test_files_that_are_none(tmp_path):
    with pytest.raises(IVGError, match="There is no file"):
        load_inverted(tmp_path / "no.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"1234")
    save_file({"latents": torch.zeros(4, 2, 8, 8)}, tmp_path / "other.safetensors")
    save_inverted(inverted(torch.full((4, 2, 8, 8), torch.nan)), tmp_path / "nan.safetensors")
    for name in ("cut", "other", "nan"):
        with pytest.raises(IVGError, match="holds no inverted clip"):
            load_inverted(tmp_path / f"{name}.safetensors")


def test_a_clip_is_inverted_once(t2v, clip, tmp_path):
    steps = []

    def run(frames=clip, model=t2v, **changes):
        settings = {"steps": 1, "size": (64, 48), "folder": tmp_path, **changes}
        return invert_once(model, frames, on_step=lambda *said: steps.append(said), **settings)

    assert torch.equal(run().latents, run(clip.clone()).latents) and len(steps) == 1
    run(prompt="a dog")
    run(size=(80, 64))
    run(clip.flip(0))
    assert len(steps) == 4
    other = IVGUNet.from_config(t2v.unet.config).eval()
    run(model=dataclasses.replace(t2v, unet=other))
    assert len(steps) == 5
