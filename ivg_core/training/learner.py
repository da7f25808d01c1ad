"""What is trained: a network and, beside it, LoRA layers or its own chosen weights."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import IVGError
from ..models.lora import LoRA
from ..models.told import Told
from ..models.voices import VOICES, Voices, heard
from .config import TRAINABLE, LoRASettings, TrainConfig

if TYPE_CHECKING:
    from ..models.backbone import Backbone
    from .backbone import TrainableBackbone


class Learner(nn.Module):
    """What learns as one module, so that accelerate can spread it over processes.

    Args:
        backbone: whose network it is.
        lora: its LoRA layers, and the network is frozen and stays where it is; None: the network itself is trained.
    """

    def __init__(self, backbone: Backbone, lora: LoRALayers | None):
        super().__init__()
        self.backbone, self.lora = backbone, lora  # checkpoints hold the names `lora` and `unet`
        if lora is None:
            self.unet = backbone.network

    def forward(self, noisy: Tensor, levels: Tensor, told: Told, voices: Voices | None = None) -> Tensor:
        """What the network gives, with the LoRAs of these roles; None: with all of them, and all learn."""
        if self.lora is not None:
            self.lora.learned |= self.lora.learning(voices)
        with heard(voices):
            return self.backbone(noisy, levels, told.to(dtype=noisy.dtype))


def choose_trained(backbone: TrainableBackbone, config: TrainConfig, clips: int) -> LoRALayers | None:
    """Marks what is learned with `requires_grad`, and makes the LoRA layers if there are to be any.

    Args:
        backbone: whose network it is.
        config: what is to be learned.
        clips: that it is learned from.

    Raises:
        IVGError: `trainable` names no module.
    """
    network, idle = backbone.network, backbone.idle()
    network.requires_grad_(False)
    if config.method == "lora":
        return LoRALayers(backbone, config.lora, idle, clips)
    chosen = trainable_names(network, config.trainable)
    for name, parameter in network.named_parameters():
        module = name.rpartition(".")[0]
        if name in chosen and not any(module == i or module.startswith(i + ".") for i in idle):
            parameter.requires_grad_(True)
            parameter.data = parameter.data.float()
    return None


def trainable_names(unet: nn.Module, parts: Sequence[str]) -> set[str]:
    """Parameters whose name contains one of the parts; all of them if there are no parts.

    Args:
        unet: the network.
        parts: in which * stands for anything; a key of `TRAINABLE` stands for several.

    Raises:
        IVGError: a part is in no name.

    Source: the released code's `trainable_modules`, and SMCD's.
    """
    names = [name for name, _ in unet.named_parameters()]
    found: set[str] = set() if parts else set(names)
    for part in (each for name in parts for each in TRAINABLE.get(name, (name,))):
        chosen = fnmatch.filter(names, f"*{part}*")
        if not chosen:
            raise IVGError(
                f"trainable: no weight's name contains {part!r}; attn1, temp_conv or conv_in2 would be some."
            )
        found |= set(chosen)
    return found


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
        clips: that it is learned from; a role that is `per_clip` has so many LoRAs.

    Attributes:
        learned: the groups that were heard learning since it was last emptied.

    Raises:
        IVGError: the network has no layer of these roles.
    """

    def __init__(
        self, backbone: Backbone, settings: Mapping[str, LoRASettings], idle: Collection[str] = (), clips: int = 1
    ):
        super().__init__()
        self.layers = nn.ModuleDict()
        self.roles: dict[str, str] = {}  # site -> role
        self.clips = {role: clips for role, s in settings.items() if s.per_clip}
        self.learned: set[Group] = set()
        for role, s in settings.items():
            for site, module in backbone.sites([role]).items():
                if site not in idle:
                    made = [LowRankLayer(module, s.rank, s.alpha, s.dropout) for _ in range(self.clips.get(role, 1))]
                    self.layers[_key(site)] = nn.ModuleList(made) if role in self.clips else made[0]
                    self.roles[site] = role
        if not self.roles:
            raise IVGError(f"This network has no layers of the roles {', '.join(settings)}: choose others under lora.")

    def groups(self) -> dict[Group, list[nn.Parameter]]:
        """What learns together: a role, or the LoRA of a role for one clip."""
        found: dict[Group, list[nn.Parameter]] = {}
        for role in dict.fromkeys(self.roles.values()):
            for clip in range(self.clips[role]) if role in self.clips else [None]:
                layers = [self.layer(site, clip) for site, r in self.roles.items() if r == role]
                found[role, clip] = [p for layer in layers for p in layer.parameters()]
        return found

    def learning(self, voices: Voices | None) -> set[Group]:
        """The groups that learn where these are heard."""
        roles = set(self.roles.values()) if voices is None else voices.learns
        clips = () if voices is None else voices.clips
        shared: set[Group] = {(role, None) for role in roles if role not in self.clips}
        return shared | {(role, clip) for role in roles if role in self.clips for clip in clips}

    def layer(self, site: str, clip: int | None = None) -> Any:
        """The `LowRankLayer` of a site, or that of one clip."""
        layers: Any = self.layers[_key(site)]
        return layers if clip is None else layers[clip]

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

    def to_lora(self, clip: int | None = None) -> LoRA:
        """A copy of what has been learned of all clips, or besides of one of them, in float32 on the CPU."""
        lora = LoRA({})
        for site, role in self.roles.items():
            if (role in self.clips) == (clip is None):
                continue
            layer = self.layer(site, clip)
            up, down = (half.weight.detach().float().cpu().clone() for half in (layer.up, layer.down))
            lora.layers[site] = (up, down)
            if layer.scale != 1:
                lora.scales[site] = layer.scale
        return lora


#: Role, and the clip whose own it is.
Group: TypeAlias = "tuple[str, int | None]"


def _key(site: str) -> str:
    return site.replace(".", "/")  # a module's name may not hold a dot


def _adder(layer: nn.Module, role: str):
    def add(_module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        voices = VOICES.get()
        learns = voices is None or role in voices.learns
        if not learns and role not in voices.sounds:  # type: ignore[union-attr]
            return output
        if not isinstance(layer, nn.ModuleList):
            return output + _change(layer, args[0], learns).to(output.dtype)
        clips = () if voices is None else voices.clips
        if not clips:
            return output
        parts = args[0].chunk(len(clips))  # the batch is the slowest axis of every layer's input
        changes = [_change(layer[clip], part, learns) for clip, part in zip(clips, parts, strict=True)]
        return output + torch.cat(changes).to(output.dtype)

    return add


def _change(layer: nn.Module, x: Tensor, learns: bool) -> Tensor:
    if learns:
        return layer(x)
    return functional_call(layer, {name: p.detach() for name, p in layer.named_parameters()}, x)
