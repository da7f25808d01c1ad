"""LoRA sites, the released list format against the original code, other formats, adding and taking off."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_core.checkpoints.lora_keys import modelscope_name
from ivg_core.errors import IVGError
from ivg_core.models.lora import (
    LAYER_TYPES,
    LoRA,
    applied_lora,
    lora_sites,
    merge_lora,
    unmerge_lora,
)
from ivg_core.models.unet import IVGUNet

RELEASED = "lora_cloneofsimo_r2.pt"


@pytest.fixture(scope="module")
def unet(golden):
    return load_model(golden / "tiny_ckpt").unet


@pytest.fixture(scope="module")
def released(golden, unet):
    return read_lora(golden / RELEASED, unet)


@pytest.fixture(scope="module")
def predict(golden, unet):
    stored = load_file(golden / "unet_io.safetensors")
    call = {key.split(".")[1]: tensor for key, tensor in stored.items() if key.startswith("u_b1_f4.")}
    plain = call.pop("out")

    @torch.no_grad()
    def predict():
        return unet(**call)

    predict.plain = plain
    return predict


def test_released_list_equals_the_original(golden, unet, released, predict):
    assert list(released.layers) == json.loads((golden / "lora_module_order.json").read_text())
    expected = load_file(golden / "lora_out.safetensors")["u_b1_f4.out_with_lora"]
    with applied_lora(unet, released):
        torch.testing.assert_close(predict(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(predict(), predict.plain, atol=1e-5, rtol=0)


def test_taking_off_restores_every_bit(unet, released):
    before = {key: tensor.clone() for key, tensor in unet.state_dict().items()}
    original = merge_lora(unet, released, strength=0.7)
    assert not torch.equal(unet.conv_out.weight, before["conv_out.weight"])
    unmerge_lora(unet, original)
    assert all(torch.equal(tensor, before[key]) for key, tensor in unet.state_dict().items())


def test_strength_scales_the_change(unet, released):
    weight = unet.conv_out.weight.detach().clone()
    with applied_lora(unet, released, strength=-0.5):
        change = released.change("conv_out", weight)
        torch.testing.assert_close(unet.conv_out.weight, weight - 0.5 * change)


def test_round_trip(tmp_path, unet, released):
    lora = LoRA(released.layers, scales={"conv_out": 0.5}, metadata={"prompt": "stir"})
    again = read_lora(save_lora(lora, tmp_path / "x.safetensors", {"steps": "10"}), unet)
    assert again.metadata == {"prompt": "stir", "steps": "10"}
    assert again.scales == {"conv_out": 0.5}
    assert again.layers.keys() == lora.layers.keys()
    for name, (up, down) in lora.layers.items():
        assert torch.equal(again.layers[name][0], up) and torch.equal(again.layers[name][1], down)


@pytest.mark.parametrize(
    ("up_key", "down_key"),
    [
        ("base_model.model.{}.lora_B.weight", "base_model.model.{}.lora_A.weight"),
        ("unet.{}.lora_B.default.weight", "unet.{}.lora_A.default.weight"),
        ("{}.lora_B", "{}.lora_A"),
        ("lora_unet_{_}.lora_up.weight", "lora_unet_{_}.lora_down.weight"),
    ],
)
def test_other_names_for_the_same(tmp_path, unet, up_key, down_key):
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    up, down = torch.randn(32, 2), torch.randn(2, 32)
    keys = {pattern.format(name, _=name.replace(".", "_")): half for pattern, half in ((up_key, up), (down_key, down))}
    save_file(keys, tmp_path / "x.safetensors")
    lora = read_lora(tmp_path / "x.safetensors", unet)
    torch.testing.assert_close(lora.change(name, unet.get_submodule(name).weight), up @ down)


def test_kohya_alpha(tmp_path, unet):
    name = "conv_out"
    halves = {f"{name}.lora_up.weight": torch.randn(4, 2, 1, 1), f"{name}.lora_down.weight": torch.randn(2, 32, 3, 3)}
    save_file({**halves, f"{name}.alpha": torch.tensor(1.0)}, tmp_path / "x.safetensors")
    assert read_lora(tmp_path / "x.safetensors", unet).scales == {name: 0.5}


@pytest.mark.parametrize(
    ("name", "modelscope"),
    [
        ("conv_in", "input_blocks.0.0"),
        ("transformer_in.proj_in", "input_blocks.0.1.proj_in"),
        ("down_blocks.0.resnets.0.conv1", "input_blocks.1.0.in_layers.2"),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.op"),
        ("down_blocks.1.resnets.0.conv_shortcut", "input_blocks.4.0.skip_connection"),
        ("down_blocks.2.temp_attentions.1.proj_out", "input_blocks.8.2.proj_out"),
        ("mid_block.resnets.1.time_emb_proj", "middle_block.3.emb_layers.1"),
        ("mid_block.attentions.0.proj_in", "middle_block.1.proj_in"),
        ("mid_block.temp_convs.1.conv1.2", "middle_block.3.temopral_conv.conv1.2"),
        ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.1.conv"),
        ("up_blocks.1.upsamplers.0.conv", "output_blocks.5.3.conv"),
        ("up_blocks.3.temp_attentions.2.proj_in", "output_blocks.11.2.proj_in"),
    ],
)
def test_modelscope_names_as_their_converter_writes_them(name, modelscope):
    with torch.device("meta"):
        unet = IVGUNet(motion_mask=True, motion_strength=True)
    assert modelscope_name(name, unet) == modelscope
    unet.get_submodule(name)


def test_modelscope_names_are_distinct(unet):
    names = [modelscope_name(name, unet) for name, module in unet.named_modules() if isinstance(module, LAYER_TYPES)]
    assert len(set(names)) == len(names)


def test_stable_lora_for_web_interfaces(tmp_path, unet):
    spatial, temporal = "down_blocks.0.resnets.0.conv1", "down_blocks.0.temp_convs.0.conv1.2"
    keys = {}
    for name in (spatial, temporal):  # rank 2, as k times as many rows and columns
        out, width, k = unet.get_submodule(name).weight.shape[:3]
        keys[modelscope_name(name, unet) + ".lora_A"] = torch.randn(2 * k, width * k)
        keys[modelscope_name(name, unet) + ".lora_B"] = torch.randn(out * k, 2 * k)
    save_file(keys, tmp_path / "webui_x.safetensors")
    lora = read_lora(tmp_path / "webui_x.safetensors", unet)
    assert lora.layers.keys() == {spatial, temporal}
    for name in (spatial, temporal):
        weight, stem = unet.get_submodule(name).weight, modelscope_name(name, unet)
        product = keys[stem + ".lora_B"] @ keys[stem + ".lora_A"]
        wanted = product.view(weight.shape) if name == spatial else product.view(*weight.shape[:3], 3, 1).mean(-2)
        torch.testing.assert_close(lora.change(name, weight), wanted.view(weight.shape))
    again = read_lora(save_lora(lora, tmp_path / "ours.safetensors"), unet)
    assert again.layers.keys() == lora.layers.keys()


def test_roles_cover_the_full_network_as_its_relatives_count_it():
    with torch.device("meta"):
        unet = IVGUNet(motion_mask=True, motion_strength=True)
    spatial, temporal, text = (lora_sites(unet, [role]) for role in ("spatial", "temporal", "text"))
    assert (len(spatial), len(temporal), len(text)) == (96, 170, 64)
    assert list(lora_sites(unet)) != list(spatial) and len(lora_sites(unet)) == 266
    assert next(iter(temporal)).startswith("transformer_in.") and list(temporal)[-1].startswith("mid_block.")
    assert "conv_in2" in lora_sites(unet, ["conv"])
    with pytest.raises(IVGError, match="Unknown LoRA role motion"):
        lora_sites(unet, ["motion"])


@pytest.mark.parametrize("role", ["temporal", "spatial"])
def test_lists_of_motion_director(tmp_path, unet, role):
    sites = lora_sites(unet, [role])
    tensors = []
    for site in sites.values():
        tensors += [torch.randn(site.out_features, 1), torch.randn(1, site.in_features)]
    torch.save(tensors, tmp_path / "300_unet.pt")
    assert list(read_lora(tmp_path / "300_unet.pt", unet).layers) == list(sites)


def refuse(path, unet, *words):
    with pytest.raises(IVGError) as raised:
        read_lora(path, unet)
    assert all(word in str(raised.value) for word in words), raised.value


def test_wrong_files(golden, tmp_path, unet):
    refuse(tmp_path / "none.pt", unet, "no LoRA file at")
    refuse(golden / "unet_io.safetensors", unet, "holds no LoRA for this UNet")
    torch.save({"a": torch.zeros(1)}, tmp_path / "dict.pt")
    refuse(tmp_path / "dict.pt", unet, "holds no LoRA for this UNet")
    torch.save([torch.zeros(4, 2), torch.zeros(2, 4)], tmp_path / "short.pt")
    refuse(tmp_path / "short.pt", unet, "another network", "2 tensors", "168 (released training)")
    (tmp_path / "cut.pt").write_bytes((golden / RELEASED).read_bytes()[:5000])
    refuse(tmp_path / "cut.pt", unet, "half-downloaded")
    save_file({"conv_out.lora_up.weight": torch.zeros(4, 1, 1, 1)}, tmp_path / "half.safetensors")
    refuse(tmp_path / "half.safetensors", unet, "conv_out has only half")


def test_a_list_for_a_wider_network_is_refused(golden, tmp_path, unet):
    tensors = torch.load(golden / RELEASED, weights_only=True)
    tensors[0] = torch.cat([tensors[0], tensors[0]])
    torch.save(tensors, tmp_path / "wide.pt")
    refuse(tmp_path / "wide.pt", unet, "does not fit the model", "conv_in")


def test_a_lora_that_does_not_fit_changes_nothing(unet):
    before = {key: tensor.clone() for key, tensor in unet.state_dict().items()}
    lora = LoRA({"conv_out": (torch.ones(4, 1), torch.ones(1, 288)), "conv_in2": (torch.ones(9, 1), torch.ones(1, 9))})
    with pytest.raises(IVGError, match="does not fit"):
        merge_lora(unet, lora)
    assert all(torch.equal(tensor, before[key]) for key, tensor in unet.state_dict().items())
