"""Several ways through the network in one step: which roles learn, which only sound, and what the sum of them is."""

import pytest
import torch
from torch import nn
from training_clips import clip, clips, small

from ivg_core.errors import IVGError
from ivg_core.models.backbone import UNetBackbone
from ivg_core.training.backbone import TrainableUNet
from ivg_core.training.batches import collate
from ivg_core.training.config import LoRASettings, TrainConfig, TrainingPath
from ivg_core.training.learner import Learner, LoRALayers
from ivg_core.training.objective import Denoising
from ivg_core.training.trainer import train

BOTH = {"spatial": LoRASettings(4), "temporal": LoRASettings(4)}
#: MotionDirector's: what things look like on one frame, how they move on all of them.
LOOKS = TrainingPath({"noise": 1.0}, learns=["spatial"], frames="one", name="looks")
MOVES = TrainingPath({"noise": 1.0}, learns=["temporal"], sounds=["spatial"], name="moves")


def batch():
    return collate([clip(seed) for seed in range(2)])


@pytest.fixture
def lora(tiny_model):
    torch.manual_seed(0)
    layers = LoRALayers(UNetBackbone(tiny_model, 2), BOTH)
    for layer in layers.layers.values():
        nn.init.normal_(layer.up.weight, std=0.05)
    return layers


def gradients(model, lora, *paths, checkpointing=False):
    """Gradients by role, and the figures, of one step over these paths."""
    config = TrainConfig(lora=BOTH, paths=list(paths), text_dropout=0)
    backbone = TrainableUNet(model, config)
    lora.zero_grad()
    model.unet.requires_grad_(False)
    model.unet.gradient_checkpointing = checkpointing
    try:
        with lora.attached(model.unet):
            loss, figures = Denoising(config, backbone)(
                Learner(backbone, lora), batch(), torch.Generator().manual_seed(3)
            )
            loss.backward()
    finally:
        model.unet.gradient_checkpointing = False
        model.unet.requires_grad_(True)  # the other tests share it
    found = {role: [p.grad for p in lora.groups()[role, None]] for role in BOTH}
    return {
        role: None if grads[0] is None else torch.cat([g.flatten() for g in grads]) for role, grads in found.items()
    }, figures


def test_only_what_learns_has_a_gradient(tiny_model, lora):
    grads, figures = gradients(tiny_model, lora, MOVES)
    assert grads["spatial"] is None and grads["temporal"].abs().sum() > 0 and list(figures) == ["moves_noise"]
    grads, figures = gradients(tiny_model, lora, LOOKS)
    assert grads["temporal"] is None and grads["spatial"].abs().sum() > 0 and list(figures) == ["looks_noise"]


def test_what_sounds_is_heard_and_what_is_silent_is_not(tiny_model, lora):
    silent = TrainingPath({"noise": 1.0}, learns=["temporal"], name="moves")
    heard, unheard = (gradients(tiny_model, lora, path)[1]["moves_noise"] for path in (MOVES, silent))
    assert not torch.isclose(heard, unheard, rtol=1e-4)
    before = [p.detach().clone() for p in lora.groups()["spatial", None]]
    with torch.no_grad():
        for p in lora.groups()["spatial", None]:
            p.zero_()
    assert torch.isclose(gradients(tiny_model, lora, MOVES)[1]["moves_noise"], unheard)
    with torch.no_grad():
        for p, value in zip(lora.groups()["spatial", None], before, strict=True):
            p.copy_(value)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_one_backward_pass_gives_each_role_its_own_paths_gradient(tiny_model, lora, checkpointing):
    """Also where layers are recomputed after both passes: each hears again what it heard."""
    moves = gradients(tiny_model, lora, MOVES)[0]["temporal"]
    together, figures = gradients(tiny_model, lora, MOVES, LOOKS, checkpointing=checkpointing)
    torch.testing.assert_close(together["temporal"], moves, rtol=1e-5, atol=1e-8)
    assert together["spatial"].abs().sum() > 0 and set(figures) == {"moves_noise", "looks_noise"}


def test_a_path_of_all_roles_is_the_plain_training(tiny_model, lora):
    plain = TrainConfig(lora=BOTH, losses={"noise": 1.0}, text_dropout=0)
    backbone = TrainableUNet(tiny_model, plain)
    with torch.no_grad(), lora.attached(tiny_model.unet):
        one = Denoising(plain, backbone)(Learner(backbone, lora), batch(), torch.Generator().manual_seed(3))[0]
        path = TrainConfig(lora=BOTH, paths=[TrainingPath({"noise": 1.0}, learns=list(BOTH))], text_dropout=0)
        other = Denoising(path, backbone)(Learner(backbone, lora), batch(), torch.Generator().manual_seed(3))[0]
    assert torch.equal(one, other)


def test_a_path_is_taken_in_its_share_of_the_steps(tiny_model, tmp_path):
    rare = TrainingPath({"noise": 1.0}, learns=["spatial"], chance=0.5, name="rare")
    config = small(tmp_path, steps=12, lora=BOTH, paths=[MOVES, rare])
    history = train(config, tiny_model, clips()).history
    taken = sum("rare_noise" in figures for figures in history)
    assert 2 <= taken <= 10 and all("moves_noise" in figures for figures in history)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"losses": {"noise": 1.0}}, "remove losses"),
        ({"method": "full"}, "method lora"),
        ({"paths": [TrainingPath({"noise": 1.0}, learns=["text"])]}, "no role 'text'"),
        ({"paths": [TrainingPath({"noise": 1.0}, learns=["spatial"], chance=0.0)]}, "chance"),
    ],
)
def test_paths_that_cannot_be_are_said(values, sentence):
    with pytest.raises(IVGError, match=sentence):
        TrainConfig(**({"lora": BOTH, "paths": [MOVES]} | values))
