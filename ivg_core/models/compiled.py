"""A network whose layers are compiled: the first run with a size compiles them, later ones are faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import IVGError, shortly

#: The attribute of a module that stands in for its call, as `nn.Module.compile` sets it.
CALL = "_compiled_call_impl"
#: Kinds of inputs that torch compiles one function for. By itself it takes 8, runs all others uncompiled, and tells
#: nobody; a UNet of four levels has more in its first step.
MOST = 128


def compiled_calls(network: nn.Module, tell: Callable[[str], None]) -> dict[str, Callable[..., Any]]:
    """What a network with its layers compiled has as `CALL`, by the name of the module; "" is the network itself.

    Nothing is compiled before the network is called. Setting these, or None again, is all it takes.

    Args:
        network: stays as it is; it says itself which of its layers repeat.
        tell: is given a sentence after each call in which something was compiled.

    Raises:
        IVGError: later, by a call: the compiler fails.
    """
    repeated: Any = network._repeated_blocks  # names of classes
    calls: dict[str, Any] = {
        name: torch.compile(module._call_impl)
        for name, module in network.named_modules()
        if any(kind.__name__ in repeated for kind in type(module).__mro__)  # tuned models have kinds of their own
    }
    return {**calls, "": _Watched(network, tell)}


def compile_network(network: nn.Module, tell: Callable[[str], None]) -> None:
    """Sets `compiled_calls` in a network."""
    for name, call in compiled_calls(network, tell).items():
        setattr(network.get_submodule(name), CALL, call)


def check_compiler(device: torch.device) -> None:
    """Compiles next to nothing, which takes some seconds the first time.

    Raises:
        IVGError: nothing can be compiled for this device.
    """
    try:
        with _compiling():
            torch.compile(_next_to_nothing)(torch.ones(8, device=device))
    except Exception as error:  # whatever it is, the compiler does not work
        need = "a C++ compiler" if device.type == "cpu" else "Triton and a C compiler"
        raise IVGError(
            f"Nothing can be compiled for {device} here, which needs {need}: install it, or switch compile off "
            f"(torch says: {_said(error)})."
        ) from error


def _next_to_nothing(x: Tensor) -> Tensor:
    return x.sin() + 1


class _Watched:
    """The call of a network whose layers are compiled."""

    def __init__(self, network: Any, tell: Callable[[str], None]):
        self.network, self.tell = network, tell

    def __call__(self, *args: Any, **named: Any) -> Any:
        from torch._dynamo.utils import counters

        before, began = counters["stats"]["unique_graphs"], time.monotonic()
        try:
            with _compiling():
                out = self.network._call_impl(*args, **named)
        except Exception as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            raise IVGError(
                f"The network could not be compiled: switch compile off (torch says: {_said(error)})."
            ) from error
        if (pieces := counters["stats"]["unique_graphs"] - before) > 0:
            seconds = time.monotonic() - began
            self.tell(f"Compiled {pieces} pieces of the network in {seconds:.0f} s; runs of this size need it no more.")
        return out


def _said(error: Exception) -> str:
    """What torch says of the compiler, without the advice below it."""
    return shortly(Exception(str(error).split("\n\n")[0]))


@contextmanager
def _compiling() -> Iterator[None]:
    """Inside the `with` block torch compiles or fails, and never falls back to what is not compiled."""
    from torch._dynamo import config

    # the names that older versions have, which newer ones know too
    wanted = {
        "cache_size_limit": MOST,
        "accumulated_cache_size_limit": 8 * MOST,
        "fail_on_cache_limit_hit": True,
        "suppress_errors": False,
    }
    with config.patch({name: value for name, value in wanted.items() if hasattr(config, name)}):
        yield
