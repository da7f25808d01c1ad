"""EgoVLP: how alike two egocentric clips are, and two sentences about what hands do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ...errors import IVGError
from ...finite import check_read
from ...media.clips import even_indices
from .clip import IMAGENET_MEAN, IMAGENET_STD, prepared

TEXT_HEAD_WIDTH = 64


class EgoVLP:
    """Both towers of EgoVLP; sizes are read off the checkpoint.

    Args:
        path: a checkpoint as its authors publish it, or its weights alone.
        device: where it runs.

    Raises:
        IVGError: the file is damaged, or holds another model.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu"):
        weights = _read(path)
        try:
            self.video = _video_tower(_below(weights, "video_model."))
            self.text_model = _text_tower(_below(weights, "text_model."))
            self.video_head = _linear(weights, "vid_proj.0")
            self.text_head = _linear(weights, "txt_proj.1")
        except (KeyError, RuntimeError, ValueError) as error:
            raise IVGError(f"{path} is no EgoVLP checkpoint ({error}): download it again.") from error
        self.device = torch.device(device)
        for part in (self.video, self.text_model, self.video_head, self.text_head):
            part.eval().to(self.device)

    @torch.no_grad()
    def clip(self, frames: Tensor) -> Tensor:
        """A clip (F, H, W, 3) 0..1 -> (D), of length 1, on the CPU.

        As many frames as the model was made for, evenly spaced, or all where there are fewer.
        """
        chosen = even_indices(len(frames), self.video.num_frames)
        video = prepared(frames[chosen].to(self.device), self.video.side, IMAGENET_MEAN, IMAGENET_STD, "bilinear")
        return F.normalize(self.video_head(self.video(video[None]))[0].float().cpu(), dim=-1)

    @torch.no_grad()
    def text(self, tokens: Tensor) -> Tensor:
        """Token ids (N) of BERT's lower-case vocabulary, [CLS] … [SEP] -> (D), of length 1, on the CPU."""
        state = self.text_model(input_ids=tokens[None].to(self.device)).last_hidden_state[:, 0]
        return F.normalize(self.text_head(F.relu(state))[0].float().cpu(), dim=-1)


class _Nothing:
    """Stands for every object in a checkpoint that is no tensor; takes what it is given and keeps none of it."""

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def _read(path: Path) -> dict[str, Tensor]:
    """The weights, names without the prefix of data-parallel training.

    The published files also hold the training's configuration as objects of its own classes: these are not rebuilt.
    """
    try:
        unknown = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
        with torch.serialization.safe_globals([(_Nothing, name) for name in unknown]):
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in any way
        raise IVGError(f"{path} cannot be read ({error}): download it again.") from error
    state = stored.get("state_dict", stored) if isinstance(stored, dict) else {}
    weights = {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}
    check_read(weights, path)
    return weights


def _below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}


def _depth(weights: dict[str, Tensor], layers: str) -> int:
    found = [re.match(rf"{re.escape(layers)}\.(\d+)\.", name) for name in weights]
    return 1 + max(int(match[1]) for match in found if match)


def _video_tower(weights: dict[str, Tensor]) -> SpaceTimeTransformer:
    width, _, patch, _ = weights["patch_embed.proj.weight"].shape
    tower = SpaceTimeTransformer(
        width=width,
        hidden=len(weights["blocks.0.mlp.fc1.weight"]),
        depth=_depth(weights, "blocks"),
        patch=patch,
        patches=weights["pos_embed"].shape[1] - 1,
        num_frames=weights["temporal_embed"].shape[1],
    )
    tower.load_state_dict(weights)
    return tower


def _text_tower(weights: dict[str, Tensor]) -> Any:
    from transformers import DistilBertConfig, DistilBertModel

    words, width = weights["embeddings.word_embeddings.weight"].shape
    tower = DistilBertModel(
        DistilBertConfig(
            vocab_size=words,
            dim=width,
            hidden_dim=len(weights["transformer.layer.0.ffn.lin1.weight"]),
            n_layers=_depth(weights, "transformer.layer"),
            n_heads=width // TEXT_HEAD_WIDTH,
            max_position_embeddings=len(weights["embeddings.position_embeddings.weight"]),
        )
    )
    weights.pop("embeddings.position_ids", None)  # stored by older versions of transformers
    tower.load_state_dict(weights)
    return tower


def _linear(weights: dict[str, Tensor], name: str) -> nn.Linear:
    weight = weights[f"{name}.weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": weights[f"{name}.bias"]})
    return layer


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
            tokens = rearrange(tokens[:, :, 1:], "b heads (f n) c -> b heads f n c", f=frames)
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
        x = self.patch_embed["proj"](rearrange(video, "b f c h w -> (b f) c h w"))
        x = (
            rearrange(x, "(b f) c h w -> b f (h w) c", b=batch)
            + self.pos_embed[:, None, 1:]
            + self.temporal_embed[:, :frames, None]
        )
        first = (self.cls_token + self.pos_embed[:, :1]).expand(batch, -1, -1)
        x = torch.cat([first, rearrange(x, "b f n c -> b (f n) c")], 1)  # (B, 1 + F N, C)
        for block in self.blocks:
            x = block(x, frames)
        return self.norm(x)[:, 0]
