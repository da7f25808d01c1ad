"""How much memory a run takes: counted by running its networks on tensors that hold no numbers."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    from .unet import IVGUNet

TEXT_TOKENS = 77


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that a run takes, all networks being on the device.

    Args:
        weights: of all networks.
        denoise: beside them at the largest moment of a denoising step.
        decode: beside them while frames are decoded.
    """

    weights: int
    denoise: int
    decode: int

    @property
    def peak(self) -> int:
        return self.weights + max(self.denoise, self.decode)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that come to life inside the `with` block, and their peak.

    What exists before (weights, inputs) and what a kernel uses for itself while it runs is not counted.

    Attributes:
        now: bytes alive.
        peak: most bytes that were alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.known.update(_storages((args, kwargs)))
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage not in self.known:
                self.known.add(storage)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._free, storage.nbytes()).atexit = False
        return result

    def _free(self, size: int) -> None:
        self.now -= size


def _storages(values: Any) -> list[Any]:
    return [x.untyped_storage() for x in tree_leaves(values) if isinstance(x, Tensor)]


@torch.no_grad()
def plan_memory(
    unet: IVGUNet,
    vae: AutoencoderKL,
    parameters: int,
    *,
    width: int,
    height: int,
    num_frames: int,
    guided: bool = True,
    dtype: torch.dtype = torch.float16,
) -> MemoryPlan:
    """Count what a run of one clip takes.

    Args:
        unet: on the meta device; it is given weights without numbers, so throw it away afterwards.
        vae: likewise.
        parameters: of all networks that are loaded.
        width, height: of the video in pixels.
        num_frames: F of the video.
        guided: whether both predictions of guidance are computed in one batch.
        dtype: of the weights.
    """
    from ..sampling.decode import frames_at_once

    cell = 2 ** (len(vae.config["block_out_channels"]) - 1)
    rows, columns = height // cell, width // cell
    batch = 2 if guided else 1
    with FakeTensorMode(allow_non_fake_inputs=True):
        _fill(unet, dtype)
        _fill(vae, dtype)

        def empty(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=dtype)

        latents = torch.empty(batch, 4, num_frames, rows, columns)  # float32 lies beside what the network computes
        with LiveBytes() as denoise:
            unet(
                latents.to(dtype),
                torch.tensor(500),
                empty(batch, TEXT_TOKENS, unet.config["cross_attention_dim"]),
                condition_latent=empty(batch, 4, 1, rows, columns),
                mask=empty(batch, 1, 1, rows, columns),
                motion=torch.empty(batch),
            )
        with LiveBytes() as decode:
            vae.decode(empty(min(num_frames, frames_at_once(rows, columns)), 4, rows, columns), return_dict=False)
    return MemoryPlan(parameters * dtype.itemsize, denoise.peak, decode.peak)


def _fill(network: nn.Module, dtype: torch.dtype) -> None:
    """Weights without numbers; the meta device itself would choose another kind of attention than a real one."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    network.load_state_dict({name: torch.empty(shape, dtype=dtype) for name, shape in shapes.items()}, assign=True)
    network.eval()
