"""ControlNet for an image model made a video model: the frames of a clip see each other in it as in the UNet.

Source: ControlNet (arXiv 2302.05543); Gen-L-Video (arXiv 2305.18264) and its released code.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from einops import rearrange
from torch import Tensor

from ..errors import IVGError
from .backbone import UNetBackbone
from .inflated import InflatedUNet, Residuals, as_images, inflate, seen_together
from .told import Told
from .unet import settings_of


class InflatedControlNet(ControlNetModel):
    """A ControlNet of Stable Diffusion, called on clips.

    Args: as diffusers' `ControlNetModel`.
    """

    @classmethod
    def from_config_dict(cls, config: dict[str, Any]) -> InflatedControlNet:
        """Builds the network that a `config.json` describes; keys it does not know are left aside."""
        made = cls(**settings_of(cls, config))
        inflate(made)
        return made

    def forward(  # type: ignore[override]
        self, sample: Tensor, timestep: Tensor | float, encoder_hidden_states: Tensor, control: Tensor, scale: float
    ) -> Residuals:
        """What it adds to the UNet's layers.

        Args:
            sample: noisy latents (B, 4, F, h, w).
            timestep: one number, or (B,), 0..999.
            encoder_hidden_states: text states (B, L, D).
            control: the control video, (B or 1, 3, F or 1, H, W) pixels, 0..1.
            scale: of what it adds; 1 is what was trained.
        """
        batch, frames = sample.shape[0], sample.shape[2]
        pixels = control.to(sample).expand(batch, -1, frames, -1, -1)
        images, levels = as_images(sample, timestep)
        with seen_together(frames):
            down, mid = super().forward(
                images,
                levels,
                encoder_hidden_states,
                rearrange(pixels, "b c f h w -> (b f) c h w"),
                conditioning_scale=scale,
                return_dict=False,
            )
        return Residuals(tuple(down), mid)


class Controlled:
    """A `Predictor`: an image model made a video model, held by a ControlNet to what `Told.control` shows.

    Args:
        backbone: over an `InflatedUNet`.
        control_net: made for a UNet of its widths.
        scale: how strongly, see `InflatedControlNet.forward`.

    Raises:
        IVGError: the network is no image model's, or the ControlNet was made for another, or computes elsewhere.
    """

    def __init__(self, backbone: UNetBackbone, control_net: InflatedControlNet, scale: float = 1.0):
        network = backbone.network
        if not isinstance(network, InflatedUNet):
            raise IVGError("A ControlNet is for image models (Stable Diffusion): load one.")
        for key in ("cross_attention_dim", "block_out_channels", "layers_per_block"):
            ours, theirs = (_listed(one.config[key]) for one in (network, control_net))
            if ours != theirs:
                raise IVGError(
                    f"The ControlNet was made for another model: its {key} is {theirs} and the model's {ours}. "
                    "Take one for this version of Stable Diffusion."
                )
        places = [(one.dtype, one.device.type) for one in (network, control_net)]
        if places[0] != places[1]:
            ours, theirs = (f"{str(dtype).removeprefix('torch.')} on {device}" for dtype, device in places)
            raise IVGError(f"The ControlNet is in {theirs} and the model in {ours}: load both alike.")
        self.backbone, self.control_net, self.scale = backbone, control_net, scale
        self.network = network

    def on(self, device: torch.device) -> Controlled:
        """See `Movable`."""
        return Controlled(self.backbone.on(device), copy.deepcopy(self.control_net).to(device), self.scale)

    def __call__(self, noisy: Tensor, level: Tensor, told: Told, features: Any = None) -> Tensor:
        """See `Predictor`.

        Raises:
            IVGError: no control video is told, or one of another size than the latents.
        """
        cell = 2 ** (len(self.control_net.config["conditioning_embedding_out_channels"]) - 1)
        height, width = (cell * side for side in noisy.shape[-2:])
        if told.control is None or tuple(told.control.shape[-2:]) != (height, width):
            found = "none" if told.control is None else f"one of {told.control.shape[-1]} x {told.control.shape[-2]}"
            raise IVGError(f"The ControlNet follows a control video of {width} x {height} pixels, and is told {found}.")
        added = self.control_net(noisy, level, told.text, told.control, self.scale)
        return self.network(noisy, level, told.text, features=features, residuals=added, **self.network.reads(told))


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
