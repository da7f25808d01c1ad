"""A network with compiled layers: the same numbers, nothing left uncompiled in silence, and failures in a sentence."""

import gc
import weakref
from functools import partial

import pytest
import torch
from test_unet import inputs, small_unet
from torch import nn
from torch._dynamo.utils import counters

from ivg_core.errors import IVGError
from ivg_core.models.compiled import check_compiler, compile_network
from ivg_core.models.float8 import store_in_float8


def failing(graph, example):
    raise RuntimeError("no compiler\nis installed\n\nand much more")


class Layer(nn.Module):
    def forward(self, x):
        return x.sin()


@pytest.fixture
def backend(monkeypatch):
    """Has torch compile by another backend: real traces, without minutes of C++."""
    plain = torch.compile

    def use(name):
        torch._dynamo.reset()
        counters.clear()
        monkeypatch.setattr(torch, "compile", partial(plain, backend=name))

    yield use
    torch._dynamo.reset()


@torch.no_grad()
def test_the_numbers_stay_and_every_layer_is_compiled_whole_and_once(backend):
    backend("eager")
    unet, call, said = small_unet(), inputs(), []
    store_in_float8(unet)
    expected = unet(**call)
    compile_network(unet, said.append)
    # torch would compile no more kinds of each layer than this, and another pack may have it hush up errors
    with torch._dynamo.config.patch(recompile_limit=1, suppress_errors=True):
        torch.testing.assert_close(unet(**call), expected, atol=1e-5, rtol=0)
        pieces = counters["stats"]["unique_graphs"]
        assert not counters["graph_break"]
        assert pieces > len(unet._repeated_blocks) and len(said) == 1 and f"Compiled {pieces} pieces" in said[0]
        unet(**{**call, "sample": torch.randn_like(call["sample"])})
        assert counters["stats"]["unique_graphs"] == pieces and len(said) == 1
        assert torch._dynamo.config.recompile_limit == 1


@torch.no_grad()
def test_a_compiler_that_fails_is_told_in_a_sentence(backend):
    backend(failing)
    said = r"\(torch says: .*no compiler is installed\)\.$"
    with pytest.raises(IVGError, match="Nothing can be compiled for cpu here.*a C\\+\\+ compiler.*" + said):
        check_compiler(torch.device("cpu"))
    unet = small_unet()
    compile_network(unet, [].append)
    with pytest.raises(IVGError, match="could not be compiled: switch compile off " + said):
        unet(**inputs())
    compile_network(unet, [].append)
    with pytest.raises(TypeError):  # an error that is none of the compiler's stays what it is
        unet(sample=3)


@torch.no_grad()
def test_compiled_layers_go_with_the_network(backend):
    backend("eager")
    network, said = nn.Sequential(Layer(), nn.ReLU()), []
    network._repeated_blocks = ["Layer"]
    compile_network(network, said.append)
    network(torch.ones(1, 2))
    assert said and network[0]._compiled_call_impl and not network[1]._compiled_call_impl
    alive = weakref.ref(network[0])
    del network
    gc.collect()
    assert alive() is None
