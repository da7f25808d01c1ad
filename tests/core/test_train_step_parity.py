"""One training step of the original code, recomputed: latents, motion score, prediction, loss, gradients."""

import pytest
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file
from torch.nn.functional import interpolate
from training_clips import denoising, learner

from ivg_core.checkpoints.load import load_model
from ivg_core.models.schedule import predict_x0
from ivg_core.training.asked import freeze_outside
from ivg_core.training.batches import Batch
from ivg_core.training.config import TrainConfig
from ivg_core.training.losses import latent_motion_score, motion_loss, noise_loss
from ivg_core.training.objective import Draw, PathDraw


@pytest.fixture(scope="module")
def stored(golden):
    return load_file(golden / "train_step.safetensors")


@pytest.fixture(scope="module")
def model(golden):
    return load_model(golden / "tiny_ckpt")


@torch.no_grad()
def encoded(model, stored) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    pixels = stored["pixel_uint8"].float() / 127.5 - 1  # (B, F, 3, H, W)
    modes = [model.vae.encode(frame[None]).latent_dist.mode() for frame in pixels.flatten(0, 1)]
    latents = (torch.cat(modes) * 0.18215).unflatten(0, pixels.shape[:2]).transpose(1, 2)  # (B, 4, F, h, w)
    mask = stored["mask_uint8"].float()[:, None] / 255
    mask = interpolate(mask, size=latents.shape[-2:], mode="bilinear", align_corners=False)
    mask = (mask >= 0.5).float()[:, :, None]  # (B, 1, 1, h, w)
    condition = latents[:, :, :1]
    return freeze_outside(latents, condition, mask), condition, mask


def test_inputs_of_the_step(model, stored):
    latents, condition, mask = encoded(model, stored)
    torch.testing.assert_close(latents, stored["kept.latents"], atol=1e-5, rtol=0)
    torch.testing.assert_close(condition, stored["kept.condition_latent"], atol=1e-5, rtol=0)
    assert torch.equal(mask, stored["kept.mask"])
    torch.testing.assert_close(latent_motion_score(latents), stored["kept.motion"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("branch", ["kept", "dropped"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_prediction_loss_and_gradients(golden, model, stored, branch, checkpointing):
    unet = model.unet
    unet.zero_grad()
    unet.enable_gradient_checkpointing() if checkpointing else unet.disable_gradient_checkpointing()
    scheduler = DDPMScheduler.from_pretrained(golden / "tiny_ckpt" / "scheduler")
    latents, condition, mask = encoded(model, stored)
    noise, timesteps = stored["kept.noise"], stored["kept.timesteps"]
    noisy = scheduler.add_noise(latents, noise, timesteps)
    with torch.no_grad():
        text = model.text_encoder(stored["prompt_ids" if branch == "kept" else "uncond_ids"])[0]
    motion = latent_motion_score(latents)

    pred = unet(noisy, timesteps, text, condition, mask=mask, motion=motion)
    x0 = predict_x0(noisy, pred, scheduler.alphas_cumprod[timesteps], "epsilon")
    loss = noise_loss(pred, noise) + 0.001 * motion_loss(x0, motion)
    loss.backward()

    torch.testing.assert_close(noisy, stored["kept.noisy"], atol=1e-5, rtol=0)
    torch.testing.assert_close(pred, stored[f"{branch}.model_pred"], atol=1e-5, rtol=0)
    torch.testing.assert_close(loss, stored[f"{branch}.loss"][0], rtol=1e-5, atol=0)
    gradients = {key.split("grad.")[1]: tensor for key, tensor in stored.items() if key.startswith(f"{branch}.grad.")}
    assert len(gradients) == 6
    for name, expected in gradients.items():
        difference = (unet.get_parameter(name).grad - expected).abs().max()
        assert difference <= 1e-4 * expected.abs().max(), name


@pytest.mark.parametrize("branch", ["kept", "dropped"])
def test_the_trainers_own_objective_gives_the_same(golden, model, stored, branch):
    unet = model.unet
    unet.zero_grad()
    unet.disable_gradient_checkpointing()
    pixels = stored["pixel_uint8"].float() / 127.5 - 1
    with torch.no_grad():
        modes = [model.vae.encode(frame[None]).latent_dist.mode() for frame in pixels.flatten(0, 1)]
        latents = (torch.cat(modes) * 0.18215).unflatten(0, pixels.shape[:2]).transpose(1, 2)
        text, empty = (model.text_encoder(stored[ids])[0] for ids in ("prompt_ids", "uncond_ids"))
    rom = stored["mask_uint8"].float() / 255
    batch = Batch(latents=latents, rom_mask=rom, text=text, empty_text=empty, name=["a", "b"])
    count = latents.shape[0]
    dropped = torch.full((count,), branch == "dropped")
    no = torch.zeros(count, dtype=torch.bool)
    draw = Draw(stored["kept.timesteps"], stored["kept.noise"], dropped, no, [PathDraw()])

    objective = denoising(TrainConfig(stage=2), model)
    loss, figures = objective.loss(learner(model, unet), batch, draw, torch.Generator())
    loss.backward()

    assert list(figures) == ["noise", "motion"]
    torch.testing.assert_close(loss, stored[f"{branch}.loss"][0], rtol=1e-5, atol=0)
    for key, expected in stored.items():
        if key.startswith(f"{branch}.grad."):
            difference = (unet.get_parameter(key.split("grad.")[1]).grad - expected).abs().max()
            assert difference <= 1e-4 * expected.abs().max(), key
