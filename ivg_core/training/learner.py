"""What is trained: a network and, beside it, LoRA layers or its own chosen weights."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import IVGError
from ..models.lora import LoRA, lora_sites
from ..models.unet import IVGUNet
from .config import RELEASED_TRAINABLE, LoRASettings, TrainConfig

if TYPE_CHECKING:
    from ..models.bundle import IVGModel


class Learner(nn.Module):
    """The network of a stage as one module, so that accelerate can spread it over processes.

    Args:
        unet: the network.
        lora: its LoRA layers; None where the network itself is trained.
    """

    def __init__(self, unet: IVGUNet, lora: LoRALayers | None):
        super().__init__()
        self.unet, self.lora = unet, lora

    def forward(self, noisy: Tensor, timesteps: Tensor, text: Tensor, photo: Tensor, mask: Tensor, motion) -> Tensor:
        return self.unet(noisy, timesteps, text.to(noisy.dtype), photo, mask, motion)


def network_of(model: IVGModel, config: TrainConfig) -> IVGUNet:
    """The network to train: the stage's own; stage 1 begins from stage 2's weights where the model has none.

    Full training works on a copy, so that the model that was given stays as it is; a LoRA never touches its weights.
    """
    unet = model.rom_unet if config.stage == 1 and model.rom_unet is not None else model.for_stage(2)
    return copy.deepcopy(unet) if config.method == "full" else unet


def idle_modules(unet: IVGUNet, stage: int) -> set[str]:
    """Modules that this stage never runs; processes side by side would wait for their gradients for ever."""
    idle = {"motion_embedding", "conv_in" if unet.config["motion_mask"] else "conv_in2"}
    if stage == 1 or not unet.config["motion_strength"]:
        idle.add("time_embedding.cond_proj")
    return idle


def choose_trained(unet: IVGUNet, config: TrainConfig) -> LoRALayers | None:
    """Marks what is learned with `requires_grad`, and makes the LoRA layers if there are to be any.

    Raises:
        IVGError: `trainable` names no module.
    """
    unet.requires_grad_(False)
    idle = idle_modules(unet, config.stage)
    if config.method == "lora":
        return LoRALayers(unet, config.lora, idle)
    chosen = trainable_names(unet, config.trainable)
    for name, parameter in unet.named_parameters():
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


def fingerprint(network: nn.Module) -> str:
    """A hash of a network's weights, to tell whether a LoRA or a checkpoint belongs to it."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def geometry(unet: IVGUNet) -> dict[str, object]:
    """What a network has to be like for a LoRA to fit it."""
    keys = ("block_out_channels", "layers_per_block", "attention_head_dim", "cross_attention_dim", "in_channels")
    return {key: unet.config[key] for key in keys}


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
