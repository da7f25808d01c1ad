"""An image model made a video model without training: the UNet of Stable Diffusion, whose frames see each other.

* The norms of its residual layers, and the last one, take their statistics over all frames of a clip together.
* The pixels of a frame attend to the clip's middle frame and to the neighbour on the way there.

No weight is added or changed, and one frame by itself is what the image model makes, bit for bit.

Source: Gen-L-Video (arXiv 2305.18264) and its released code.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import Any, NamedTuple

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import IVGError
from .together import FRAMES, pooled, seen_by_each, seen_together
from .told import Told
from .unet import KeptFeatures, SharedTextAttention, settings_of

LATENTS = 4
#: Channels beside the latents.
DEPTH, INPAINTING = 1, 5
#: What stands there, by the number of its channels.
BESIDE = {0: "nothing", DEPTH: "a depth map", INPAINTING: "a mask and the latents of the masked frames"}


def run_again_later(layer: nn.Module, *args: Any) -> Any:
    """Runs a layer, and again in the backward pass in place of keeping its activations: of clips of as many frames."""
    now = copy_context()  # the backward pass runs later, and may do so in another thread
    return checkpoint(lambda *given: now.run(layer, *given), *args, use_reentrant=False)


class Residuals(NamedTuple):
    """What is added to a network's layers: (B * F, C, h, w) each.

    Args:
        down: to what the down blocks' layers hand to the up blocks: of a ControlNet.
        mid: to the middle: of a ControlNet.
        levels: to what each down block's last layer gives, before it is halved: of a T2I-Adapter.
    """

    down: tuple[Tensor, ...] | None = None
    mid: Tensor | None = None
    levels: tuple[Tensor, ...] = ()


class PooledNorm(nn.GroupNorm):
    """A group norm whose statistics are those of all frames of a clip."""

    def forward(self, input: Tensor) -> Tensor:  # (B * F, C, h, w)
        return pooled(super().forward, input)


class CrossFrameAttention(AttnProcessor2_0):
    """Self-attention of each frame to one frame of its clip and to the neighbour on the way there.

    Args:
        first: that one frame is the first; otherwise the middle one.
    """

    def __init__(self, first: bool = False):
        super().__init__()
        self.first = first

    def __call__(
        self, attn, hidden_states: Tensor, encoder_hidden_states: Any = None, attention_mask=None, temb: Any = None
    ):
        if FRAMES.get() > 1:
            encoder_hidden_states = seen_by_each(hidden_states, self.first)
        return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


def inflate(network: nn.Module, first: bool = False) -> None:
    """Makes the frames of a clip see each other in a network of Stable Diffusion's blocks; its weights stay its own.

    Args:
        network: changed in place.
        first: see `CrossFrameAttention`.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.GroupNorm) and name.endswith((".norm1", ".norm2", "conv_norm_out")):
            module.__class__ = PooledNorm  # same parameters, another forward
        elif name.endswith(".attn1"):
            module.set_processor(CrossFrameAttention(first))  # type: ignore[operator]
        elif name.endswith(".attn2"):
            module.set_processor(SharedTextAttention())  # type: ignore[operator]


def as_images(sample: Tensor, timestep: Tensor | float) -> tuple[Tensor, Tensor]:
    """The frames (B * F, C, h, w) of clips (B, C, F, h, w), and the timesteps of these: (B * F,), or one for all."""
    levels = torch.as_tensor(timestep, device=sample.device).reshape(-1)
    if len(levels) > 1:
        levels = levels.repeat_interleave(sample.shape[2])
    return rearrange(sample, "b c f h w -> (b f) c h w"), levels


class InflatedUNet(UNet2DConditionModel):
    """Stable Diffusion's UNet (1.5, 2, with depth, inpainting), called on clips; see the module.

    Args: as diffusers' `UNet2DConditionModel`.
    """

    takes_photo = takes_mask = takes_boxes = False  # see `Backbone`
    #: What came with the network to follow control videos, a `control.ControlNet`.
    control_net: Any = None

    @classmethod
    def from_config_dict(cls, config: dict[str, Any]) -> InflatedUNet:
        """Builds the network that a `unet/config.json` describes; keys it does not know are left aside."""
        made = cls(**settings_of(cls, config))
        inflate(made)
        return made

    def enable_gradient_checkpointing(self, gradient_checkpointing_func=None) -> None:
        """Recomputes every layer in the backward pass instead of keeping its activations; same results, less memory."""
        super().enable_gradient_checkpointing(run_again_later)

    @property
    def beside_channels(self) -> int:
        """Channels that stand beside the latents, see `BESIDE`."""
        return int(self.config["in_channels"]) - LATENTS

    def reads(self, told: Told) -> dict[str, Any]:
        """What of it `forward` is given, besides the text."""
        return {"beside": told.beside}

    def forward(  # type: ignore[override]
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        beside: Tensor | None = None,
        features: KeptFeatures | None = None,
        residuals: Residuals | None = None,
    ) -> Tensor:
        """The noise, or v, in `sample`.

        Args:
            sample: noisy latents (B, 4, F, h, w), F >= 1.
            timestep: one number, or (B,), 0..999.
            encoder_hidden_states: text states (B, L, D).
            beside: what stands beside the latents, (B or 1, C, F or 1, h, w): a depth map in -1..1, near is 1; or a
                mask, 1 = to be painted, and the latents of the frames without what it covers.
            features: None; there is no layer whose input is kept here.
            residuals: of a ControlNet or a T2I-Adapter, see `control`.

        Returns:
            (B, 4, F, h, w).

        Raises:
            IVGError: `beside` is lacking, or of another shape, or deep features are to be kept.
        """
        if features is not None:
            raise IVGError(
                "An image model made a video model keeps no deep features: leave cache_every at 1 and "
                "cache_tolerance at 0."
            )
        batch, frames = sample.shape[0], sample.shape[2]
        self.check_beside(beside, sample.shape)
        if beside is not None:
            stretched = beside.to(sample).expand(batch, -1, frames, -1, -1)
            sample = torch.cat([sample, stretched], dim=1)
        images, levels = as_images(sample, timestep)
        added = residuals or Residuals()
        with seen_together(frames):
            out = super().forward(
                images,
                levels,
                encoder_hidden_states,
                down_block_additional_residuals=added.down,
                mid_block_additional_residual=added.mid,
                down_intrablock_additional_residuals=list(added.levels) or None,
                return_dict=False,
            )[0]
        return rearrange(out, "(b f) c h w -> b c f h w", b=batch)

    def check_beside(self, beside: Tensor | None, shape: tuple[int, ...]) -> None:
        """Let pass what stands beside latents of a shape (B, 4, F, h, w), see `forward`.

        Raises:
            IVGError: it is lacking, or none is read, or it is of another shape.
        """
        channels, (batch, _, frames, height, width) = self.beside_channels, shape
        if beside is None and not channels:
            return
        if not channels:
            raise IVGError("This image model reads nothing beside the latents: leave beside out.")
        what = f"{BESIDE[channels]} beside the latents, of shape (1, {channels}, {frames}, {height}, {width})"
        if beside is None:
            made = "a source video with a mask, of which they are made" if channels == INPAINTING else "it as beside=…"
            raise IVGError(f"This image model reads {what}: give {made}.")
        fits = ((1, batch), (channels,), (1, frames), (height,), (width,))
        if beside.ndim != len(fits) or not all(n in one for n, one in zip(beside.shape, fits, strict=True)):
            raise IVGError(f"This image model reads {what}, and what is given has the shape {tuple(beside.shape)}.")
