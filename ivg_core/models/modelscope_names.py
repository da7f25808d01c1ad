"""What ModelScope's own text-to-video code calls the layers of our UNet; files for its web interfaces use these names.

Its network is flat: a level of diffusers' down and up blocks is a run of `input_blocks` and `output_blocks`.

Source: modelscope's UNetSD; animate-anything's utils/convert_diffusers_to_original_ms_text_to_video.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .unet import IVGUNet

#: parts of a spatial residual layer
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
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
        return name
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
