"""A training loop that ends by the clock. On a GPU a whole step is captured once and replayed as a CUDA graph."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import group_norm, layer_norm

#: Set in the environment, this variable keeps steps from being captured.
EAGER = "IVG_EAGER"
#: Given the network: the loss and figures to log, all of them tensors on the device.
Step = Callable[[Any], tuple[Tensor, dict[str, Tensor]]]


def fit(
    name: str,
    network: nn.Module,
    phases: Sequence[tuple[float, Step]],
    *,
    folder: Path,
    out: Path | None,
    start: float,
    end: float,
    learning_rate: float,
    ema: float = 0.998,
    warmup: int = 100,
    between: Callable[[], None] | None = None,
    every: float = 6.0,
    save_every: float = 45.0,
) -> Any:
    """Train a network until the clock says so.

    Args:
        name: of the files ``<name>.pt`` in `folder` (to go on from) and ``<name>.safetensors`` in `out`.
        network: on its device.
        phases: (share of the time at which it ends, step); a step may draw what it needs with the default generator.
        folder: of the checkpoint, which is resumed if it is there.
        out: receives the averaged weights now and then, in half precision; None: nothing.
        start, end: time.time() of the training's begin and end.
        learning_rate: its peak: linear warm-up, then half a cosine to a fiftieth.
        ema: of the averaged weights.
        warmup: steps.
        between: called every `every` seconds; it may change, in place, what the steps read.
        save_every: seconds.

    Returns:
        The averaged network, in eval mode.
    """
    cuda = next(network.parameters()).is_cuda
    average = copy.deepcopy(network).eval().requires_grad_(False)
    trained = [p for p in network.parameters() if p.requires_grad]
    kept = [a for a, p in zip(average.parameters(), network.parameters(), strict=True) if p.requires_grad]
    rate = torch.tensor(0.0, device=trained[0].device)
    optimizer = torch.optim.AdamW(
        trained, lr=rate if cuda else 0.0, betas=(0.9, 0.99), weight_decay=0.01, fused=cuda or None, capturable=cuda
    )
    done, checkpoint = 0, folder / f"{name}.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=rate.device, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        optimizer.param_groups[0]["lr"] = rate if cuda else 0.0
        done = state["step"]
        print(f"{name}: resumed at step {done}", flush=True)
    told: dict[str, Tensor] = {}

    def run(step: Step) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss, figures = step(network)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(trained, 1.0)
        if cuda:
            optimizer.found_inf = (~norm.isfinite()).float()  # the fused kernel then leaves the weights as they are
        optimizer.step()
        for key, value in {"loss": loss, "norm": norm, **figures}.items():
            told.setdefault(key, torch.zeros_like(value.detach().float())).copy_(value.detach())

    def share() -> float:
        return 1.0 if time.time() >= end else max((time.time() - start) / (end - start), 0.0)

    def set_rate() -> None:
        value = learning_rate * min(1.0, (done + 1) / warmup) * (0.51 + 0.49 * math.cos(math.pi * share()))
        if cuda:
            rate.fill_(value)
        else:
            optimizer.param_groups[0]["lr"] = value

    shown = saved = asked = time.time()
    began, first, fed = time.time(), done, 0.0
    for until, step in phases:
        replay: Callable[[], None] | None = None
        if cuda and share() < until and EAGER not in os.environ:
            told.clear()
            try:
                replay = capture(lambda step=step: run(step), set_rate)
            except RuntimeError as error:  # slower, but it goes on
                torch.cuda.synchronize()
                print(f"{name}: not captured: {str(error)[:300]}", flush=True)
        while share() < until:
            set_rate()
            if replay:
                replay()
            else:
                run(step)
            done += 1
            with torch.no_grad():
                torch._foreach_lerp_(kept, trained, 1 - min(ema, done / (done + 9)))
            if cuda and done % 8 == 0:
                torch.cuda.synchronize()
            now = time.time()
            if now - shown > 10:
                text = "  ".join(f"{key} {float(value):.4f}" for key, value in told.items())
                took = (now - began) / max(done - first, 1) * 1000
                print(f"{name}: {share():.0%} step {done} ({took:.0f} ms)  {text}", flush=True)
                shown = now
            if between and now - asked > every:
                with untried():
                    between()
                asked = time.time()
                fed += asked - now
            if now - saved > save_every:
                store(out, name, average)
                state = {
                    "network": network.state_dict(),
                    "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": done,
                }
                partial = checkpoint.with_suffix(".part")
                torch.save(state, partial)
                os.replace(partial, checkpoint)
                saved = time.time()
        replay = None
        if until < 1 and share() < 1:
            store(out, f"{name}-before", average)
    store(out, name, average)
    store(folder, name, average)
    print(f"{name}: {done} steps in {time.time() - began:.0f} s, {fed:.0f} s of it for new scenes", flush=True)
    return average


def capture(run: Callable[[], None], prepare: Callable[[], None]) -> Callable[[], None]:
    """Record a step as a CUDA graph; the steps that warm it up are real ones."""
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(4):
            prepare()
            run()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def store(folder: Path | None, name: str, network: nn.Module) -> None:
    """Write the weights in half precision, never half a file."""
    if folder is None:
        return
    partial = folder / f"{name}.part"
    tensors = {key: value.detach().half().cpu().contiguous() for key, value in network.state_dict().items()}
    save_file(tensors, partial)
    os.replace(partial, folder / f"{name}.safetensors")


class HalfGroupNorm(nn.GroupNorm):
    """Stays in the type of its input under autocast, in place of twice the memory traffic in float32."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return group_norm(input, self.num_groups, self.weight.to(input), self.bias.to(input), self.eps)


class HalfLayerNorm(nn.LayerNorm):
    """The same for layer norms."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return layer_norm(input, self.normalized_shape, self.weight.to(input), self.bias.to(input), self.eps)


def in_half(network: nn.Module) -> Any:
    """Let the norms of a network work in half precision; the same parameters."""
    for module in network.modules():
        if type(module) is nn.GroupNorm:
            module.__class__ = HalfGroupNorm
        elif type(module) is nn.LayerNorm:
            module.__class__ = HalfLayerNorm
    return network


def half(device: str) -> Any:
    """Half precision where the device has instructions for it; a CPU without them would only be slower."""
    able = device == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device, dtype=torch.bfloat16, enabled=able)


@contextmanager
def untried() -> Iterator[None]:
    """Inside, convolutions of a new size are not timed first: what is encoded comes in ever different numbers."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def begin(device: str, seed: int) -> None:
    """What every process does first."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.benchmark_limit = 4
        torch.backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("high")
