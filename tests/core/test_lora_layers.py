"""LoRA layers in training: silent at first, equal to the patch they become, gone without a trace."""

import copy

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_core.errors import IVGError
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.lora import applied_lora, lora_sites
from ivg_core.training.config import LoRASettings
from ivg_core.training.learner import LoRALayers, LowRankLayer

ALL_ROLES = {role: LoRASettings(rank=3, alpha=1.5) for role in ("spatial", "temporal", "text", "conv")}


@pytest.fixture(scope="module")
def call(golden):
    stored = load_file(golden / "unet_io.safetensors")
    call = {key.split(".")[1]: tensor for key, tensor in stored.items() if key.startswith("u_b1_f4.")}
    call.pop("out")
    return call


@pytest.fixture(scope="module")
def predict(call, tiny_model):
    @torch.no_grad()
    def predict():
        return tiny_model.unet(**call)

    return predict


def trained(model, settings=ALL_ROLES) -> LoRALayers:
    torch.manual_seed(0)
    layers = LoRALayers(UNetBackbone(model, 2), settings)
    for layer in layers.layers.values():
        nn.init.normal_(layer.up.weight, std=0.02)
    return layers


def test_fresh_layers_change_nothing(tiny_model, predict):
    plain = predict()
    with LoRALayers(UNetBackbone(tiny_model, 2), ALL_ROLES).attached(tiny_model.unet):
        assert torch.equal(predict(), plain)


def test_merged_equals_patched(tmp_path, call, tiny_model):
    # in double precision: in single, the order of the sums alone makes a difference of 2e-6
    unet = copy.deepcopy(tiny_model.unet).double()
    call = {key: x.double() if x.is_floating_point() else x for key, x in call.items()}
    layers = trained(tiny_model)
    with torch.no_grad():
        plain = unet(**call)
        with layers.double().attached(unet):
            during = unet(**call)
        assert torch.equal(unet(**call), plain)  # taken off
        assert (during - plain).abs().max() > 1e-2
        lora = read_lora(save_lora(layers.to_lora(), tmp_path / "x.safetensors"), unet)
        with applied_lora(unet, lora):
            torch.testing.assert_close(unet(**call), during, atol=1e-6, rtol=0)


def test_strength_zero_is_the_base_bit_for_bit(tiny_model, predict):
    plain = predict()
    with applied_lora(tiny_model.unet, trained(tiny_model).to_lora(), strength=0):
        assert torch.equal(predict(), plain)


def test_roles_have_settings_of_their_own(tiny_model):
    settings = {"spatial": LoRASettings(rank=2), "text": LoRASettings(rank=5, alpha=1.0)}
    lora = trained(tiny_model, settings).to_lora()
    assert set(lora.layers) == set(lora_sites(tiny_model.unet, settings))
    site = "mid_block.attentions.0.transformer_blocks.0.{}.to_q"
    assert lora.layers[site.format("attn1")][1].shape[0] == 2 and site.format("attn1") not in lora.scales
    assert lora.layers[site.format("attn2")][1].shape[0] == 5 and lora.scales[site.format("attn2")] == 0.2


def test_rank_is_clipped_to_the_layer(tiny_model):
    layers = LoRALayers(UNetBackbone(tiny_model, 2), {"conv": LoRASettings(rank=500)})
    up, down = layers.to_lora().layers["conv_out"]
    assert up.shape[:2] == (4, 4) and down.shape[0] == 4


def test_idle_layers_get_none(tiny_model):
    layers = LoRALayers(UNetBackbone(tiny_model, 2), {"conv": LoRASettings()}, idle={"conv_in"})
    assert "conv_in" not in layers.roles and "conv_in2" in layers.roles


def test_a_network_without_such_layers_is_refused(tiny_model):
    with pytest.raises(IVGError, match="temporal"):
        LoRALayers(UNetBackbone(tiny_model, 2, nn.Sequential(nn.Linear(2, 2))), {"temporal": LoRASettings()})


def test_half_precision_networks_keep_their_dtype():
    layer = LowRankLayer(nn.Linear(4, 4).bfloat16(), rank=2, alpha=None, dropout=0.0)
    assert layer(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.float32  # the hook casts it back
    assert layer.down.weight.dtype == torch.float32


def test_dropout_only_while_training():
    torch.manual_seed(0)
    layer = LowRankLayer(nn.Linear(64, 4), rank=2, alpha=None, dropout=0.5)
    nn.init.ones_(layer.up.weight)
    x = torch.ones(1, 64)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
