"""EgoVLP: how alike two egocentric clips are, and two sentences about what hands do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import IVGError
from .frames import IMAGENET_MEAN, IMAGENET_STD, prepared
from .space_time import SpaceTimeTransformer

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
        count = min(len(frames), self.video.num_frames)
        chosen = torch.linspace(0, len(frames) - 1, count).round().long()
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
    return {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}


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
