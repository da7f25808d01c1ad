"""LoRA while it is being trained: small layers beside the network's own, added to their output by hooks.

The network itself is not rebuilt: names stay, weights stay bit for bit, and taking the hooks off restores it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import IVGError
from ..models.lora import LoRA, lora_sites
from ..models.unet import IVGUNet
from .config import LoRASettings


class LowRankLayer(nn.Module):
    """The change of one layer: scale * up(down(dropout(x))); zero at first.

    Args:
        site: the linear layer or convolution it stands beside.
        rank: clipped to what the layer has.
        alpha: the scale is alpha / rank; None = 1.
        dropout: 0..1.
    """

    def __init__(self, site: nn.Module, rank: int, alpha: float | None, dropout: float):
        super().__init__()
        if isinstance(site, nn.Linear):
            rank = min(rank, site.in_features, site.out_features)
            self.down: Any = nn.Linear(site.in_features, rank, bias=False)
            self.up: Any = nn.Linear(rank, site.out_features, bias=False)
        else:
            convolution: Any = site
            kind = nn.Conv3d if isinstance(site, nn.Conv3d) else nn.Conv2d
            rank = min(rank, convolution.in_channels, convolution.out_channels)
            self.down = kind(
                convolution.in_channels,
                rank,
                convolution.kernel_size,
                convolution.stride,
                convolution.padding,
                bias=False,
            )
            self.up = kind(rank, convolution.out_channels, 1, bias=False)
        nn.init.zeros_(self.up.weight)
        self.dropout = nn.Dropout(dropout)
        self.scale = 1.0 if alpha is None else alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_autocast_enabled(x.device.type):
            x = x.to(self.down.weight.dtype)  # the network may be in half precision, what is trained is not
        return self.scale * self.up(self.down(self.dropout(x)))


class LoRALayers(nn.Module):
    """The LoRA layers of a network.

    Args:
        unet: the network; it is only looked at.
        settings: role -> rank, alpha, dropout.
        idle: modules that this training never runs; they get no LoRA.

    Raises:
        IVGError: the network has no layer of these roles.
    """

    def __init__(self, unet: IVGUNet, settings: Mapping[str, LoRASettings], idle: Collection[str] = ()):
        super().__init__()
        self.layers = nn.ModuleDict()
        self.roles: dict[str, str] = {}  # site -> role
        for role, s in settings.items():
            for site, module in lora_sites(unet, [role]).items():
                if site not in idle:
                    self.layers[_key(site)] = LowRankLayer(module, s.rank, s.alpha, s.dropout)
                    self.roles[site] = role
        if not self.roles:
            raise IVGError(f"This network has no layers of the roles {', '.join(settings)}: choose others under lora.")

    def parameters_of(self, role: str) -> list[nn.Parameter]:
        """What is trained for a role."""
        return [p for site, r in self.roles.items() if r == role for p in self.layers[_key(site)].parameters()]

    @contextmanager
    def attached(self, unet: IVGUNet) -> Iterator[None]:
        """Inside the `with` block the network answers with the LoRA added."""
        handles = [
            unet.get_submodule(site).register_forward_hook(_adder(self.layers[_key(site)])) for site in self.roles
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def to_lora(self) -> LoRA:
        """A copy of what has been learned, in float32 on the CPU."""
        lora = LoRA({})
        for site in self.roles:
            layer: Any = self.layers[_key(site)]
            up, down = (half.weight.detach().float().cpu().clone() for half in (layer.up, layer.down))
            lora.layers[site] = (up, down)
            if layer.scale != 1:
                lora.scales[site] = layer.scale
        return lora


def _key(site: str) -> str:
    return site.replace(".", "/")  # a module's name may not hold a dot


def _adder(layer: nn.Module):
    def add(_module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        return output + layer(args[0]).to(output.dtype)

    return add
