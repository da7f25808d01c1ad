"""ControlNets of clips: how strongly, and what does not fit. What they compute is in test_glv_more."""

import shutil

import pytest
import torch
from checkpoint_edits import edit_json

from ivg_core.checkpoints.control_nets import load_control_net
from ivg_core.errors import IVGError
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.control import Controlled
from ivg_core.models.told import Told


@pytest.fixture(scope="module")
def io(glv_more):
    return glv_more.io


@pytest.fixture(scope="module")
def plain(glv_more):
    return glv_more.backbone("sd1")


@pytest.fixture(scope="module")
def control_net(glv_more):
    return load_control_net(glv_more.folder / "sd1" / "controlnet").requires_grad_(False)


@pytest.fixture(scope="module")
def said(glv_more):
    return glv_more.said


@pytest.fixture(scope="module")
def edges(glv_more):
    return glv_more.edges()


def test_strength_zero_and_one_control_frame_for_all(plain, control_net, io, said, edges):
    clip = io["ctl_start_latents"]
    told = Told(said("night"), control=edges[:, :, :1])
    torch.testing.assert_close(Controlled(plain, control_net, 0.0)(clip, io["t"], told), plain(clip, io["t"], told))
    still = Told(said("night"), control=edges[:, :, :1].expand(-1, -1, clip.shape[2], -1, -1))
    held = Controlled(plain, control_net)
    assert torch.equal(held(clip, io["t"], told), held(clip, io["t"], still))
    assert not torch.equal(held(clip, io["t"], told), plain(clip, io["t"], told))


def test_a_control_video_of_another_size(plain, control_net, io, said, edges):
    held = Controlled(plain, control_net)
    with pytest.raises(IVGError, match="64 x 64 pixels, and is told none"):
        held(io["ctl_start_latents"], io["t"], Told(said("")))
    with pytest.raises(IVGError, match="64 x 64 pixels, and is told one of 32 x 64"):
        held(io["ctl_start_latents"], io["t"], Told(said(""), control=edges[..., :32]))


def test_a_control_net_for_another_model(plain, control_net, tiny_model, glv_more, tmp_path):
    with pytest.raises(IVGError, match="for image models"):
        Controlled(UNetBackbone(tiny_model, 2), control_net)
    path = shutil.copytree(glv_more.folder / "sd1" / "controlnet", tmp_path / "net")
    (path / "diffusion_pytorch_model.safetensors").rename(path / "gone")
    with pytest.raises(IVGError, match="no ControlNet in"):
        load_control_net(path)
    (path / "gone").rename(path / "diffusion_pytorch_model.safetensors")
    edit_json(path / "config.json", cross_attention_dim=12)
    with pytest.raises(IVGError, match="does not fit its config"):
        load_control_net(path)
    wide = type(control_net).from_config_dict({**control_net.config, "cross_attention_dim": 12})
    with pytest.raises(IVGError, match="made for another model: its cross_attention_dim is 12 and the model's 10"):
        Controlled(plain, wide)
    edit_json(path / "config.json", _class_name="SD3ControlNetModel")
    with pytest.raises(IVGError, match="no ControlNet but SD3ControlNetModel"):
        load_control_net(path)
