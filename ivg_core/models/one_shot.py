"""An image model tuned to one video: it looks along the frames, and knows the clips in which it learned the video.

* Layers over time stand after each transformer block, see `temporal_block`.
* The queries of the attention within frames have a LoRA for each of the video's clips, which overlap. A window of
  a long video is told where it begins, and hears the LoRA of the clip that began there; told nothing, none.

Source: one-shot tuning of Gen-L-Video (arXiv 2305.18264) and its released code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import IVGError
from .inflated import InflatedUNet
from .temporal_block import add_temporal_layers
from .told import Told

#: Whose LoRA each item of a batch hears, -1 none. Of the pass and not of the network, as `together.FRAMES`.
CLIPS: ContextVar[tuple[int, ...]] = ContextVar("CLIPS")
QUERIES = ".attn1.to_q"


@dataclass(frozen=True)
class VideoClips:
    """The clips that a video was cut into."""

    count: int
    stride: int  # frames from the beginning of one to that of the next
    frames: int  # of each


@contextmanager
def heard_clips(clips: tuple[int, ...]) -> Iterator[None]:
    """Inside the `with` block the items of a batch hear the LoRAs of these clips, see `CLIPS`."""
    token = CLIPS.set(clips)
    try:
        yield
    finally:
        CLIPS.reset(token)


class ClipQueries(nn.Module):
    """A linear layer with a LoRA for each clip.

    Args:
        linear: the layer.
        clips: how many there are.
        rank: of each LoRA.
    """

    def __init__(self, linear: nn.Linear, clips: int, rank: int):
        super().__init__()
        width, inner = linear.in_features, linear.out_features
        self.linear = linear
        down = [nn.Linear(width, rank, bias=False) for _ in range(clips)]
        up = [nn.Linear(rank, inner, bias=False) for _ in range(clips)]
        for one, other in zip(down, up, strict=True):
            nn.init.normal_(one.weight, std=1 / rank)
            nn.init.zeros_(other.weight)
        self.lora_down, self.lora_up = nn.ModuleList(down), nn.ModuleList(up)
        self.to(linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels of frames, (B * F, h * w, C), of B items."""
        queries, clips = self.linear(x), CLIPS.get()
        if max(clips) < 0:
            return queries
        parts = zip(clips, x.chunk(len(clips)), queries.chunk(len(clips)), strict=True)
        return torch.cat([q if i < 0 else q + self.lora_up[i](self.lora_down[i](given)) for i, given, q in parts])


class OneShotUNet(InflatedUNet):
    """Stable Diffusion's UNet, tuned to one video; see the module.

    Args: as `InflatedUNet`; `from_config_dict` also takes
        clips: how many the video was cut into.
        clip_rank: of the LoRA of each.
        clip_stride: frames from the beginning of one to that of the next.

    Attributes:
        learned: clips whose LoRA was heard with gradient since it was last emptied.

    Raises:
        IVGError: one of these is no number from 1 up, or `clip_rank` is above the width of a layer.
    """

    learned: set[int]

    @classmethod
    def from_config_dict(cls, config: dict[str, Any]) -> OneShotUNet:
        """Builds the network that a `unet/config.json` describes; keys it does not know are left aside."""
        made = super().from_config_dict(config)
        assert isinstance(made, cls)
        add_temporal_layers(made)
        queries: dict[str, Any] = {name: layer for name, layer in made.named_modules() if name.endswith(QUERIES)}
        narrowest = min(min(layer.in_features, layer.out_features) for layer in queries.values())
        clips, rank, stride = (config[key] for key in ("clips", "clip_rank", "clip_stride"))
        for key, value, most in (("clips", clips, None), ("clip_stride", stride, None), ("clip_rank", rank, narrowest)):
            if not isinstance(value, int) or value < 1 or (most and value > most):
                raise IVGError(
                    f"{key} of a model that is tuned to one video is {value!r}: give a whole number "
                    + (f"of 1 to {most}, the channels of its narrowest layer." if most else "from 1 up.")
                )
        for name, layer in queries.items():
            made.set_submodule(name, ClipQueries(layer, clips, rank))
        made.register_to_config(clips=clips, clip_rank=rank, clip_stride=stride)
        made.learned = set()
        return made

    def reads(self, told: Told) -> dict[str, Any]:
        """See `InflatedUNet`."""
        return super().reads(told) | {"begins": told.begins}

    def forward(self, sample: Tensor, *args: Any, begins: Tensor | None = None, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """As `InflatedUNet.forward`, and

        Args:
            begins: the frame of the video at which each item of the batch begins, (B or 1,), from 0; -1 is not told.
                None: of none.
        """
        clips = (-1,) if begins is None else tuple(self.nearest(begins).tolist())
        if torch.is_grad_enabled():
            self.learned |= {*clips} - {-1}
        with heard_clips(clips * (len(sample) // len(clips))):
            return super().forward(sample, *args, **kwargs)

    def nearest(self, begins: Tensor) -> Tensor:
        """The clip that begins nearest to each of some frames (B,), -1 for what is not told."""
        stride, last = self.config["clip_stride"], self.config["clips"] - 1
        clips = ((begins + stride // 2) // stride).clamp(max=last)
        return torch.where(begins < 0, -1, clips)

    def groups(self) -> dict[int, list[nn.Parameter]]:
        """The weights that belong to each clip."""
        layers = [layer for layer in self.modules() if isinstance(layer, ClipQueries)]
        return {
            clip: [half[clip].weight for layer in layers for half in (layer.lora_down, layer.lora_up)]  # type: ignore[misc]
            for clip in range(self.config["clips"])
        }


def with_clips(unet: InflatedUNet, clips: VideoClips, rank: int, seed: int = 0) -> OneShotUNet:
    """A copy of a network that can be tuned to a video; its predictions stay what they were.

    Args:
        unet: stays as it is; what it has learned of the same clips is taken over.
        clips: of the video.
        rank: of the LoRA of each.
        seed: of the weights that begin random.

    Returns:
        The copy, in the mode, dtype and on the device of `unet`.

    Raises:
        IVGError: the network is tuned to other clips, or the rank is none from 1 to a layer's width.
    """
    new = {"clips": clips.count, "clip_rank": rank, "clip_stride": clips.stride}
    weights = unet.state_dict()
    if isinstance(unet, OneShotUNet):
        had = {key: unet.config[key] for key in new}
        if had != new:
            raise IVGError(
                f"The model is tuned to {_said(had)} already, and the video is cut into {_said(new)}: give the video "
                "and the settings that it was tuned with, or a model that was not."
            )
    else:
        weights = {name.replace(f"{QUERIES}.", f"{QUERIES}.linear."): tensor for name, tensor in weights.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = OneShotUNet.from_config_dict({**unet.config, **new})
    made.load_state_dict(made.state_dict() | weights)
    made = made.to(unet.device).train(unet.training)
    return made if unet.dtype == torch.float32 else made.to(unet.dtype)


def _said(config: dict[str, int]) -> str:
    return f"{config['clips']} clips, {config['clip_stride']} frames apart, at rank {config['clip_rank']}"
