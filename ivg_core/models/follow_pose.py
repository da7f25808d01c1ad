"""Follow-Your-Pose: an image model that was trained on time, and follows a video of drawn skeletons.

* Its frames see the clip's first one and the one before them.
* Layers over time stand after each transformer block, see `temporal_block`: attention, then convolutions.
* A T2I-Adapter of its own reads the skeletons; told none, it makes videos of sentences alone.

Source: Follow Your Pose (arXiv 2304.01186), and Gen-L-Video (arXiv 2305.18264) with its released code.
"""

from __future__ import annotations

from typing import Any

from ..errors import IVGError
from .adapter import FrameAdapter
from .inflated import LATENTS, InflatedUNet, inflate
from .temporal_block import add_temporal_layers
from .unet import settings_of

#: Where a config names blocks: its own end in 3D, those that they are made of in 2D.
BLOCK_TYPES = ("down_block_types", "mid_block_type", "up_block_types")


class PoseUNet(InflatedUNet):
    """Follow-Your-Pose's UNet; see the module.

    Args: as diffusers' `UNet2DConditionModel`.
    """

    skeleton_adapter: FrameAdapter

    @classmethod
    def from_config_dict(cls, config: dict[str, Any]) -> PoseUNet:
        """Builds the network that a `unet/config.json` describes; keys it does not know are left aside.

        Raises:
            IVGError: it has channels beside the latents.
        """
        made = cls(**settings_of(cls, blocks_named(config, "3D", "2D")))
        if made.beside_channels or made.config["out_channels"] != LATENTS:
            raise IVGError(
                f"Follow-Your-Pose's UNet has {LATENTS} channels in and out: download its config.json again."
            )
        inflate(made, first=True)
        add_temporal_layers(made, convolutions=True)
        made.skeleton_adapter = FrameAdapter.from_config_dict({"channels": list(made.config["block_out_channels"])})
        return made

    @property
    def control_net(self) -> FrameAdapter:
        """See `InflatedUNet`."""
        return self.skeleton_adapter


def blocks_named(config: dict[str, Any], before: str, after: str) -> dict[str, Any]:
    """A config whose blocks end otherwise."""

    def named(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(before, after)
        return [named(one) for one in value] if isinstance(value, list | tuple) else value

    return {key: named(value) if key in BLOCK_TYPES else value for key, value in config.items()}
