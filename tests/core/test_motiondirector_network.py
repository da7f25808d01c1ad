"""The text-to-video network against numbers that MotionDirector's code made."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.errors import IVGError
from ivg_core.models.lora import applied_lora
from ivg_core.models.unet import IVGUNet

GOLDEN = Path(__file__).parents[1] / "golden" / "motiondirector"
META = json.loads((GOLDEN / "meta.json").read_text())


@pytest.fixture(scope="module")
def io():
    return load_file(GOLDEN / "io.safetensors")


@pytest.fixture
def unet():
    network = IVGUNet.from_config_dict({**META["config"], "photo": False})
    network.load_state_dict({key: t.float() for key, t in load_file(GOLDEN / "unet.safetensors").items()})
    return network.eval()


@torch.no_grad()
def test_a_text_to_video_network_is_the_reference(unet, io):
    out = unet(io["sample"], io["timestep"], io["ehs"])
    torch.testing.assert_close(out, io["out_base"], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("parity", "name"), [(False, "out_base_1f_gc"), (True, "out_base_1f")])
def test_one_frame_passes_no_layer_over_time(unet, io, parity, name):
    unet.parity = parity
    out = unet(io["sample_1f"], io["timestep"], io["ehs"])
    torch.testing.assert_close(out, io[name], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("scales", ["0_0", "0_1", "0_0.5", "1_0", "0.7_1"])
def test_released_lists_change_the_network_as_the_reference(unet, io, scales):
    spatial, temporal = (float(scale) for scale in scales.split("_"))
    name = "out_s" + "_t".join(scale.replace(".", "") for scale in scales.split("_"))
    lists = {kind: read_lora(GOLDEN / f"lora/checkpoint-3/{kind}/lora/3_unet.pt", unet) for kind in KINDS}
    with applied_lora(unet, lists["spatial"], spatial), applied_lora(unet, lists["temporal"], temporal):
        out = unet(io["sample"], io["timestep"], io["ehs"])
    torch.testing.assert_close(out, io[name], atol=1e-5, rtol=0)


KINDS = ("spatial", "temporal")


def test_a_folder_of_diffusers_without_a_photo_input_loads():
    model = load_model(GOLDEN / "training" / "model")
    assert not model.takes_photo
    assert "conv_in2.weight" not in model.unet.state_dict()


def test_it_is_no_stage_1():
    with pytest.raises(IVGError, match="predicts no masks"):
        load_model("embedded", rom=GOLDEN / "training" / "model")
