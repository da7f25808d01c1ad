"""What an image model gets to be trained on time: after each transformer block, its pixels look along the frames.

Its weights stand beside those of the block (`norm_temp`, `attn_temp`, `conv_temporal`), under the names that released
files have for them. New ones change nothing until they are trained.

Source: Tune-A-Video (arXiv 2212.11565), Follow Your Pose (arXiv 2304.01186) and Gen-L-Video's released code.
"""

from __future__ import annotations

from typing import Any, cast

from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from einops import rearrange
from torch import Tensor, nn

from .together import FRAMES

#: Channels between the two convolutions over time, or half the block's where it has fewer.
CONVOLVED = 160


class TemporalConvolutions(nn.Module):
    """Two convolutions over the frames, narrow between them, added to what goes in.

    Args:
        width: channels.
    """

    def __init__(self, width: int):
        super().__init__()
        rank = CONVOLVED if width >= CONVOLVED else width // 2
        self.down = nn.Conv1d(width, rank, 3, padding=1, bias=False)
        self.up = nn.Conv1d(rank, width, 3, padding=1, bias=False)
        nn.init.normal_(self.down.weight, std=1 / rank)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Of the frames of each pixel, (N, F, C)."""
        over_time = rearrange(x, "n f c -> n c f")
        return x + rearrange(self.up(self.down(over_time)), "n c f -> n f c")


class TemporalBlock(BasicTransformerBlock):
    """A transformer block of Stable Diffusion, and its layers over time; made by `add_temporal_layers`."""

    norm_temp: nn.LayerNorm
    attn_temp: Attention
    conv_temporal: nn.Module

    def add_layers(self, convolutions: bool) -> None:
        """Adds the layers over time, in the weights' dtype and on their device."""
        self.norm_temp = nn.LayerNorm(self.dim)
        self.attn_temp = Attention(self.dim, heads=self.num_attention_heads, dim_head=self.attention_head_dim)
        for p in self.attn_temp.to_out[0].parameters():
            nn.init.zeros_(p)
        self.conv_temporal = TemporalConvolutions(self.dim) if convolutions else nn.Identity()
        self.to(self.attn1.to_q.weight)

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Pixels of frames, (B * F, h * w, C), of clips of `FRAMES`."""
        hidden_states = super().forward(hidden_states, *args, **kwargs)
        frames = FRAMES.get()
        x = rearrange(hidden_states, "(b f) n c -> (b n) f c", f=frames)
        x = x + self.attn_temp(self.norm_temp(x))
        return rearrange(self.conv_temporal(x), "(b n) f c -> (b f) n c", n=hidden_states.shape[1])


def add_temporal_layers(network: nn.Module, convolutions: bool = False) -> None:
    """Adds layers over time to every transformer block of a network; its other weights, and their names, stay.

    Args:
        network: of Stable Diffusion's blocks, see `inflated.inflate`.
        convolutions: whether convolutions over time follow the attention over time.
    """
    for block in list(network.modules()):
        if type(block) is BasicTransformerBlock:
            block.__class__ = TemporalBlock
            cast(TemporalBlock, block).add_layers(convolutions)
