"""T2I-Adapters: how they are loaded, that they are an equal of a ControlNet, and what does not fit."""

import copy
import shutil

import pytest
import torch
from checkpoint_edits import edit_json
from diffusers import T2IAdapter
from safetensors.torch import load_file, save_file

from ivg_core.checkpoints.control_nets import load_control_net
from ivg_core.checkpoints.load import load_model
from ivg_core.errors import IVGError
from ivg_core.models.adapter import FrameAdapter
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.control import Controlled, InflatedControlNet
from ivg_core.models.told import Told

RELEASED = "t2i_adapter.safetensors"
CHANNELS = [16, 8]


@pytest.fixture(scope="module")
def io(glv_more):
    return glv_more.io


@pytest.fixture(scope="module")
def plain(glv_more):
    return glv_more.backbone("sd1")


@pytest.fixture(scope="module")
def adapter(glv_more):
    return load_control_net(glv_more.folder / RELEASED).requires_grad_(False)


@pytest.fixture(scope="module")
def shown():
    """A control video (1, 3, 4, 64, 64)."""
    return torch.rand(1, 3, 4, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def told(glv_more, shown):
    return Told(glv_more.said("night"), control=shown)


@pytest.fixture
def folder(adapter, tmp_path):
    """The adapter as diffusers writes it."""
    theirs = T2IAdapter(channels=CHANNELS)
    theirs.load_state_dict(adapter.state_dict())
    theirs.save_pretrained(tmp_path / "folder")
    return tmp_path / "folder"


def test_every_number_of_the_folder(follow_pose):
    with torch.no_grad():
        found = list(follow_pose.adapter())
    assert len(found) == 3 and not [str(check) for check in found if not check.within]


def test_every_layout_gives_the_same_network(adapter, glv_more, folder, tmp_path):
    weights = {name: x.clone() for name, x in load_file(glv_more.folder / RELEASED).items()}
    torch.save(weights, tmp_path / "adapter.pth")
    torch.save({"state_dict": weights}, tmp_path / "adapter.bin")
    (tmp_path / "named").mkdir()  # diffusers' folder around the released file
    shutil.copy(folder / "config.json", tmp_path / "named")
    save_file(weights, tmp_path / "named" / "diffusion_pytorch_model.safetensors")
    for source in ("folder", "adapter.pth", "adapter.bin", "named"):
        made = load_control_net(tmp_path / source)
        assert not made.training and made.config["channels"] == CHANNELS
        assert all(torch.equal(x, adapter.state_dict()[name]) for name, x in made.state_dict().items())
    assert load_control_net(tmp_path / "folder", dtype=torch.bfloat16).dtype == torch.bfloat16


def test_how_strongly_and_one_frame_for_all(plain, adapter, io, told, shown):
    clip = io["x"]
    with torch.no_grad():
        free = plain(clip, io["t"], told)
        assert torch.equal(Controlled(plain, adapter, 0.0)(clip, io["t"], told), free)
        held = Controlled(plain, adapter)
        assert not torch.equal(held(clip, io["t"], told), free)
        one = Told(told.text, control=shown[:, :, :1])
        still = Told(told.text, control=shown[:, :, :1].expand(2, -1, 4, -1, -1))
        torch.testing.assert_close(held(clip, io["t"], one), held(clip, io["t"], still))


def test_the_last_level_is_left_out_for_parity_alone(adapter, io, shown):
    asked = io["x"], io["t"], torch.empty(1, 1, 1), shown, 0.5
    levels = adapter(*asked).levels
    assert [x.shape for x in levels] == [(8, 16, 8, 8), (8, 8, 4, 4)]
    adapter.parity = True
    try:
        released = adapter(*asked).levels
    finally:
        adapter.parity = False
    assert len(released) == 1 and torch.equal(released[0], levels[0])


def test_grey_pictures_for_an_adapter_of_one_channel(plain, io, told, shown):
    grey = FrameAdapter.from_config_dict({"in_channels": 1, "channels": CHANNELS}).eval()
    with torch.no_grad():
        ours = grey(io["x"], io["t"], told.text, shown, 1.0).levels
        mean = shown.mean(1, keepdim=True).expand_as(shown)
        assert all(map(torch.allclose, ours, grey(io["x"], io["t"], told.text, mean, 1.0).levels))
        assert not torch.equal(Controlled(plain, grey)(io["x"], io["t"], told), plain(io["x"], io["t"], told))


def test_frames_are_looked_at_one_by_one(adapter, io, told, shown):
    other = shown.clone()
    other[:, :, 2] = 0
    pairs = zip(*(adapter(io["x"], io["t"], told.text, video, 1.0).levels for video in (shown, other)), strict=True)
    for before, after in pairs:
        changed = (before != after).flatten(1).any(1).view(2, 4)
        assert changed.tolist() == [[False, False, True, False]] * 2


def test_a_control_video_that_does_not_fit(plain, adapter, io, told, shown):
    held = Controlled(plain, adapter)
    wrong = {"64 x 64 pixels, and is told none": None, "is told one of 32 x 64": shown[..., :32]}
    for said, video in (wrong | {"has 3 frames and the video 4": shown[:, :, :3]}).items():
        with pytest.raises(IVGError, match=said):
            held(io["x"], io["t"], Told(told.text, control=video))


def test_an_adapter_of_other_widths(plain):
    with pytest.raises(IVGError, match=r"its channels are \[16, 24\] and the model's \[16, 8\]"):
        Controlled(plain, FrameAdapter(channels=[16, 24]))


@pytest.mark.parametrize(
    "changed", [{"adapter_type": "light_adapter"}, {"adapter_type": "full_adapter_xl"}, {"downscale_factor": 16}]
)
def test_an_adapter_of_another_kind(folder, changed):
    edit_json(folder / "config.json", **changed)
    with pytest.raises(IVGError, match="give a full_adapter for Stable Diffusion, which takes 1 or 3 channels"):
        load_control_net(folder)


@pytest.mark.parametrize("changed", [{"num_res_blocks": 10**9}, {"channels": "wide"}])
def test_a_config_that_makes_no_sense(folder, changed):
    edit_json(folder / "config.json", **changed)
    with pytest.raises(IVGError, match="download it again"):
        load_control_net(folder)


def test_what_is_no_adapter(glv_more, folder, tmp_path):
    with pytest.raises(IVGError, match="no full T2I-Adapter; a ControlNet is a folder"):
        load_control_net(glv_more.folder / "sd1" / "controlnet" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(IVGError, match="no full T2I-Adapter"):
        load_control_net(folder / "config.json")
    with pytest.raises(IVGError, match="no ControlNet in"):
        load_control_net(tmp_path / "nowhere")
    short = {name: x for name, x in load_file(glv_more.folder / RELEASED).items() if name != "body.2.in_conv.bias"}
    save_file(short, tmp_path / "short.safetensors")
    with pytest.raises(IVGError, match=r"1 missing: adapter\.body\.1\.in_conv\.bias"):
        load_control_net(tmp_path / "short.safetensors")
    (tmp_path / "half.safetensors").write_bytes((glv_more.folder / RELEASED).read_bytes()[:2000])
    with pytest.raises(IVGError, match="half-downloaded or damaged"):
        load_control_net(tmp_path / "half.safetensors")


def test_an_adapter_is_no_model(glv_more):
    with pytest.raises(IVGError, match="is a T2I-Adapter: load a model of Stable Diffusion"):
        load_model(glv_more.folder / RELEASED)


def test_gradients_pass_it_whatever_is_recomputed(plain, adapter, io, told):
    def gradients(recomputed):
        network = copy.deepcopy(plain.network).requires_grad_(True).train()
        if recomputed:
            network.enable_gradient_checkpointing()
        held = UNetBackbone(plain.model, 2, network)
        Controlled(held, adapter)(io["x"], io["t"], told).square().mean().backward()
        return {name: p.grad for name, p in network.named_parameters()}

    kept, recomputed = gradients(False), gradients(True)
    for name, gradient in kept.items():
        torch.testing.assert_close(recomputed[name], gradient, msg=name)


def test_either_kind_where_the_other_might_be_meant(glv_more):
    assert isinstance(load_control_net(glv_more.folder / RELEASED), FrameAdapter)
    assert isinstance(load_control_net(glv_more.folder / "sd1" / "controlnet"), InflatedControlNet)
