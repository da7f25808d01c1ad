"""Loading a ControlNet of Stable Diffusion from its diffusers folder."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from ..devices import usable_device
from ..errors import IVGError
from ..media.targets import user_path
from ..models.control import InflatedControlNet
from .layout import read_config
from .networks import empty_network, fill_network
from .weights import find_weights, list_tensors, read_tensors

CONTROL_NET = "ControlNetModel"


def load_control_net(
    folder: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> InflatedControlNet:
    """Loads a ControlNet, for `models.control.Controlled`.

    Args:
        folder: that holds its config.json and its weights.
        dtype: what the weights are cast to.
        device: where they go.

    Returns:
        The network, in evaluation mode.

    Raises:
        IVGError: the folder is none of a ControlNet, or a file of it is damaged.
    """
    folder, device = user_path(folder), usable_device(device)
    weights, stated = find_weights(folder), folder / "config.json"
    if weights is None or not stated.is_file():
        raise IVGError(f"There is no ControlNet in {folder}: give the folder that holds its config.json and weights.")
    config = read_config(stated)
    kind = config.get("_class_name")
    if kind != CONTROL_NET:
        raise IVGError(f"{folder} is no ControlNet but {kind}: give the folder of one for Stable Diffusion.")
    shapes = {key: info.shape for key, info in list_tensors(weights).items()}
    network = empty_network("controlnet", config, shapes, str(stated))
    filled = fill_network(network, read_tensors(weights, "", dtype, device), weights)
    return cast(InflatedControlNet, filled)
