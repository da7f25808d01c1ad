"""A first IVG model from a plain text-to-video model, to begin a training with."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import torch
from torch import Tensor

from ..errors import IVGError
from ..models.bundle import IVGModel
from ..models.fingerprint import fingerprint_of_weights
from ..models.provenance import Part, Provenance
from .layout import find_checkpoint, read_layout
from .load import assemble, check_complete, empty_component, load_component
from .networks import adapt_weights, empty_network, fill_network


def init_model(
    folder: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu", seed: int = 0
) -> IVGModel:
    """Makes an untrained IVG model from a text-to-video checkpoint (zeroscope, ModelScope) in any of its layouts.

    Args:
        folder: the base checkpoint, as `load_model` takes it.
        dtype: of the weights.
        device: where they go.
        seed: for the weights that begin random.

    Raises:
        IVGError: the folder is no such checkpoint, or is an IVG checkpoint already.

    Source: the rules of animate-anything's first release.
    """
    layout = read_layout(find_checkpoint(folder))
    check_complete(layout)
    if layout.is_image_model:
        raise IVGError(f"{layout.path} is an image model: begin from a plain text-to-video model.")
    tensors, path = layout.read("unet", dtype, device), layout.weights["unet"][0]
    if "conv_in2.weight" in tensors:
        raise IVGError(f"{layout.path} is an IVG checkpoint already: train it as it is.")
    if layout.configs["unet"].get("gates"):
        raise IVGError(f"{layout.path} is a model that follows boxes: begin from a plain text-to-video model.")
    mark = fingerprint_of_weights(adapt_weights("unet", tensors, empty_component(layout, "unet")))
    base = Part("base", layout.path.resolve().name, layout.licence, mark)
    config = {**layout.configs["unet"], "motion_mask": True, "motion_strength": True, "photo": True}
    network = empty_network("unet", config, {key: tuple(t.shape) for key, t in tensors.items()}, str(path.parent))
    tensors = adapt_weights("unet", tensors, network)
    tensors |= _added_weights(tensors, torch.Generator().manual_seed(seed))
    networks = {name: load_component(layout, name, dtype, device) for name in ("vae", "text_encoder")}
    networks["unet"] = fill_network(network, tensors, path)
    made_of = (layout.provenance or Provenance((base,))).then("init-model")
    return made_of.onto(assemble(layout, networks))


def _added_weights(base: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    # The mask channel begins at zero, so that the model begins as the text-to-video model it was.
    conv = base["conv_in.weight"]  # (C0, 4, 3, 3)
    width = conv.shape[0]
    bound = 1 / sqrt(width)  # torch's own rule for a fresh linear layer
    projection = torch.empty(width, width).uniform_(-bound, bound, generator=generator)
    return {
        "conv_in2.weight": torch.cat([torch.zeros_like(conv[:, :1]), conv], dim=1),
        "conv_in2.bias": base["conv_in.bias"].clone(),
        "time_embedding.cond_proj.weight": projection.to(conv),
    }
