"""Holding an image model made a video model to a control video; ControlNets whose frames see each other.

Source: ControlNet (arXiv 2302.05543); Gen-L-Video (arXiv 2305.18264) and its released code.
"""

from __future__ import annotations

import copy
from typing import Any, Protocol

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from einops import rearrange
from torch import Tensor

from ..errors import IVGError
from .backbone import UNetBackbone
from .inflated import InflatedUNet, Residuals, as_images, inflate
from .together import seen_together
from .told import Told
from .unet import settings_of


class ControlNet(Protocol):
    """What `Controlled` asks of a ControlNet, a T2I-Adapter and their like: an `nn.Module`."""

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights."""
        ...

    @property
    def device(self) -> torch.device:
        """Where they are."""
        ...

    @property
    def cell(self) -> int:
        """Pixels of the control video to a side of a latent cell."""
        ...

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Moved."""
        ...

    def check_fits(self, network: InflatedUNet) -> None:
        """Let pass a network that this one was made for.

        Raises:
            IVGError: it was made for another.
        """
        ...

    def __call__(self, sample: Tensor, timestep: Tensor, text: Tensor, control: Tensor, scale: float) -> Residuals:
        """What it adds to the network's layers; see `InflatedControlNet.forward`."""
        ...


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

    @property
    def cell(self) -> int:
        """See `ControlNet`."""
        return 2 ** (len(self.config["conditioning_embedding_out_channels"]) - 1)

    def check_fits(self, network: InflatedUNet) -> None:
        """See `ControlNet`."""
        for key in ("cross_attention_dim", "block_out_channels", "layers_per_block"):
            ours, theirs = (_listed(one.config[key]) for one in (network, self))
            if ours != theirs:
                raise IVGError(
                    f"The ControlNet was made for another model: its {key} is {theirs} and the model's {ours}. "
                    "Take one for this version of Stable Diffusion."
                )

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
    """A `Predictor`: an image model made a video model, held to what `Told.control` shows.

    Args:
        backbone: over an `InflatedUNet`.
        control_net: a ControlNet or a T2I-Adapter, made for a UNet of its widths; None: the one that came with it.
        scale: how strongly, see `InflatedControlNet.forward`.

    Raises:
        IVGError: the network is no image model's, the other was made for another or computes elsewhere, or none came
            with it.
    """

    def __init__(self, backbone: UNetBackbone, control_net: ControlNet | None = None, scale: float = 1.0):
        network = backbone.network
        if not isinstance(network, InflatedUNet):
            raise IVGError("A ControlNet or T2I-Adapter is for image models (Stable Diffusion): load one.")
        net: ControlNet | None = network.control_net if control_net is None else control_net
        if net is None:
            raise IVGError(
                f'With the model "{backbone.name}" came nothing that follows a control video: give a ControlNet or a '
                "T2I-Adapter."
            )
        net.check_fits(network)
        places = [(one.dtype, one.device.type) for one in (network, net)]
        if places[0] != places[1]:
            ours, theirs = (f"{str(dtype).removeprefix('torch.')} on {device}" for dtype, device in places)
            raise IVGError(f"What follows the control video is in {theirs} and the model in {ours}: load both alike.")
        self.backbone, self.control_net, self.scale = backbone, net, scale
        self.network = network

    def on(self, device: torch.device) -> Controlled:
        """See `Movable`."""
        own = self.control_net is self.network.control_net  # which the backbone's copy has
        net = None if own else copy.deepcopy(self.control_net).to(device)
        return Controlled(self.backbone.on(device), net, self.scale)

    def __call__(self, noisy: Tensor, level: Tensor, told: Told, features: Any = None) -> Tensor:
        """See `Predictor`.

        Raises:
            IVGError: no control video is told, or one of another size or length than the latents.
        """
        self._check(told.control, noisy)
        added = self.control_net(noisy, level, told.text, told.control, self.scale)  # type: ignore[arg-type]
        return self.network(noisy, level, told.text, features=features, residuals=added, **self.network.reads(told))

    def _check(self, control: Tensor | None, noisy: Tensor) -> None:
        frames, (height, width) = noisy.shape[2], (self.control_net.cell * side for side in noisy.shape[-2:])
        if control is None or tuple(control.shape[-2:]) != (height, width):
            found = "none" if control is None else f"one of {control.shape[-1]} x {control.shape[-2]}"
            raise IVGError(
                f"This control net follows a control video of {width} x {height} pixels, and is told {found}."
            )
        if control.shape[2] not in (1, frames):
            raise IVGError(
                f"The control video has {control.shape[2]} frames and the video {frames}: give as many, or one for all."
            )


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
