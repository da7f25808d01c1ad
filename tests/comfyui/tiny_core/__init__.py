"""Core's own autoencoders and a text encoder of Wan, tiny and with random weights, as nodes; for tests only.

Core reads the width of Wan 2.2's VAE from a constant, and has text encoders of full size only: 11 GB. So no file could
hold tiny ones, as one holds a tiny transformer (see make_wan.py), and here they are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import comfy.ldm.wan.vae
import comfy.ldm.wan.vae2_2
import comfy.sd
import comfy.sd1_clip
import torch
from comfy.text_encoders import sd3_clip, t5

#: Which of core's classes, and their sizes.
VAES = {
    "wan 2.2": (comfy.ldm.wan.vae2_2, {"dim": 16, "dec_dim": 16, "z_dim": 48}),
    "wan 2.1": (comfy.ldm.wan.vae, {"dim": 16, "z_dim": 16}),
}
#: One layer of the encoder that core has for Wan, as wide as Wan's transformer wants it.
T5 = {
    "d_model": 4096,
    "d_kv": 64,
    "num_heads": 2,
    "d_ff": 64,
    "num_layers": 1,
    "dense_act_fn": "gelu_pytorch_tanh",
    "is_gated_act": True,
    "model_type": "umt5",
    "vocab_size": 32128,
}


def random_weights(network: torch.nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    """Numbers of the size that trained ones have, so that a video is of the order of its noise."""
    draw = torch.Generator().manual_seed(seed)

    def drawn(value: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(value.shape, generator=draw)
        return noise / value[0].numel() ** 0.5 if value.ndim > 1 else 0.1 * noise

    kinds = {name: type(module).__name__ for name, module in network.named_modules()}
    weights = {key: drawn(value) for key, value in network.state_dict().items()}
    for key in weights:
        if "Norm" in kinds[key.rpartition(".")[0]] and key.endswith("weight"):
            weights[key] = weights[key] + 1
    return weights


@contextmanager
def _small(module: Any, **sizes: int) -> Iterator[type]:
    """Core reads the width of Wan's VAEs from a constant, or a newer one from the file."""
    whole = module.WanVAE

    class Small(whole):
        def __init__(self, **named):
            super().__init__(**{**named, **sizes})

    Small.__name__ = whole.__name__
    module.WanVAE = Small
    try:
        yield Small
    finally:
        module.WanVAE = whole


def wan_vae(kind: str) -> comfy.sd.VAE:
    """One of `VAES` as core's VAE."""
    module, sizes = VAES[kind]
    with _small(module, **sizes) as small:
        net = small(temperal_downsample=[False, True, True])
        return comfy.sd.VAE(random_weights(net), dtype=torch.float32)


class TinyT5(comfy.sd1_clip.SDClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}):  # noqa: B006  as core's have it
        super().__init__(
            device=device, layer="last", textmodel_json_config=dict(T5), dtype=dtype, model_class=t5.T5,
            special_tokens={"end": 1, "pad": 0}, enable_attention_masks=True, zero_out_masked=True,
            model_options=model_options,
        )  # fmt: skip


class TinyTokenizer(comfy.sd1_clip.SD1Tokenizer):
    def __init__(self, embedding_directory=None, tokenizer_data={}):  # noqa: B006
        super().__init__(embedding_directory, tokenizer_data, "t5xxl", tokenizer=sd3_clip.T5XXLTokenizer)


class TinyTextModel(comfy.sd1_clip.SD1ClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}):  # noqa: B006
        super().__init__(device, dtype, model_options, name="t5xxl", clip_model=TinyT5)


def wan_clip() -> comfy.sd.CLIP:
    """Core's CLIP of that encoder."""
    target = SimpleNamespace(params={}, clip=TinyTextModel, tokenizer=TinyTokenizer)
    clip = comfy.sd.CLIP(target, model_options={"dtype": torch.bfloat16})
    encoder = clip.cond_stage_model.t5xxl.transformer
    encoder.load_state_dict(random_weights(encoder))
    return clip


class TinyCoreVAE:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"kind": (list(VAES),)}}

    RETURN_TYPES, FUNCTION, CATEGORY = ("VAE",), "load", "tests"

    def load(self, kind):
        return (wan_vae(kind),)


class TinyCoreCLIP:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    RETURN_TYPES, FUNCTION, CATEGORY = ("CLIP",), "load", "tests"

    def load(self):
        return (wan_clip(),)


NODE_CLASS_MAPPINGS = {"TinyCoreVAE": TinyCoreVAE, "TinyCoreCLIP": TinyCoreCLIP}
