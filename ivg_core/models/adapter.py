"""T2I-Adapter for an image model made a video model: what it adds is of each frame by itself, and of no timestep.

Source: T2I-Adapter (arXiv 2302.08453); Gen-L-Video (arXiv 2305.18264) and its released code.
"""

from __future__ import annotations

from typing import Any

from diffusers.models.adapter import T2IAdapter
from einops import rearrange
from torch import Tensor

from ..errors import IVGError
from .inflated import InflatedUNet, Residuals
from .unet import settings_of

#: What an adapter for Stable Diffusion is like: its kind, pixels to a side of a latent cell, channels of its pictures.
KIND, CELL, CHANNELS = "full_adapter", 8, (1, 3)


class FrameAdapter(T2IAdapter):
    """A T2I-Adapter of Stable Diffusion, called on clips as a ControlNet is.

    Args: as diffusers' `T2IAdapter`.

    Attributes:
        parity: nothing is added to the last level, as Gen-L-Video's released code does by mistake.
    """

    parity = False

    @classmethod
    def from_config_dict(cls, config: dict[str, Any]) -> FrameAdapter:
        """Builds the network that a `config.json` describes; keys it does not know are left aside.

        Raises:
            IVGError: it is of another kind than those for Stable Diffusion.
        """
        made = cls(**settings_of(cls, config))
        kind, cell, channels = (made.config[key] for key in ("adapter_type", "downscale_factor", "in_channels"))
        if kind != KIND or cell != CELL or channels not in CHANNELS:
            raise IVGError(
                f"This T2I-Adapter is a {kind} that takes {channels} channels and {cell} pixels a cell: give a {KIND} "
                f"for Stable Diffusion, which takes {' or '.join(map(str, CHANNELS))} channels and {CELL} pixels."
            )
        return made

    @property
    def cell(self) -> int:
        """Pixels of the control video to a side of a latent cell."""
        return CELL

    def check_fits(self, network: InflatedUNet) -> None:
        """See `control.ControlNet`."""
        theirs, ours = list(self.config["channels"]), list(network.config["block_out_channels"])
        if theirs != ours:
            raise IVGError(
                f"The T2I-Adapter was made for another model: its channels are {theirs} and the model's {ours}. "
                "Take one for this version of Stable Diffusion."
            )

    def forward(  # type: ignore[override]
        self, sample: Tensor, timestep: Tensor | float, encoder_hidden_states: Tensor, control: Tensor, scale: float
    ) -> Residuals:
        """What it adds to the UNet's levels.

        Args:
            sample: noisy latents (B, 4, F, h, w), for their shape alone.
            timestep: left aside.
            encoder_hidden_states: left aside.
            control: the control video, (B or 1, 3, F or 1, H, W) pixels, 0..1. An adapter of one channel takes their
                mean.
            scale: of what it adds; 1 is what was trained.
        """
        if self.config["in_channels"] == 1:
            control = control.mean(1, keepdim=True)
        clips = control.shape[0]
        levels = super().forward(rearrange(control.to(sample), "b c f h w -> (b f) c h w"))
        shape = (sample.shape[0], sample.shape[2])
        added = [scale * x.unflatten(0, (clips, -1)).expand(*shape, *x.shape[1:]).flatten(0, 1) for x in levels]
        return Residuals(levels=tuple(added[:-1] if self.parity else added))
