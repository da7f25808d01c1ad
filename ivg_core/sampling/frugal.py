"""Out of memory: the same once more, in smaller pieces."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import IVGError

if TYPE_CHECKING:
    from ..models.unet import IVGUNet
    from .guidance import GuidedNoise

log = logging.getLogger("ivg")


class OutOfMemory(IVGError, torch.OutOfMemoryError):
    """Not even the smallest pieces fit. To ComfyUI it is the error upon which it frees all models."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory is what was lacking; only CUDA says so by an exception of its own."""
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in said or "can't allocate memory" in said


def release() -> None:
    """Hand back what an accelerator keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


class FrugalNoise:
    """A `GuidedNoise` that survives one lack of memory: it goes on clip by clip, with feed-forward frame by frame.

    The numbers stay the same but for rounding. Use it in a `with` block: at its end the network is as it was.

    Raises:
        OutOfMemory: the smaller pieces do not fit either.
    """

    def __init__(self, predict: GuidedNoise):
        self.predict, self.unet = predict, predict.unet
        self.small = False

    def __call__(self, latents: Tensor, timestep: Tensor, progress: float) -> Tensor:
        try:
            return self.predict(latents, timestep, progress)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if self.small:
                raise OutOfMemory(
                    "The memory is too small even for the smallest pieces: make a smaller or shorter video, load the "
                    "model in float16 or bfloat16, or close what else uses the memory."
                ) from error
        # Only here, outside the handler, is the failed pass's memory free: the traceback held its tensors.
        log.warning("Out of memory while denoising: going on in smaller pieces, which takes longer.")
        self.small = True
        self.unet.deep_features = None
        chunk_feed_forward(self.unet, 1)
        self.predict.unet = OneByOne(self.unet)  # type: ignore[assignment]
        release()
        return self(latents, timestep, progress)

    def __enter__(self) -> FrugalNoise:
        return self

    def __exit__(self, *_: object) -> None:
        self.predict.unet = self.unet
        if self.small:
            chunk_feed_forward(self.unet, None)


class OneByOne:
    """A UNet that takes the clips of a batch one after the other."""

    def __init__(self, unet: IVGUNet):
        self.unet = unet

    def __call__(self, sample: Tensor, timestep: Tensor, *told: Any, **more: Any) -> Tensor:
        batch = len(sample)

        def one(x: Any, i: int) -> Any:
            return x[i : i + 1] if isinstance(x, Tensor) and x.ndim and len(x) == batch else x

        clips = [
            self.unet(
                one(sample, i),
                one(timestep, i),
                *(one(x, i) for x in told),
                **{name: one(x, i) for name, x in more.items()},
            )
            for i in range(batch)
        ]
        return torch.cat(clips)


def chunk_feed_forward(unet: IVGUNet, size: int | None) -> None:
    """Compute the feed-forward layers of all transformers `size` frames at a time; None takes all at once."""
    for name, module in unet.named_modules():
        # Within frames the first axis holds the frames, over time it holds the pixels and the second one the frames.
        over_time = "temp_attentions" in name or "transformer_in" in name
        for block in getattr(module, "transformer_blocks", ()):
            block.set_chunk_feed_forward(size, dim=1 if over_time else 0)
