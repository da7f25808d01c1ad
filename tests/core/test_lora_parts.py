"""How a LoRA's two parts, what things look like and how they move, are added at strengths of their own."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.errors import IVGError
from ivg_core.models.float8 import store_in_float8
from ivg_core.models.lora import LoRA, applied_lora, merge_lora, model_wearing, model_with_lora
from ivg_core.models.unet import IVGUNet

GOLDEN = Path(__file__).parents[1] / "golden" / "motiondirector"
META = json.loads((GOLDEN / "meta.json").read_text())


@pytest.fixture(scope="module")
def unet():
    network = IVGUNet.from_config_dict({**META["config"], "photo": False})
    network.load_state_dict({key: t.float() for key, t in load_file(GOLDEN / "unet.safetensors").items()})
    return network.eval()


@pytest.fixture(scope="module")
def both(unet):
    """One LoRA of the temporal and the spatial list."""
    lists = [
        read_lora(GOLDEN / f"lora/checkpoint-3/{role}/lora/3_unet.pt", unet).layers for role in ("temporal", "spatial")
    ]
    return LoRA(lists[0] | lists[1], metadata={"prompt": "ride"})


@torch.no_grad()
@pytest.mark.parametrize("scales", ["0_0", "0_1", "0_0.5", "1_0", "0.7_1"])
def test_parts_of_one_lora_are_the_two_scales_of_the_reference(unet, both, scales):
    io = load_file(GOLDEN / "io.safetensors")
    spatial, temporal = (float(scale) for scale in scales.split("_"))
    name = "out_s" + "_t".join(scale.replace(".", "") for scale in scales.split("_"))
    with applied_lora(unet, both.balanced(spatial, temporal)):
        out = unet(io["sample"], io["timestep"], io["ehs"])
    torch.testing.assert_close(out, io[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("transformer_in.transformer_blocks.0.attn1.to_q", "temporal"),
        ("down_blocks.0.temp_attentions.0.proj_in", "temporal"),
        ("mid_block.temp_convs.0.conv1.2", "temporal"),
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", "spatial"),
        ("down_blocks.0.resnets.0.conv1", "spatial"),
        ("conv_in", "spatial"),
    ],
)
def test_whose_part_a_layer_is(name, part):
    lora = LoRA({name: (torch.ones(2, 1), torch.ones(1, 2))}, {name: 4.0}, {"a": "b"})
    kept = lora.balanced(**{part: 0.5})
    assert kept.scales == {name: 2.0} and kept.metadata == {"a": "b"} and lora.scales == {name: 4.0}
    other = {"temporal": "spatial", "spatial": "temporal"}[part]
    assert lora.balanced(**{other: 0.0}).scales == {name: 4.0}
    assert not lora.balanced(**{part: 0.0}).layers
    with pytest.raises(IVGError, match="strength nan"):
        lora.balanced(**{part: float("nan")})


def made_lora(unet, **metadata):
    rng = torch.Generator().manual_seed(0)
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    rows, columns = unet.get_submodule(name).weight.shape
    return LoRA({name: (torch.randn(rows, 2, generator=rng), torch.randn(2, columns, generator=rng))}, {}, metadata)


def test_at_strength_0_a_model_is_the_model(tiny_model):
    lora = made_lora(tiny_model.unet, ivg_zero_terminal_snr="true")
    assert model_with_lora(tiny_model, lora, 0) is tiny_model
    assert model_with_lora(tiny_model, lora.balanced(spatial=0)) is tiny_model
    with model_wearing(tiny_model, lora, 0) as worn:
        assert worn is tiny_model


def test_a_model_wears_a_lora_and_takes_it_off(tiny_model):
    lora = made_lora(tiny_model.unet, ivg_zero_terminal_snr="true")
    before = {key: tensor.clone() for key, tensor in tiny_model.unet.state_dict().items()}
    wanted = model_with_lora(tiny_model, lora, 0.7)
    with model_wearing(tiny_model, lora, 0.7) as worn:
        assert worn.unet is tiny_model.unet  # no second network in memory
        assert worn.scheduler_config == wanted.scheduler_config != tiny_model.scheduler_config
        changed = worn.unet.state_dict()
        assert all(torch.equal(tensor, changed[key]) for key, tensor in wanted.unet.state_dict().items())
    assert all(torch.equal(tensor, before[key]) for key, tensor in tiny_model.unet.state_dict().items())


def test_a_stage_1_lora_leaves_the_only_network_as_it_is(tiny_model):
    lora = made_lora(tiny_model.unet, ivg_stage="1")
    (name,) = lora.layers
    with model_wearing(tiny_model, lora) as worn:
        assert worn.unet is tiny_model.unet and worn.rom_unet is not tiny_model.unet
        weights = [network.get_submodule(name).weight for network in (worn.unet, worn.rom_unet)]
        assert not torch.equal(*weights)


def test_weights_in_8_bits_take_no_lora(unet):
    network = IVGUNet.from_config_dict({**META["config"], "photo": False})
    lora = made_lora(network)
    store_in_float8(network)
    with pytest.raises(IVGError, match="float8"):
        merge_lora(network, lora)
