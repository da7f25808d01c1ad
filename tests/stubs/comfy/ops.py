"""Core's layers. Here all weights are always in place, so none is ever cast."""

import torch


class disable_weight_init:
    pass


for _kind in ("Linear", "Conv2d", "Conv3d", "GroupNorm", "LayerNorm", "Embedding"):
    _more = {"comfy_cast_weights": False, "weight_function": [], "bias_function": []}
    setattr(disable_weight_init, _kind, type(_kind, (getattr(torch.nn, _kind),), _more))
