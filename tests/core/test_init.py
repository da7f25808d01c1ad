"""The first IVG model from a text-to-video one: it begins as what it was."""

import shutil

import pytest
import torch
from diffusers import UNet3DConditionModel

from ivg_core.checkpoints.init import init_model
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.save import save_folder
from ivg_core.cli import main
from ivg_core.errors import IVGError

NETWORK = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
    "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "attention_head_dim": 8,
}


@pytest.fixture(scope="module")
def base(golden, tmp_path_factory):
    folder = shutil.copytree(golden / "tiny_ckpt", tmp_path_factory.mktemp("base") / "zeroscope")
    shutil.rmtree(folder / "unet")
    torch.manual_seed(0)
    unet = UNet3DConditionModel(**NETWORK)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    unet.save_pretrained(folder / "unet")
    return folder


@torch.no_grad()
def test_it_begins_as_the_base_model_whatever_the_mask(base):
    model = init_model(base)
    sample, text, photo = torch.randn(1, 4, 3, 8, 8), torch.randn(1, 7, 32), torch.randn(1, 4, 1, 8, 8)
    theirs = UNet3DConditionModel.from_pretrained(base / "unet").eval()
    expected = theirs(torch.cat([photo, sample], dim=2), 500, text).sample[:, :, 1:]
    for mask in (torch.zeros(1, 1, 1, 8, 8), torch.rand(1, 1, 1, 8, 8), None):
        torch.testing.assert_close(model.unet(sample, 500, text, photo, mask=mask), expected, atol=1e-5, rtol=1e-5)


def test_what_is_random_follows_the_seed(base):
    first, same, other = (init_model(base, seed=seed).unet.time_embedding.cond_proj.weight for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert first.abs().max() <= 32**-0.5
    assert not init_model(base).unet.motion_embedding[2].weight.any()


def test_it_is_a_checkpoint_like_any_other(base, tmp_path):
    model = load_model(save_folder(init_model(base), tmp_path / "ivg"))
    assert model.unet.config["motion_mask"] and model.unet.config["motion_strength"]


def test_an_ivg_checkpoint_is_refused(golden):
    with pytest.raises(IVGError, match="already"):
        init_model(golden / "tiny_ckpt")


def test_the_command_writes_one_that_trains_and_replaces_nothing(base, tmp_path, capsys):
    out = tmp_path / "new"
    assert main(["init-model", str(base), "--out", str(out), "--seed", "3"]) == 0
    unet, expected = load_model(out).unet.state_dict(), init_model(base, seed=3).unet.state_dict()
    assert unet.keys() == expected.keys() and all(torch.equal(unet[key], expected[key]) for key in unet)
    assert main(["init-model", str(base), "--out", str(out)]) == 2
    assert "not empty" in capsys.readouterr().err
