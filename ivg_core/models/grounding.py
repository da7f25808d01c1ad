"""What makes a network follow boxes: tokens of boxes and of the photo, and the gates through which it sees them.

The gates stand in the blocks within frames, between attention to the frame and attention to the text (diffusers'
`fuser`). All begin closed: until they are trained the network is as it was.

Source: Animate Your Motion (SMCD, arXiv 2403.10179), after GLIGEN (arXiv 2301.07093).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention import FeedForward, GatedSelfAttentionDense
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import GLIGENTextBoundingboxProjection, get_fourier_embeds_from_boundingbox
from torch import Tensor, nn

#: Convolutions of a level of the photo's encoder, and its levels.
BLOCKS, LEVELS = 3, 4


@dataclass(frozen=True)
class Tokens:
    """What the gates show to each frame; the rows are clip by clip, frame by frame."""

    boxes: Tensor  # (B * F, N, D)
    photo: Tensor | None = None  # (B * F, V, P)


class PositionNet(GLIGENTextBoundingboxProjection):
    """A token for each box and its phrase; of a thing that is not there, a learned one.

    Args:
        width: D, of the text.
    """

    def __init__(self, width: int):
        super().__init__(positive_len=width, out_dim=width)

    def forward(self, boxes: Tensor, phrases: Tensor) -> Tensor:  # type: ignore[override]
        """One token a box.

        Args:
            boxes: (B, F, N, 5) float32: x1, y1, x2, y2 in 0..1, and 1 where the thing is there, else 0.
            phrases: what the things are, states of the text encoder (B, F or 1, N, D).

        Returns:
            (B * F, N, D).
        """
        dtype = phrases.dtype
        there = boxes[..., 4:].flatten(0, 1).to(dtype)  # (B * F, N, 1)
        # The waves are as short as 1/18 of the picture: half precision would blur where a box is.
        places = get_fourier_embeds_from_boundingbox(self.fourier_embedder_dim, boxes[..., :4].flatten(0, 1))
        places = there * places.to(dtype) + (1 - there) * self.null_position_feature
        names = phrases.expand(-1, boxes.shape[1], -1, -1).flatten(0, 1)  # (B * F, N, D)
        names = there * names + (1 - there) * self.null_positive_feature
        return self.linears(torch.cat([names, places], dim=-1))


class VisualEncoder(nn.Module):
    """Tokens of the photo, of its latent.

    Args:
        widths: channels of the four levels; each but the first halves height and width.
    """

    def __init__(self, widths: tuple[int, ...]):
        super().__init__()
        self.conv_in = nn.Conv2d(4, widths[0], 3, padding=1)
        entering = [widths[0], *widths[:-1]]
        self.body = nn.ModuleList(
            _Residual(entering[level] if first else width, width, halves=level > 0 and first)
            for level, width in enumerate(widths)
            for first in (True, *(False,) * (BLOCKS - 1))
        )

    def forward(self, photo: Tensor) -> Tensor:
        """Tokens (B, V, P) of latents (B, 4, h, w); V is 16 for 32 x 32."""
        x = self.conv_in(photo)
        for block in self.body:
            x = block(x)
        return x.flatten(2).transpose(1, 2)


class _Residual(nn.Module):
    def __init__(self, entering: int, width: int, halves: bool):
        super().__init__()
        if halves:
            self.down_opt: nn.Module = nn.ModuleDict({"op": nn.Conv2d(entering, entering, 3, stride=2, padding=1)})
        self.in_conv = nn.Conv2d(entering, width, 3, padding=1)
        self.block1 = nn.Conv2d(width, width, 3, padding=1)
        self.block2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "down_opt"):
            x = self.down_opt["op"](x)  # type: ignore[index]
        x = self.in_conv(x)
        return x + self.block2(self.block1(x).relu())


class BoxGate(GatedSelfAttentionDense):
    """Pixels of a frame attend to the frame and to its boxes. "vanilla" in the released code.

    Args:
        width: channels of the pixels.
        tokens: width D of the tokens of boxes.
        photo: width P of the tokens of the photo.
        heads, head_width: of the attention.
    """

    def __init__(self, width: int, tokens: int, photo: int, heads: int, head_width: int):
        super().__init__(width, tokens, heads, head_width)

    def forward(self, x: Tensor, objs: Tokens) -> Tensor:  # type: ignore[override]
        """Pixels (B * F, h * w, C) with what the boxes add to them."""
        return super().forward(x, objs.boxes)


class BoxPhotoGate(BoxGate):
    """After the boxes the pixels attend to the photo: the released model, "vanilla_cross_vision"."""

    def __init__(self, width: int, tokens: int, photo: int, heads: int, head_width: int):
        super().__init__(width, tokens, photo, heads, head_width)
        self.v_linear = nn.Linear(photo, width)
        self.cross_attn = Attention(query_dim=width, heads=heads, dim_head=head_width)
        self.cross_ff = FeedForward(width, activation_fn="geglu")
        self.cross_norm1, self.cross_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.cross_alpha_attn = nn.Parameter(torch.tensor(0.0))
        self.cross_alpha_dense = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor, objs: Tokens) -> Tensor:  # type: ignore[override]
        return self.seeing_photo(super().forward(x, objs), objs)

    def seeing_photo(self, x: Tensor, objs: Tokens) -> Tensor:
        """Pixels with what the photo adds to them."""
        photo = self.v_linear(objs.photo)
        x = x + self.cross_alpha_attn.tanh() * self.cross_attn(self.cross_norm1(x), encoder_hidden_states=photo)
        return x + self.cross_alpha_dense.tanh() * self.cross_ff(self.cross_norm2(x))


class ParallelGate(BoxPhotoGate):
    """Boxes and photo side by side, each with a weight: "vanilla_cross_vision_parallel"."""

    def __init__(self, width: int, tokens: int, photo: int, heads: int, head_width: int):
        super().__init__(width, tokens, photo, heads, head_width)
        self.beta_g, self.beta_v = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor, objs: Tokens) -> Tensor:  # type: ignore[override]
        boxes, photo = BoxGate.forward(self, x, objs), self.seeing_photo(x, objs)
        return x + self.beta_g.tanh() * boxes + self.beta_v.tanh() * photo


class MergedGate(BoxGate):
    """Pixels attend to boxes and photo at once: "merge"."""

    def __init__(self, width: int, tokens: int, photo: int, heads: int, head_width: int):
        super().__init__(width, tokens, photo, heads, head_width)
        self.v_linear = nn.Linear(photo, width)

    def forward(self, x: Tensor, objs: Tokens) -> Tensor:  # type: ignore[override]
        around = torch.cat([x, self.linear(objs.boxes), self.v_linear(objs.photo)], dim=1)
        x = x + self.alpha_attn.tanh() * self.attn(self.norm1(around))[:, : x.shape[1]]
        return x + self.alpha_dense.tanh() * self.ff(self.norm2(x))


class DoubleGate(BoxGate):
    """The photo has a gate like that of the boxes, beside it: "double"."""

    def __init__(self, width: int, tokens: int, photo: int, heads: int, head_width: int):
        super().__init__(width, tokens, photo, heads, head_width)
        second = GatedSelfAttentionDense(width, photo, heads, head_width)
        for name, part in [*second.named_children(), *second.named_parameters(recurse=False)]:
            setattr(self, f"visual_{name}", part)
        self.beta_g, self.beta_v = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor, objs: Tokens) -> Tensor:  # type: ignore[override]
        around = torch.cat([x, self.visual_linear(objs.photo)], dim=1)
        photo = x + self.visual_alpha_attn.tanh() * self.visual_attn(self.visual_norm1(around))[:, : x.shape[1]]
        photo = photo + self.visual_alpha_dense.tanh() * self.visual_ff(self.visual_norm2(photo))
        return x + self.beta_g.tanh() * super().forward(x, objs) + self.beta_v.tanh() * photo


#: What a config calls them; all but "boxes" see the photo too.
GATES: dict[str, type[BoxGate]] = {
    "boxes": BoxGate,
    "boxes_photo": BoxPhotoGate,
    "parallel": ParallelGate,
    "merged": MergedGate,
    "double": DoubleGate,
}


def sees_photo(config: Mapping[str, Any]) -> bool:
    """Whether a network of this config is told the photo as SMCD's is: beside each frame, or through its gates."""
    return config.get("in_channels") == 8 or bool(config.get("visual_widths"))
