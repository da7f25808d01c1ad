"""The losses on cases that can be worked out by hand, and against the original code."""

import pytest
import torch
from safetensors.torch import load_file

from ivg_core.errors import IVGError
from ivg_core.models.schedule import predict_x0
from ivg_core.training.asked import freeze_outside
from ivg_core.training.losses import (
    latent_motion_score,
    motion_loss,
    noise_loss,
    soft_iou_loss,
)


def test_motion_score_equals_the_original(golden):
    stored = load_file(golden / "functions.safetensors")
    torch.testing.assert_close(latent_motion_score(stored["score.latents"]), stored["score.latent_motion"])


def test_one_frame_does_not_move():
    latents = torch.randn(2, 4, 1, 3, 3)
    assert torch.equal(latent_motion_score(latents), torch.zeros(2))
    assert motion_loss(latents, torch.tensor([3.0, 4.0])) == 12.5


def test_outside_the_mask_every_frame_is_the_photo():
    latents, photo = torch.randn(1, 4, 5, 2, 2), torch.randn(1, 4, 1, 2, 2)
    mask = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).reshape(1, 1, 1, 2, 2)
    frozen = freeze_outside(latents, photo, mask)
    assert torch.equal(frozen[..., 0], photo[..., 0].expand(1, 4, 5, 2))
    assert torch.equal(frozen[..., 1], latents[..., 1])


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_x0_comes_back(prediction_type):
    x0, noise, a = torch.randn(2, 4, 3, 2, 2), torch.randn(2, 4, 3, 2, 2), torch.tensor([0.9, 0.2])
    keep, add = a.sqrt().reshape(2, 1, 1, 1, 1), (1 - a).sqrt().reshape(2, 1, 1, 1, 1)
    output = {"epsilon": noise, "v_prediction": keep * noise - add * x0, "sample": x0}[prediction_type]
    torch.testing.assert_close(predict_x0(keep * x0 + add * noise, output, a, prediction_type), x0, atol=1e-5, rtol=0)


def test_an_unknown_prediction_type_is_refused():
    with pytest.raises(IVGError, match="velocity"):
        predict_x0(torch.zeros(1, 4, 1, 1, 1), torch.zeros(1, 4, 1, 1, 1), torch.ones(1), "velocity")


def test_noise_loss_weights_items_or_places():
    pred, target = torch.ones(2, 4, 3, 2, 2), torch.zeros(2, 4, 3, 2, 2)
    assert noise_loss(pred, target) == 1
    assert noise_loss(pred, target, torch.tensor([0.0, 3.0])) == 1.5
    assert noise_loss(pred, target, torch.full((2, 1, 3, 2, 2), 2.0)) == 2


def test_soft_iou():
    left = torch.zeros(1, 3, 4, 4)
    left[..., :2] = 1
    assert soft_iou_loss(left, left) == 0
    assert soft_iou_loss(left, 1 - left).item() == pytest.approx(1, abs=1e-6)
    assert soft_iou_loss(torch.zeros_like(left), torch.zeros_like(left)) == 0
    assert soft_iou_loss(left, torch.ones_like(left)).item() == pytest.approx(0.5)
    assert soft_iou_loss(left, left, paper_norm=True).item() == pytest.approx(0.25)


def test_soft_iou_has_a_gradient():
    generated = torch.full((1, 2, 4, 4), 0.5, requires_grad=True)
    target = torch.zeros(1, 2, 4, 4)
    target[..., :2] = 1
    soft_iou_loss(generated, target).backward()
    assert generated.grad is not None
    assert (generated.grad[..., :2] < 0).all() and (generated.grad[..., 2:] > 0).all()
