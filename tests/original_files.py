"""ModelScope's own files for tests: names and shapes, built up as its network is, and the way from and to diffusers."""

from __future__ import annotations

import re

import torch
from torch import Tensor

TINY = {"width": 32, "context": 128, "mult": (1, 2), "layers": 1, "crossed": 1, "head": 8}


def unet_shapes(
    width: int = 320,
    context: int = 1024,
    mult: tuple[int, ...] = (1, 2, 4, 4),
    layers: int = 2,
    crossed: int = 3,
    head: int = 64,
) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight of ModelScope's UNet; as published without arguments.

    Args:
        width: channels of the first level.
        context: width of the text.
        mult: channels of each level, in widths.
        layers: of a level.
        crossed: so many levels, the first ones, have attention.
        head: channels of an attention head.
    """
    found = {
        **_linear("time_embed.0", width, 4 * width),
        **_linear("time_embed.2", 4 * width, 4 * width),
        **_convolution("input_blocks.0.0", 4, width),
        **_attention("input_blocks.0.1", width, 8 * head, None),
    }
    channels, skips, place = width, [width], 1
    for level, times in enumerate(mult):
        for _ in range(layers):
            found |= _residual(f"input_blocks.{place}.0", channels, width * times, 4 * width)
            channels = width * times
            if level < crossed:
                found |= _attention(f"input_blocks.{place}.1", channels, channels, context)
                found |= _attention(f"input_blocks.{place}.2", channels, channels, None)
            skips.append(channels)
            place += 1
        if level < len(mult) - 1:
            found |= _convolution(f"input_blocks.{place}.op", channels, channels)
            skips.append(channels)
            place += 1
    found |= _residual("middle_block.0", channels, channels, 4 * width)
    found |= _attention("middle_block.1", channels, channels, context)
    found |= _attention("middle_block.2", channels, channels, None)
    found |= _residual("middle_block.3", channels, channels, 4 * width)
    place = 0
    for level, times in reversed([*enumerate(mult)]):
        for i in range(layers + 1):
            found |= _residual(f"output_blocks.{place}.0", channels + skips.pop(), width * times, 4 * width)
            channels = width * times
            if level < crossed:
                found |= _attention(f"output_blocks.{place}.1", channels, channels, context)
                found |= _attention(f"output_blocks.{place}.2", channels, channels, None)
            if level and i == layers:
                behind = 3 if level < crossed else 1
                found |= _convolution(f"output_blocks.{place}.{behind}.conv", channels, channels)
            place += 1
    return found | _norm("out.0", width) | _convolution("out.2", width, 4)


def _linear(name: str, a: int, b: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (b, a), f"{name}.bias": (b,)}


def _convolution(name: str, a: int, b: int, size: tuple[int, ...] = (3, 3)) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (b, a, *size), f"{name}.bias": (b,)}


def _norm(name: str, a: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (a,), f"{name}.bias": (a,)}


def _residual(name: str, a: int, b: int, time: int) -> dict[str, tuple[int, ...]]:
    found = _norm(f"{name}.in_layers.0", a) | _convolution(f"{name}.in_layers.2", a, b)
    found |= _linear(f"{name}.emb_layers.1", time, b)
    found |= _norm(f"{name}.out_layers.0", b) | _convolution(f"{name}.out_layers.3", b, b)
    if a != b:
        found |= _convolution(f"{name}.skip_connection", a, b, (1, 1))
    for i, last in ((1, 2), (2, 3), (3, 3), (4, 3)):
        layer = f"{name}.temopral_conv.conv{i}"
        found |= _norm(f"{layer}.0", b) | _convolution(f"{layer}.{last}", b, b, (3, 1, 1))
    return found


def _attention(name: str, channels: int, inner: int, context: int | None) -> dict[str, tuple[int, ...]]:
    """Over space with a context; without one over time, where the projections are convolutions."""
    block = f"{name}.transformer_blocks.0"
    project = _linear if context else lambda key, a, b: _convolution(key, a, b, (1,))
    found = _norm(f"{name}.norm", channels) | project(f"{name}.proj_in", channels, inner)
    for attention, source in (("attn1", inner), ("attn2", context or inner)):
        found[f"{block}.{attention}.to_q.weight"] = (inner, inner)
        found |= {f"{block}.{attention}.to_{kind}.weight": (inner, source) for kind in "kv"}
        found |= _linear(f"{block}.{attention}.to_out.0", inner, inner)
    found |= _linear(f"{block}.ff.net.0.proj", inner, 8 * inner) | _linear(f"{block}.ff.net.2", 4 * inner, inner)
    for i in (1, 2, 3):
        found |= _norm(f"{block}.norm{i}", inner)
    return found | project(f"{name}.proj_out", inner, channels)


def random_unet(seed: int = 0, **sizes) -> dict[str, Tensor]:
    """Weights for `unet_shapes`."""
    generator = torch.Generator().manual_seed(seed)
    return {key: torch.randn(shape, generator=generator) * 0.05 for key, shape in unet_shapes(**sizes).items()}


ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
RESIDUAL = (
    ("in_layers.0", "norm1"), ("in_layers.2", "conv1"), ("emb_layers.1", "time_emb_proj"), ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"), ("skip_connection", "conv_shortcut"),
)  # fmt: skip


def diffusers_unet(tensors: dict[str, Tensor], layers: int = 1) -> dict[str, Tensor]:
    """ModelScope's weights under diffusers' names. The library goes from names here to names there, this goes back."""
    found = {}
    for key, tensor in tensors.items():
        side, _, rest = key.partition(".")
        if side in ("time_embed", "out"):
            layer, leaf = key.rsplit(".", 1)
            name = f"{ENDS[layer]}.{leaf}"
        elif key.startswith("input_blocks.0."):
            name = key.replace("input_blocks.0.0", "conv_in").replace("input_blocks.0.1", "transformer_in")
        elif side == "middle_block":
            place, rest = rest.split(".", 1)
            name = _diffusers_layer("mid_block", str(int(place) % 3), int(place) // 3, rest)
        else:
            place, inner, rest = rest.split(".", 2)
            level, i = divmod(int(place) - (side == "input_blocks"), layers + 1)
            block = f"{'down' if side == 'input_blocks' else 'up'}_blocks.{level}"
            if inner == "op":
                name = f"{block}.downsamplers.0.conv.{rest}"
            elif rest.startswith("conv."):
                name = f"{block}.upsamplers.0.{rest}"
            else:
                name = _diffusers_layer(block, inner, i, rest)
        over_time = "temp_attentions" in name or name.startswith("transformer_in")
        found[name] = tensor[..., 0] if over_time and tensor.ndim == 3 else tensor
    return found


def _diffusers_layer(block: str, inner: str, i: int, rest: str) -> str:
    if inner != "0":
        return f"{block}.{'attentions' if inner == '1' else 'temp_attentions'}.{i}.{rest}"
    if rest.startswith("temopral_conv."):
        return f"{block}.temp_convs.{i}.{rest.removeprefix('temopral_conv.')}"
    old, new = next(pair for pair in RESIDUAL if rest.startswith(pair[0]))
    return f"{block}.resnets.{i}.{rest.replace(old, new, 1)}"


def ldm_vae(weights: dict[str, Tensor], levels: int) -> dict[str, Tensor]:
    """An autoencoder of diffusers under the names of Latent Diffusion."""
    return {_ldm_name(key, levels): _ldm_form(key, tensor) for key, tensor in weights.items()}


def _ldm_form(key: str, tensor: Tensor) -> Tensor:
    return tensor[..., None, None] if ".attentions." in key and tensor.ndim == 2 else tensor  # 1x1 convolutions there


def _ldm_name(key: str, levels: int) -> str:
    key = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", key)
    key = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", key)
    up = r"up_blocks\.(\d+)\.(resnets\.|upsamplers\.0)"
    kinds = {"resnets.": "block.", "upsamplers.0": "upsample"}
    key = re.sub(up, lambda m: f"up.{levels - 1 - int(m[1])}.{kinds[m[2]]}", key)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    if ".attentions." in key:
        key = key.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
        key = re.sub(r"to_([qkv])\b", r"\1", key).replace("to_out.0", "proj_out")
    return key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


CLIP = (
    ("embeddings.token_embedding.weight", "token_embedding.weight"),
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("final_layer_norm", "ln_final"), ("encoder.layers.", "transformer.resblocks."), ("layer_norm", "ln_"),
    ("fc1", "c_fc"), ("fc2", "c_proj"), ("self_attn.out_proj", "attn.out_proj"),
)  # fmt: skip


def open_clip(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A text encoder of transformers under OpenCLIP's names, with what such a file holds besides."""
    found, joined = {}, {}
    for key, tensor in weights.items():
        name = key.removeprefix("text_model.")
        for ours, theirs in CLIP:
            name = name.replace(ours, theirs)
        if match := re.fullmatch(r"(.+)\.self_attn\.([qkv])_proj\.(weight|bias)", name):
            joined.setdefault(f"{match[1]}.attn.in_proj_{match[3]}", {})[match[2]] = tensor
        elif "position_ids" not in name:
            found[name] = tensor
    found |= {name: torch.cat([parts[kind] for kind in "qkv"]) for name, parts in joined.items()}
    width, count = found["ln_final.weight"].shape[0], sum(name.endswith("ln_1.weight") for name in found)
    last = {
        name.replace(".0.", f".{count}."): torch.randn_like(t) for name, t in found.items() if "resblocks.0." in name
    }
    # NaN, which is refused wherever it is read: the half for pictures is not.
    pictures = {
        "visual.class_embedding": torch.full((3,), torch.nan),
        "visual.transformer.resblocks.0.ln_1.weight": torch.ones(3),
    }
    return found | last | pictures | {"text_projection": torch.ones(width, width), "logit_scale": torch.tensor(4.6)}
