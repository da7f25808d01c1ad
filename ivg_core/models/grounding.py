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
from torch.nn.functional import grid_sample

#: Convolutions of a level of the photo's encoder, and its levels.
BLOCKS, LEVELS = 3, 4


@dataclass(frozen=True)
class Tokens:
    """What the gates show to each frame; the rows are clip by clip, frame by frame."""

    boxes: Tensor  # (B * F, N, D)
    photo: Tensor | None  # (B * F, V, P)
    places: Tensor  # (B * F, N, 5), where the boxes are, see `PositionNet`
    first: Tensor  # (B * F, N, 5), and where they are in the photo
    frames: int  # F
    latents: tuple[int, int]  # h, w

    def size_of(self, pixels: int) -> tuple[int, int]:
        """Height and width of the level of a network that has so many pixels; each halves them, rounding up."""
        height, width = self.latents
        while height * width > pixels:
            height, width = -(-height // 2), -(-width // 2)
        return height, width


class PositionNet(GLIGENTextBoundingboxProjection):
    """A token for each box and its phrase; of a thing that is not there, a learned one.

    Args:
        width: D, of the text.

    Attributes:
        carry: what else a network with gates "carry" is told, see `Carry`.
    """

    carry: nn.Module

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


class CarryGate(BoxGate):
    """Carries what the photo shows in a thing's box to where its box is now; then as `BoxGate`. Of Comfy-IVG.

    Attention alone has to learn which pixels are in a box, and a small network knows no more of a pixel's place than
    its distance to the borders. Here the pixels that a box covers get its token and the photo's features, and those
    that it covers in the photo are told so. For networks of IVG, whose first frame is the photo.
    """

    def __init__(self, width: int, tokens: int, photo: int, heads: int, head_width: int):
        super().__init__(width, tokens, photo, heads, head_width)
        self.looks_norm, self.looks = nn.LayerNorm(width), _zeroed(nn.Linear(width, width))
        self.covered, self.left = _zeroed(nn.Linear(tokens, width)), _zeroed(nn.Linear(tokens, width))

    def forward(self, x: Tensor, objs: Tokens) -> Tensor:  # type: ignore[override]
        size = objs.size_of(x.shape[1])
        now, first = coverage(objs.places, size), coverage(objs.first, size).to(x)  # (B * F, h * w, N)
        photo = self.looks_norm(x.unflatten(0, (-1, objs.frames))[:, 0]).transpose(1, 2).unflatten(2, size)
        looks = self.looks(carried(photo, objs, now))
        x = x + looks + now.to(x) @ self.covered(objs.boxes) + first @ self.left(objs.boxes)
        return super().forward(x, objs)


class Carry(nn.Module):
    """What the photo shows in a thing's box, laid into its box in each frame, for a network's first layer.

    Args:
        width: channels of the layer.
    """

    def __init__(self, width: int):
        super().__init__()
        self.conv = _zeroed(nn.Conv2d(6, width, 3, padding=1))

    def forward(self, photo: Tensor, objs: Tokens) -> Tensor:
        """What is added (B * F, C, h, w), of the photo's latent (B, 4, h, w)."""
        size = (photo.shape[-2], photo.shape[-1])
        now, first = coverage(objs.places, size), coverage(objs.first, size)
        anywhere = [covered.amax(-1, keepdim=True).to(photo) for covered in (now, first)]
        told = torch.cat([carried(photo, objs, now), *anywhere], dim=-1)  # (B * F, h * w, 6)
        return self.conv(told.transpose(1, 2).unflatten(2, size))


def _zeroed(layer: nn.Linear | nn.Conv2d) -> Any:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def coverage(places: Tensor, size: tuple[int, int]) -> Tensor:
    """How much of each cell the boxes cover.

    Args:
        places: x1, y1, x2, y2 in 0..1 and 1 where the thing is there, else 0, (..., N, 5).
        size: h, w, the cells of the picture.

    Returns:
        (..., h * w, N), 0..1.
    """
    shares = []
    for low, high, cells in ((places[..., 0], places[..., 2], size[1]), (places[..., 1], places[..., 3], size[0])):
        edge = torch.arange(cells, device=places.device)
        upper = torch.minimum(high[..., None] * cells, edge + 1)  # (B, N, cells)
        shares.append((upper - torch.maximum(low[..., None] * cells, edge)).clamp(min=0))
    across, down = shares
    return torch.einsum("...n,...nh,...nw->...hwn", places[..., 4], down, across).flatten(-3, -2)


def carried(photo: Tensor, objs: Tokens, covered: Tensor) -> Tensor:
    """What a photo shows in the things' boxes, laid into their boxes in each frame; what it does not show is left out.

    Args:
        photo: its features at some level (B, C, h, w).
        objs: of B * F frames.
        covered: `coverage` of their boxes at that level, in float32.

    Returns:
        (B * F, h * w, C); 0 outside the boxes, and the mean where these overlap.
    """
    height, width = photo.shape[-2:]
    share = covered * objs.first[:, None, :, 4]  # (B * F, h * w, N)
    share = (share / share.sum(-1, keepdim=True).clamp(min=1)).to(photo)
    total = photo.new_zeros(len(share), height * width, photo.shape[1])
    for thing in share.amax((0, 1)).nonzero()[:, 0].tolist():  # one by one: all at once would take so many times more
        first, now = objs.first[:, thing], objs.places[:, thing]  # (B * F, 5)
        points = []
        for axis, count in ((0, width), (1, height)):
            cells = (torch.arange(count, device=photo.device) + 0.5) / count
            low, high = now[:, axis, None], now[:, axis + 2, None]
            inside = ((cells - low) / (high - low).clamp(min=1e-3)).clamp(0, 1)  # (B * F, w or h)
            points.append(2 * (first[:, axis, None] + inside * (first[:, axis + 2, None] - first[:, axis, None])) - 1)
        across, down = points[0][:, None].expand(-1, height, -1), points[1][:, :, None].expand(-1, -1, width)
        rows = torch.stack([across, down], dim=-1).to(photo).reshape(len(photo), -1, width, 2)  # (B, F * h, w, 2)
        found = grid_sample(photo, rows, padding_mode="border", align_corners=False)  # (B, C, F * h, w)
        total += share[..., thing, None] * found.flatten(2).transpose(1, 2).reshape(total.shape)
    return total


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


#: What a config calls them; all but `OF_BOXES` see the photo too.
GATES: dict[str, type[BoxGate]] = {
    "boxes": BoxGate,
    "carry": CarryGate,
    "boxes_photo": BoxPhotoGate,
    "parallel": ParallelGate,
    "merged": MergedGate,
    "double": DoubleGate,
}

OF_BOXES = ("boxes", "carry")


def sees_photo(config: Mapping[str, Any]) -> bool:
    """Whether a network of this config is told the photo as SMCD's is: beside each frame, or through its gates."""
    return config.get("in_channels") == 8 or bool(config.get("visual_widths"))
