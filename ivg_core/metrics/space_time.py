"""The space-time transformer of Frozen in Time, as EgoVLP's checkpoints hold it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD_WIDTH = 64


class Attention(nn.Module):
    """Attention within groups of tokens; the class token sees all, and every group sees the class token."""

    def __init__(self, width: int):
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, frames: int, over_time: bool) -> Tensor:
        """x (B, 1 + F N, C): groups are the N patches of a frame, or the F frames of a patch."""
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, HEAD_WIDTH)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, 1 + F N, 64)
        seen = F.scaled_dot_product_attention(q[:, :, :1], k, v)

        def grouped(tokens: Tensor) -> Tensor:  # -> (B, heads, groups, members, 64)
            tokens = tokens[:, :, 1:].unflatten(2, (frames, -1))
            return tokens.transpose(2, 3) if over_time else tokens

        def with_class(tokens: Tensor) -> Tensor:
            groups = grouped(tokens)
            first = tokens[:, :, None, :1].expand(-1, -1, groups.shape[2], -1, -1)
            return torch.cat([first, groups], 3)

        out = F.scaled_dot_product_attention(grouped(q), with_class(k), with_class(v))
        out = (out.transpose(2, 3) if over_time else out).flatten(2, 3)
        out = torch.cat([seen, out], 2).transpose(1, 2).reshape(batch, length, width)
        return self.proj(out)


class Block(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width, eps=1e-6) for _ in range(3))
        self.attn, self.timeattn = Attention(width), Attention(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, x: Tensor, frames: int) -> Tensor:
        over_time = x + self.timeattn(self.norm3(x), frames, over_time=True)
        # what time gave enters through the attention over space only: the authors' "frozen-in-time" residual
        x = x + self.attn(self.norm1(over_time), frames, over_time=False)
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class SpaceTimeTransformer(nn.Module):
    """Video (B, F, 3, S, S), normalised as ImageNet's -> class token (B, C).

    Args:
        width: C, a multiple of 64.
        hidden: of the two-layer networks.
        depth: number of blocks.
        patch: side of a patch in pixels.
        patches: of a frame.
        num_frames: F at most.

    Source: Bain et al. 2021, "Frozen in Time"; parameter names are those of its checkpoints.
    """

    def __init__(self, width: int, hidden: int, depth: int, patch: int, patches: int, num_frames: int):
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patches, width))
        self.temporal_embed = nn.Parameter(torch.zeros(1, num_frames, width))
        self.blocks = nn.ModuleList(Block(width, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.side = patch * round(patches**0.5)

    @property
    def num_frames(self) -> int:
        return self.temporal_embed.shape[1]

    def forward(self, video: Tensor) -> Tensor:
        batch, frames = video.shape[:2]
        x = self.patch_embed["proj"](video.flatten(0, 1)).flatten(2).transpose(1, 2)  # (B F, N, C)
        x = x.unflatten(0, (batch, frames)) + self.pos_embed[:, None, 1:] + self.temporal_embed[:, :frames, None]
        first = (self.cls_token + self.pos_embed[:, :1]).expand(batch, -1, -1)
        x = torch.cat([first, x.flatten(1, 2)], 1)  # (B, 1 + F N, C)
        for block in self.blocks:
            x = block(x, frames)
        return self.norm(x)[:, 0]
