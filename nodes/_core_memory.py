"""What a training step of a core video model takes of a GPU's memory: estimated before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import comfy.model_management as mm

from ..ivg_core.models.codec import LatentGrid
from ._core_recompute import blocks_of

if TYPE_CHECKING:
    from ..ivg_core.training.config import TrainConfig
    from ._core_backbone import CoreBackbone

#: Bytes that autograd keeps of a block for a token, in 16 bits, by its width and by that of its feed-forward part,
#: without what the LoRA keeps. From one block of Wan 5B and one of 14B at their real widths.
OF_WIDTH, OF_FEED_FORWARD = 45, 4.2
#: Bytes that autograd keeps of a decoder for a pixel of the crop, by the channels of its latents: Wan 2.2's and 2.1's.
OF_PIXEL = {48: 24_400, 16: 71_700}
#: A LoRA's weight, its gradient and AdamW's two means, in float32.
OF_LEARNED = 16


@dataclass(frozen=True)
class Memory:
    """Bytes.

    Attributes:
        weights: of the network.
        activations: the inputs of all blocks, and one block that is computed again.
        learned: the LoRA with its gradient and its optimizer.
        decoded: a part of the picture with gradient, for a loss that looks at it; None: not known of this VAE.
    """

    weights: float
    activations: float
    learned: float
    decoded: float | None

    @property
    def room(self) -> int:
        """What a step needs beside the weights."""
        return int(self.activations + self.learned + (self.decoded or 0))

    def __str__(self) -> str:
        parts = {"weights": self.weights, "activations": self.activations, "the LoRA with its optimizer": self.learned}
        if self.decoded:
            parts["decoding for the loss"] = self.decoded
        said = ", ".join(f"{name} {_gib(value)}" for name, value in parts.items())
        more = " Decoding for the loss comes on top, as much as the whole video takes." if self.decoded is None else ""
        return f"A step takes about {_gib(self.weights + self.room)} GiB: {said}.{more}"


def estimate(backbone: CoreBackbone, config: TrainConfig, grid: LatentGrid) -> Memory:
    """What a step takes, with one clip of this grid."""
    model, patch = backbone.patcher.model, backbone.family.patch
    tokens = grid.frames * (grid.height // patch) * (grid.width // patch)
    size = (getattr(model, "manual_cast_dtype", None) or model.get_dtype()).itemsize
    sites = backbone.sites(config.lora)
    widths = [site.in_features for site in sites.values()]
    width, blocks = max(set(widths), key=widths.count), blocks_of(backbone.network)
    in_a_block = {id(module): number for number, block in enumerate(blocks) for module in block.modules()}
    beside = [0] * len(blocks)
    for site in sites.values():
        beside[in_a_block[id(site)]] += 4 * site.in_features  # the LoRA computes in float32
    of_block = size / 2 * (OF_WIDTH * width + OF_FEED_FORWARD * max(widths)) + max(beside)
    learned = sum(
        min(settings.rank, site.in_features, site.out_features) * (site.in_features + site.out_features)
        for role, settings in config.lora.items()
        for site in backbone.sites([role]).values()
    )
    return Memory(
        backbone.patcher.model_size(),
        tokens * (len(blocks) * width * size + of_block),
        OF_LEARNED * learned,
        _decoded(backbone, config, grid),
    )


def _decoded(backbone: CoreBackbone, config: TrainConfig, grid: LatentGrid) -> float | None:
    crops = [loss["crop"] for path in config.all_paths() for loss in path.losses.values() if "crop" in loss]
    if not crops:
        return 0
    if not backbone.codec.in_order:
        return None
    width, height = (min(side, max(crops)) for side in grid.size)
    return OF_PIXEL[backbone.codec.vae.latent_channels] * width * height


def too_little(memory: Memory, device: object) -> str:
    """A sentence where a device has less memory than a step takes; else nothing."""
    total = mm.get_total_memory(device)
    if memory.weights + memory.room <= total:
        return ""
    return f"This is more than the {_gib(total)} GiB that {device} has."


def _gib(value: float) -> str:
    return f"{value / 2**30:.1f}"
