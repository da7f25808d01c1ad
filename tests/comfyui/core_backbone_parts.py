"""Core's video models of each trainable family, tiny and with random weights, through core's own loaders; their VAEs.

Only for scripts that ComfyUI's Python runs, after `rom_in_core` has found ComfyUI.
"""

from __future__ import annotations

import dataclasses
import functools
from types import SimpleNamespace

import comfy.ldm.hunyuan_video.model as hunyuan_video
import comfy.ops
import comfy.sd
import node_helpers
import torch
from comfy_extras.nodes_hunyuan import HunyuanImageToVideo
from comfy_extras.nodes_lt import LTXVImgToVideo
from comfy_extras.nodes_wan import Wan22ImageToVideoLatent, WanImageToVideo
from rom_in_core import ltx, ltx_vae, text, wan
from tiny_core import random_weights, wan_vae

FRAMES, SIDE = 9, 64
FAMILIES = ("wan22-5b", "wan21-i2v", "wan22-i2v", "ltxv", "hunyuan")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(seed))


def hunyuan(layers: int):
    shape = {"image_model": "hunyuan_video", "in_channels": 16, "out_channels": 16, "patch_size": [1, 2, 2]}
    shape |= {"vec_in_dim": 768, "context_in_dim": 4096, "hidden_size": 128, "mlp_ratio": 4.0, "num_heads": 1}
    shape |= {"depth": layers, "depth_single_blocks": layers, "axes_dim": [16, 56, 56], "theta": 256, "qkv_bias": True}
    shape |= {"guidance_embed": True, "byt5": False, "meanflow": False, "use_cond_type_embedding": False}
    shape |= {"vision_in_dim": None, "meanflow_sum": False}
    known = {field.name for field in dataclasses.fields(hunyuan_video.HunyuanVideoParams)} | {"image_model"}
    net = hunyuan_video.HunyuanVideo(
        **{key: value for key, value in shape.items() if key in known},
        operations=comfy.ops.disable_weight_init,
        dtype=torch.float32,
    )
    return comfy.sd.load_diffusion_model_state_dict(random_weights(net))


def model(family: str, layers: int = 2, **options):
    """A MODEL of a family."""
    settled = {"weights": random_weights, "num_layers": layers, **options}
    if family == "wan22-5b":
        return wan(48, 48, **settled)
    if family == "wan21-i2v":
        return wan(36, model_type="i2v", **settled)
    if family == "wan22-i2v":
        return wan(36, **settled)
    return ltx(**settled) if family == "ltxv" else hunyuan(layers)


@functools.cache
def vae(family: str):
    """A VAE of a family."""
    if family == "ltxv":
        return ltx_vae()
    return wan_vae("wan 2.2" if family == "wan22-5b" else "wan 2.1")


def conditioning(family: str):
    """A sentence as its text encoder would give it."""
    also: dict = {}
    if family == "hunyuan":
        also["pooled_output"] = draw(1, 768, seed=4)
    if family == "wan21-i2v":  # with what a CLIP vision model sees in the photo
        also["clip_vision_output"] = SimpleNamespace(penultimate_hidden_states=draw(1, 257, 1280, seed=9))
    return node_helpers.conditioning_set_values(text(), also)


def by_nodes(family: str, photo: torch.Tensor) -> tuple[list, dict]:
    """Conditioning and latent as core's own node for the family makes them of a photo (H, W, 3)."""
    positive, size = conditioning(family), (SIDE, SIDE, FRAMES, 1)
    if family == "wan22-5b":
        return positive, Wan22ImageToVideoLatent.execute(vae(family), *size, start_image=photo[None]).args[0]
    if family == "ltxv":
        positive, _, latent = LTXVImgToVideo.execute(positive, positive, photo[None], vae(family), *size, 1.0).args
        return positive, latent
    if family == "hunyuan":
        made = HunyuanImageToVideo().encode(positive, vae(family), *size, "v2 (replace)", start_image=photo[None])
        return tuple(getattr(made, "args", made))
    positive, _, latent = WanImageToVideo.execute(positive, positive, vae(family), *size, start_image=photo[None]).args
    return positive, latent
