"""Blocks of a core network that forget their activations and compute them again in the backward pass.

LTX's and HunyuanVideo's blocks write into their input (`x += …`). What a layer or a LoRA kept of it is then gone:
backward stops with "modified by an inplace operation", with torch's checkpoint around the blocks too; and around the
whole network torch's checkpoint gives wrong gradients without a word, since what it keeps of views has no versions.
Here a block is run again inside `allow_mutation_on_saved_tensors`, which copies a kept tensor before it is written to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import allow_mutation_on_saved_tensors
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.checkpoint import get_device_states, set_device_states

from ..ivg_core.models.voices import heard_again


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a transformer: the members of the lists that are its direct children."""
    return [block for child in network.children() if isinstance(child, nn.ModuleList) for block in child]


@contextmanager
def recomputed(network: nn.Module) -> Iterator[None]:
    """Inside the `with` block the blocks of a network keep their inputs only.

    Gradients of what is hooked into a block are accumulated by `backward`; `torch.autograd.grad` does not find them.
    """
    blocks = blocks_of(network)
    try:
        for block in blocks:
            block.forward = _again(block.forward)
        yield
    finally:
        for block in blocks:
            vars(block).pop("forward", None)


def _again(forward: Callable) -> Callable:
    def run(*args: Any, **named: Any) -> Any:
        leaves, spec = tree_flatten((args, named))
        kept = tuple(i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.is_floating_point())
        # Without it a first block, whose inputs need no gradient, would learn nothing.
        anchor = torch.zeros((), requires_grad=torch.is_grad_enabled())
        return _Again.apply(anchor, forward, spec, kept, *leaves)

    return run


class _Again(torch.autograd.Function):
    """A block: its tensors are the leaves at `kept`, the others are passed on as they are."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, run: Callable, spec: Any, kept: tuple[int, ...], *leaves: Any) -> Any:
        ctx.run, ctx.spec, ctx.kept = run, spec, kept
        ctx.others = [None if i in kept else leaf for i, leaf in enumerate(leaves)]
        tensors = [leaves[i] for i in kept]
        ctx.device = next((x.device.type for x in tensors if x.device.type != "cpu"), "cpu")
        ctx.autocast = torch.is_autocast_enabled(ctx.device), torch.get_autocast_dtype(ctx.device)
        ctx.chance = torch.get_rng_state(), *get_device_states(*tensors)  # a LoRA may have dropout
        ctx.voices = heard_again()[1]
        ctx.save_for_backward(*tensors)
        with torch.no_grad():
            args, named = tree_unflatten(_with_copies(ctx.others, kept, tensors), spec)
            return run(*args, **named)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        enabled, dtype = ctx.autocast
        inputs = [x.detach().requires_grad_(x.requires_grad) for x in ctx.saved_tensors]
        on_cpu, devices, states = ctx.chance
        with (
            torch.enable_grad(),
            torch.autocast(ctx.device, dtype, enabled=enabled),
            allow_mutation_on_saved_tensors(),
            torch.random.fork_rng(devices, device_type=ctx.device),
            ctx.voices,
        ):
            torch.set_rng_state(on_cpu)
            set_device_states(devices, states)
            args, named = tree_unflatten(_with_copies(ctx.others, ctx.kept, inputs), ctx.spec)
            made = ctx.run(*args, **named)
            outputs = made if isinstance(made, tuple | list) else (made,)
            pairs = [
                (output, gradient)
                for output, gradient in zip(outputs, gradients, strict=True)
                if isinstance(output, Tensor) and output.requires_grad and gradient is not None
            ]
            torch.autograd.backward([output for output, _ in pairs], [gradient for _, gradient in pairs])
        back: list[Tensor | None] = [None] * len(ctx.others)
        for i, x in zip(ctx.kept, inputs, strict=True):
            back[i] = x.grad
        return None, None, None, None, *back


def _with_copies(others: list[Any], kept: tuple[int, ...], tensors: list[Tensor]) -> list[Any]:
    """All leaves; tensors as copies, for the block may write into what it is given, and that is needed again."""
    leaves = list(others)
    for i, x in zip(kept, tensors, strict=True):
        leaves[i] = x.clone()
    return leaves
