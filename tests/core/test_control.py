"""ControlNets of clips: against what Gen-L-Video's own code computed, and what does not fit."""

import json
import shutil

import pytest
import torch
from checkpoint_edits import edit_json
from glv import FLAT, close, recorded
from safetensors.torch import load_file

from ivg_core.checkpoints.control_nets import load_control_net
from ivg_core.checkpoints.load import load_model
from ivg_core.errors import IVGError
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.control import Controlled
from ivg_core.models.told import Told
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.guidance import Guided
from ivg_core.sampling.solver import make_inverse, make_solver
from ivg_core.sampling.windowed import Windowed


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
def plain(folder):
    return UNetBackbone(load_model(folder / "sd1"), 2)


@pytest.fixture(scope="module")
def control_net(folder):
    return load_control_net(folder / "sd1" / "controlnet").requires_grad_(False)


@pytest.fixture(scope="module")
def said(meta, io):
    return lambda sentence: io["text_table"][meta["text_table"].index(sentence)][None]


@pytest.fixture(scope="module")
def edges(io):
    """The control video (1, 3, T, H, W)."""
    return (io["ctl_edges_u8"].float() / 255).repeat(1, 3, 1, 1).transpose(0, 1)[None]


def windowed(network, part, solver):
    return Windowed(network, ContextWindows(part["w"], part["s"], **FLAT), part["w"], solver.timesteps)


def test_what_a_control_net_adds(plain, control_net, meta, io, said, edges):
    part = meta["params"]["ctl"]
    frames, clip = part["w"], io["ctl_start_latents"][:, :, : part["w"]]
    added = control_net(clip, io["t"], said("night"), edges[:, :, :frames], part["scale"])
    for i, residual in enumerate(added.down):
        expected = io[f"ctl_down_{i}"].float()
        close(residual.transpose(0, 1)[None], expected, max(1e-5, 1e-3 * float(expected.abs().max())))  # stored in fp16
    close(added.mid.transpose(0, 1)[None], io["ctl_mid"], 1e-5)
    controlled = Controlled(plain, control_net, part["scale"])
    close(controlled(clip, io["t"], Told(said("night"), control=edges[:, :, :frames])), io["ctl_unet_out"], 1e-5)


def test_video_to_video_over_windows(plain, control_net, meta, io, said, edges):
    part, config = meta["params"]["ctl"], plain.model.scheduler_config
    controlled = Controlled(plain, control_net, part["scale"])
    done = int(part["steps"] * part["strength"])

    solver = make_inverse(config, part["steps"])
    solver.timesteps = solver.timesteps[:done]
    rungs = [(1.0, Told(said(""), control=edges))]
    steps = recorded(Guided(windowed(controlled, part, solver), rungs), solver, io["ctl_start_latents"])
    close(steps[-1], io["ctl_inverted"])

    solver = make_solver(config, part["steps"], "ddim")
    solver.timesteps = solver.timesteps[-done:]
    assert solver.timesteps.tolist() == meta["ctl"]["timesteps"]
    told = [Told(said(meta["ctl"][name]), control=edges) for name in ("negative", "prompt")]
    predict = Guided(windowed(controlled, part, solver), [(1.0, told[0]), (part["g"], told[1])])
    close(recorded(predict, solver, io["ctl_inverted"]), io["ctl_steps"])


def test_inpainting_with_a_control_net(folder, tmp_path, meta, io, said):
    part = meta["params"]["inp"]
    path = shutil.copytree(folder / "sd1", tmp_path / "painting")
    shutil.copytree(folder / "sd2_inpaint" / "unet", path / "unet", dirs_exist_ok=True)
    painting = UNetBackbone(load_model(path), 2)
    controlled = Controlled(painting, load_control_net(folder / "sd2_inpaint" / "controlnet"), part["scale"])
    ids = io["inp_segmap_u8"].float()  # of segments, as they are
    control = torch.cat([ids, torch.zeros_like(ids), torch.zeros_like(ids)], 1).transpose(0, 1)[None]
    beside = torch.cat([io["inp_mask_latent"], io["inp_masked_latents"]], 1).transpose(0, 1)[None]
    told = [Told(said(sentence), beside=beside, control=control) for sentence in ("", meta["inp"]["prompt"])]
    solver = make_solver(painting.model.scheduler_config, part["steps"], "ddim")
    predict = Guided(windowed(controlled, part, solver), [(1.0, told[0]), (part["g"], told[1])])
    with torch.no_grad():
        close(recorded(predict, solver, io["inpctl_inverted"]), io["inpctl_steps"])


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


def test_a_control_net_for_another_model(plain, control_net, tiny_model, folder, tmp_path):
    with pytest.raises(IVGError, match="for image models"):
        Controlled(UNetBackbone(tiny_model, 2), control_net)
    path = shutil.copytree(folder / "sd1" / "controlnet", tmp_path / "net")
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
