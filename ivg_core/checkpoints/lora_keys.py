"""Which half of which layer a key in a LoRA file means, in the names of all who write such files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from torch import Tensor

from ..errors import IVGError
from ..models.lora import LAYER_TYPES

if TYPE_CHECKING:
    from ..models.unet import IVGUNet

#: Other kinds of adapters, by what their keys hold. Without these parts the rest of such a file means something else.
OTHER_KINDS = {
    "DoRA": re.compile(r"\.dora_scale$|lora_magnitude_vector"),
    "LoHa": re.compile(r"\.hada_"),
    "LoKr": re.compile(r"\.lokr_"),
    "OFT": re.compile(r"\.oft_|\.boft_"),
    "IA3": re.compile(r"\.ia3_"),
    "Tucker LoCon": re.compile(r"\.lora_mid\b"),
    "bias": re.compile(r"\.lora[_.](B|up)(\.\w+)?\.bias$|\.diff_b$"),
    "full difference": re.compile(r"\.diff$"),
}
#: What core's own loader expects before the names of a network's layers.
CORE = "diffusion_model."
#: what programs put before the names of a UNet's layers
BEFORE = re.compile(rf"(base_model\.model\.)?(unet\.|{re.escape(CORE)})?")
TEXT_ENCODER = re.compile(r"(base_model\.model\.)?(text_encoder|text_model|lora_te)")
KEY = re.compile(r"(?P<module>.+)[._]lora[_.](?P<part>up|down|A|B)(\.default)?(\.weight)?")
#: what diffusers' older training scripts put between the names of the attention and of its layer
PROCESSOR = re.compile(r"\.processor(?=\.|$)")


class Part(NamedTuple):
    """What a key stands for."""

    module: str  # as the file calls the layer
    part: Literal["up", "down", "alpha"]


def read_key(key: str) -> Part | None:
    """The layer and the part of it; None for a key of something else."""
    if key.endswith(".alpha"):
        return Part(key.removesuffix(".alpha"), "alpha")
    match = KEY.fullmatch(key)
    if match is None:
        return None
    return Part(match["module"], "up" if match["part"] in ("up", "B") else "down")


def other_kind(keys: list[str]) -> tuple[str, list[str]] | None:
    """The kind of adapter that is no plain LoRA, and its keys, if there is one among these."""
    for kind, pattern in OTHER_KINDS.items():
        if found := [key for key in keys if pattern.search(key)]:
            return kind, found
    return None


def check_part(path: Path, key: str, part: str, tensor: Tensor) -> None:
    """See that a tensor of a file can be the part of a LoRA that its key says.

    Raises:
        IVGError: its kind or shape is another.
    """
    what = f"{key} in {path}"
    if tensor.is_complex() or (part != "alpha" and not tensor.is_floating_point()):
        raise IVGError(f"{what} is of {tensor.dtype}, which is no weight of a LoRA: get the file again.")
    if part == "alpha" and tensor.numel() != 1:
        raise IVGError(f"{what} has shape {tuple(tensor.shape)} where one number belongs: get the file again.")
    if part != "alpha" and (tensor.ndim < 2 or not tensor.numel()):
        raise IVGError(f"{what} has shape {tuple(tensor.shape)} where a matrix belongs: get the file again.")


class LayerNames:
    """The layers of a network under every name that a LoRA file may have for them."""

    def __init__(self, unet: IVGUNet):
        self.layers = [name for name, module in unet.named_modules() if isinstance(module, LAYER_TYPES)]
        self.known = {
            alias: name
            for name in self.layers
            for alias in (modelscope_name(name, unet), "lora_unet_" + name.replace(".", "_"), name)
        }

    def find(self, module: str) -> str | None:
        """The layer that a file calls `module`; None if the network has none like it."""
        plain = PROCESSOR.sub("", BEFORE.sub("", module, count=1))
        return self.known.get(plain) or self.known.get(f"{plain}.0")  # once `to_out`, now `to_out.0`


#: parts of a spatial residual layer
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
#: layers outside the blocks
ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
#: where the layers of one position stand in its run
PLACES = {"resnets": "0", "temp_convs": "0.temopral_conv", "attentions": "1", "temp_attentions": "2"}  # as spelt there
LAYER = re.compile(
    r"(?P<side>down_blocks|up_blocks|mid_block)\.((?P<level>\d+)\.)?(?P<kind>[a-z_]+)\.(?P<i>\d+)\.(?P<rest>.+)"
)


def modelscope_name(name: str, unet: IVGUNet) -> str:
    """The ModelScope name of a layer; one that has no other name there keeps its own.

    Args:
        name: of the module in diffusers' layout, e.g. `down_blocks.0.attentions.1.proj_in`.
        unet: the network; how many layers a level has decides the numbers.
    """
    if name.startswith("transformer_in."):
        return name.replace("transformer_in", "input_blocks.0.1", 1)
    match = LAYER.fullmatch(name)
    if match is None:
        return ENDS.get(name, name)
    kind, i, rest, level = match["kind"], int(match["i"]), match["rest"], int(match["level"] or 0)
    if kind == "resnets":
        rest = RESNET[rest]
    layers = unet.config["layers_per_block"]
    if match["side"] == "mid_block":
        place = {"resnets": f"{3 * i}", "temp_convs": f"{3 * i}.temopral_conv", "attentions": "1"}.get(kind, "2")
        return f"middle_block.{place}.{rest}"
    if match["side"] == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{(layers + 1) * (level + 1)}.{rest.replace('conv', 'op', 1)}"
        return f"input_blocks.{(layers + 1) * level + i + 1}.{PLACES[kind]}.{rest}"
    if kind == "upsamplers":  # stands behind the attentions, where the level has any
        place = "3" if "CrossAttn" in unet.config["up_block_types"][level] else "1"
        return f"output_blocks.{(layers + 1) * level + layers}.{place}.{rest}"
    return f"output_blocks.{(layers + 1) * level + i}.{PLACES[kind]}.{rest}"
