"""Out of memory: the same once more, in smaller pieces."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import IVGError
from .windowed import Windowed

if TYPE_CHECKING:
    from ..models.backbone import Predictor
    from ..models.told import Told
    from ..models.unet import IVGUNet
    from .guidance import Guided

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


class Frugal:
    """A `Guided` that survives one lack of memory: it goes on clip by clip, with feed-forward frame by frame.

    The numbers stay the same but for rounding. Use it in a `with` block: at its end the network is as it was.

    Raises:
        OutOfMemory: the smaller pieces do not fit either.
    """

    def __init__(self, predict: Guided):
        self.predict, self.backbone = predict, predict.backbone
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
        self.predict.features = None
        self._chunk(1)
        whole = self.backbone
        self.predict.backbone = whole.through(OneByOne) if isinstance(whole, Windowed) else OneByOne(whole)
        release()
        return self(latents, timestep, progress)

    def __enter__(self) -> Frugal:
        return self

    def __exit__(self, *_: object) -> None:
        self.predict.backbone = self.backbone
        if self.small:
            self._chunk(None)

    def _chunk(self, size: int | None) -> None:
        several = self.backbone.backbones if isinstance(self.backbone, Windowed) else [self.backbone]
        for backbone in several:
            chunk_feed_forward(backbone.network, size)


class OneByOne:
    """A backbone that takes the clips of a batch one after the other."""

    def __init__(self, backbone: Predictor):
        self.backbone = backbone

    @property
    def network(self) -> Any:
        """See `Backbone`."""
        return self.backbone.network

    def __call__(self, noisy: Tensor, level: Tensor, told: Told, features: None = None) -> Tensor:
        clips = [slice(i, i + 1) for i in range(len(noisy))]
        return torch.cat([self.backbone(noisy[clip], level, told.rows(clip)) for clip in clips])


def chunk_feed_forward(unet: IVGUNet, size: int | None) -> None:
    """Compute the feed-forward layers of all transformers `size` frames at a time; None takes all at once."""
    for name, module in unet.named_modules():
        # Within frames the first axis holds the frames, over time it holds the pixels and the second one the frames.
        over_time = "temp_attentions" in name or "transformer_in" in name
        for block in getattr(module, "transformer_blocks", ()):
            block.set_chunk_feed_forward(size, dim=1 if over_time else 0)
