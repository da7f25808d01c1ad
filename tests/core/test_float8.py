"""Weights in 8 bits, and layers compiled: how far from the network as it was."""

import pytest
import torch
from test_unet import inputs, small_unet

from ivg_core.errors import IVGError
from ivg_core.models.float8 import FLOAT8, store_in_float8


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
    assert not any("stored" in vars(module) for module in unet.modules())


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
def test_layers_can_be_compiled_without_a_change():
    unet, call = small_unet(), inputs()
    expected = unet(**call)
    unet.compile_repeated_blocks(backend="aot_eager")
    torch.testing.assert_close(unet(**call), expected, atol=1e-5, rtol=0)
