"""Weights in 8 bits: how far from the network as it was, and what a copy of it takes."""

import pytest
import torch
from test_unet import inputs, small_unet

from ivg_core.errors import IVGError
from ivg_core.models.float8 import FLOAT8, copy_in_float8, is_in_float8, store_in_float8


def weight_bytes(unet) -> int:
    return sum(parameter.nbytes for parameter in unet.parameters())


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_float8_saves_memory_and_costs_little(dtype):
    unet, call = small_unet().to(dtype), inputs()
    call = {key: value.to(dtype) if key not in ("timestep", "motion") else value for key, value in call.items()}
    exact, names, before = unet(**call).float(), set(unet.state_dict()), weight_bytes(unet)
    store_in_float8(unet)
    rounded = unet(**call).float()
    assert unet.dtype == dtype and set(unet.state_dict()) == names
    assert weight_bytes(unet) < before * (0.45 if dtype is torch.float32 else 0.7)
    assert 0 < (rounded - exact).norm() / exact.norm() < 0.05
    assert torch.equal(unet(**call).float(), rounded)
    assert unet.up_blocks[1].attentions[0].transformer_blocks[0].attn1.to_q.weight.dtype == FLOAT8


@torch.no_grad()
def test_each_output_channel_has_its_own_scale():
    unet = small_unet()
    layer = unet.down_blocks[0].resnets[0].conv1
    layer.weight[0] *= 1e-6  # among ordinary ones
    exact = layer.weight.clone()
    store_in_float8(unet)
    widened = layer.weight.float() * layer.float8_scale
    assert ((widened - exact)[0].norm() / exact[0].norm()) < 0.05


@torch.no_grad()
def test_small_weights_do_not_vanish():
    unet, call = small_unet(), inputs()
    for block in unet.down_blocks:
        for layer in block.resnets:
            layer.conv1.weight *= 1e-5
    exact = unet(**call)
    store_in_float8(unet)
    layer = unet.down_blocks[0].resnets[0].conv1
    widened = layer.weight.float() * layer.float8_scale
    assert widened.count_nonzero() > 0.99 * widened.numel()
    assert (unet(**call) - exact).norm() / exact.norm() < 0.05


@torch.no_grad()
def test_a_failed_pass_leaves_the_weights_narrow():
    unet, call = small_unet(), inputs()
    store_in_float8(unet)
    before = weight_bytes(unet)
    with pytest.raises(RuntimeError):
        unet(**{**call, "encoder_hidden_states": torch.randn(2, 7, 99)})
    assert weight_bytes(unet) == before
    unet(**call)


def test_twice_is_refused():
    unet = small_unet()
    store_in_float8(unet)
    with pytest.raises(IVGError, match="float8 already"):
        store_in_float8(unet)


@torch.no_grad()
def test_a_copy_is_what_storing_makes_and_leaves_the_network_as_it_is():
    unet, call = small_unet(), inputs()
    exact, weights = unet(**call), {name: weight.clone() for name, weight in unet.state_dict().items()}
    made = copy_in_float8(unet)
    assert is_in_float8(made) and not is_in_float8(unet)
    assert all(torch.equal(weight, weights[name]) for name, weight in unet.state_dict().items())
    assert torch.equal(unet(**call), exact)
    storages = [{weight.data_ptr() for weight in net.parameters()} for net in (unet, made)]
    assert not storages[0] & storages[1]  # either may be moved without the other
    rounded = made(**call)
    store_in_float8(unet)
    assert torch.equal(unet(**call), rounded)


@torch.no_grad()
def test_a_copy_takes_the_weights_that_it_is_given():
    unet = small_unet()
    conv_in, deep = "conv_in.weight", "mid_block.resnets.0.conv1.weight"
    made = copy_in_float8(unet, lambda name: unet.get_parameter(name) * (2 if name in (conv_in, deep) else 1))
    assert torch.equal(made.conv_in.weight, 2 * unet.conv_in.weight)
    scales = [
        made.get_submodule(deep.removesuffix(".weight")).float8_scale,
        made.mid_block.resnets[0].conv2.float8_scale,
    ]
    plain = copy_in_float8(unet).mid_block.resnets[0]
    assert torch.equal(scales[0], 2 * plain.conv1.float8_scale) and torch.equal(scales[1], plain.conv2.float8_scale)
    with pytest.raises(IVGError, match="float8 already"):
        copy_in_float8(made)


@torch.no_grad()
def test_no_whole_second_copy_is_made_on_the_way(monkeypatch):
    unet, copied = small_unet(), []
    clone = torch.nn.Parameter.__deepcopy__
    monkeypatch.setattr(torch.nn.Parameter, "__deepcopy__", lambda self, memo: copied.append(self) or clone(self, memo))
    made = copy_in_float8(unet)
    wide = [unet.get_parameter(name) for name, weight in made.named_parameters() if weight.dtype == FLOAT8]
    assert copied and wide and not {id(weight) for weight in copied} & {id(weight) for weight in wide}
