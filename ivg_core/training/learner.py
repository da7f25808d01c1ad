"""What is trained: a network and, beside it, LoRA layers or its own chosen weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import IVGError
from ..models.lora import LoRA
from ..models.told import Told
from ..models.voices import VOICES, Voices, heard
from .config import RELEASED_TRAINABLE, LoRASettings, TrainConfig

if TYPE_CHECKING:
    from ..models.backbone import Backbone
    from .backbone import TrainableBackbone


class Learner(nn.Module):
    """The network of a backbone as one module, so that accelerate can spread it over processes.

    Args:
        backbone: whose network it is.
        lora: its LoRA layers; None where the network itself is trained.
    """

    def __init__(self, backbone: Backbone, lora: LoRALayers | None):
        super().__init__()
        self.backbone = backbone
        self.unet, self.lora = backbone.network, lora  # checkpoints hold these names

    def forward(self, noisy: Tensor, levels: Tensor, told: Told, voices: Voices | None = None) -> Tensor:
        """What the network gives, with the LoRAs of these roles; None: with all of them, and all learn."""
        with heard(voices):
            return self.backbone(noisy, levels, told.to(dtype=noisy.dtype))


def choose_trained(backbone: TrainableBackbone, config: TrainConfig) -> LoRALayers | None:
    """Marks what is learned with `requires_grad`, and makes the LoRA layers if there are to be any.

    Raises:
        IVGError: `trainable` names no module.
    """
    network, idle = backbone.network, backbone.idle()
    network.requires_grad_(False)
    if config.method == "lora":
        return LoRALayers(backbone, config.lora, idle)
    chosen = trainable_names(network, config.trainable)
    for name, parameter in network.named_parameters():
        module = name.rpartition(".")[0]
        if name in chosen and not any(module == i or module.startswith(i + ".") for i in idle):
            parameter.requires_grad_(True)
            parameter.data = parameter.data.float()
    return None


def trainable_names(unet: nn.Module, parts: Sequence[str]) -> set[str]:
    """Parameters whose module's name contains one of the parts; all of them if there are no parts.

    Raises:
        IVGError: a part is in no module's name.

    Source: the released code's `trainable_modules`; "released" stands for those of its yaml.
    """
    listed = [p for part in parts for p in (RELEASED_TRAINABLE if part == "released" else (part,))]
    names = [name for name, _ in unet.named_parameters()]
    for part in listed:
        if not any(part in name.rpartition(".")[0] for name in names):
            raise IVGError(
                f"trainable: no module's name contains {part!r}; attn1, temp_conv or conv_in2 would be some."
            )
    return {name for name in names if not listed or any(part in name.rpartition(".")[0] for part in listed)}


class LowRankLayer(nn.Module):
    """The change of one layer: scale * up(down(dropout(x))); zero at first.

    Args:
        site: the linear layer or convolution it stands beside, known by its attributes: quantised
            layers are no `nn.Linear`.
        rank: clipped to what the layer has.
        alpha: the scale is alpha / rank; None = 1.
        dropout: 0..1.
    """

    def __init__(self, site: nn.Module, rank: int, alpha: float | None, dropout: float):
        super().__init__()
        if hasattr(site, "in_features"):
            linear: Any = site
            rank = min(rank, linear.in_features, linear.out_features)
            self.down: Any = nn.Linear(linear.in_features, rank, bias=False)
            self.up: Any = nn.Linear(rank, linear.out_features, bias=False)
        else:
            convolution: Any = site
            kind = nn.Conv3d if len(convolution.kernel_size) == 3 else nn.Conv2d
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
        backbone: whose network it is; it is only looked at.
        settings: role -> rank, alpha, dropout.
        idle: modules that this training never runs; they get no LoRA.

    Raises:
        IVGError: the network has no layer of these roles.
    """

    def __init__(self, backbone: Backbone, settings: Mapping[str, LoRASettings], idle: Collection[str] = ()):
        super().__init__()
        self.layers = nn.ModuleDict()
        self.roles: dict[str, str] = {}  # site -> role
        for role, s in settings.items():
            for site, module in backbone.sites([role]).items():
                if site not in idle:
                    self.layers[_key(site)] = LowRankLayer(module, s.rank, s.alpha, s.dropout)
                    self.roles[site] = role
        if not self.roles:
            raise IVGError(f"This network has no layers of the roles {', '.join(settings)}: choose others under lora.")

    def parameters_of(self, role: str) -> list[nn.Parameter]:
        """What is trained for a role."""
        return [p for site, r in self.roles.items() if r == role for p in self.layers[_key(site)].parameters()]

    @contextmanager
    def attached(self, network: nn.Module) -> Iterator[None]:
        """Inside the `with` block the network answers with the LoRA added."""
        handles = [
            network.get_submodule(site).register_forward_hook(_adder(self.layers[_key(site)], role))
            for site, role in self.roles.items()
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


def _adder(layer: nn.Module, role: str):
    def add(_module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        voices = VOICES.get()
        if voices is None or role in voices.learns:
            return output + layer(args[0]).to(output.dtype)
        if role not in voices.sounds:
            return output
        frozen = {name: p.detach() for name, p in layer.named_parameters()}
        return output + functional_call(layer, frozen, args[0]).to(output.dtype)

    return add
