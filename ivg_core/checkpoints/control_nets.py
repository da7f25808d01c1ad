"""Loading what follows a control video: a ControlNet or a T2I-Adapter of Stable Diffusion."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from ..devices import usable_device
from ..errors import IVGError
from ..media.targets import user_path
from ..models.adapter import FrameAdapter
from ..models.control import InflatedControlNet
from .adapters import config_of, from_released, is_released
from .config_files import read_config
from .layout import PICKLES
from .networks import empty_network, fill_network
from .weights import find_weights, is_safetensors, list_tensors, read_tensors

#: The network of a config.json's class, as `networks.empty_network` calls it.
KINDS = {"ControlNetModel": "controlnet", "T2IAdapter": "adapter"}


def load_control_net(
    source: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> InflatedControlNet | FrameAdapter:
    """Loads a ControlNet or a T2I-Adapter, for `models.control.Controlled`.

    Args:
        source: the folder of diffusers that holds its config.json and its weights; or the one file (.safetensors, .pth,
            .bin) that a T2I-Adapter was released in.
        dtype: what the weights are cast to.
        device: where they go.

    Returns:
        The network, in evaluation mode.

    Raises:
        IVGError: there is neither, or a file is damaged.
    """
    source, device = user_path(source), usable_device(device)
    weights = source if source.is_file() else find_weights(source)
    stated = source / "config.json"
    if weights is None or not (source.is_file() or stated.is_file()):
        raise IVGError(
            f"There is no ControlNet in {source}: give the folder that holds its config.json and weights, or a "
            "T2I-Adapter's one file."
        )
    if source.is_file():
        name, config, stated = "adapter", _config_of(source), source
    else:
        config = read_config(stated)
        kind = config.get("_class_name")
        if kind not in KINDS:
            raise IVGError(f"{source} is no ControlNet but {kind}: give the folder of one for Stable Diffusion.")
        name = KINDS[kind]
    shapes = {key: info.shape for key, info in list_tensors(weights).items()}
    network = empty_network(name, config, shapes, str(stated))
    tensors = read_tensors(weights, "", dtype, device)
    filled = fill_network(network, from_released(tensors) if is_released(tensors) else tensors, weights)
    return cast(InflatedControlNet | FrameAdapter, filled)


def _config_of(file: Path) -> dict[str, object]:
    shapes = {}
    if is_safetensors(file) or file.suffix.lower() in PICKLES:
        shapes = {key: info.shape for key, info in list_tensors(file).items()}
    if not is_released(shapes):
        raise IVGError(
            f"{file} holds no full T2I-Adapter; a ControlNet is a folder that holds its config.json: give that."
        )
    return config_of(shapes)
