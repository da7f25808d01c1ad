"""An image network made to see the frames of a window together, as Gen-L-Video does, for its recorded tensors.

Statistics of the ResNets' norms are pooled over the window's frames, and the pixels of a frame attend to the window's
middle frame and to the neighbour towards it.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ivg_core.models.told import Told

#: Of Stable Diffusion, and of all that Gen-L-Video does.
SCHEDULE = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False,
    "set_alpha_to_one": False, "steps_offset": 1, "prediction_type": "epsilon", "timestep_spacing": "leading",
}  # fmt: skip


class PooledNorm(nn.GroupNorm):
    frames = 1

    def forward(self, x: Tensor) -> Tensor:  # (B * F, C, h, w)
        x = rearrange(x, "(b f) c h w -> b c f h w", f=self.frames)
        return rearrange(super().forward(x), "b c f h w -> (b f) c h w")


class CrossFrame:
    frames = 1

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        middle = self.frames // 2
        near = [i + (i < middle) - (i > middle) for i in range(self.frames)]

        def seen(x: Tensor) -> Tensor:
            x = rearrange(x, "(b f) n c -> b f n c", f=self.frames)
            both = torch.cat([x[:, [middle] * self.frames], x[:, near]], dim=2)
            return rearrange(both, "b f n (h c) -> (b f) h n c", h=attn.heads)

        query = rearrange(attn.to_q(hidden_states), "b n (h c) -> b h n c", h=attn.heads)
        keys, values = attn.to_k(hidden_states), attn.to_v(hidden_states)
        out = rearrange(scaled_dot_product_attention(query, seen(keys), seen(values)), "b h n c -> b n (h c)")
        return attn.to_out[1](attn.to_out[0](out))


class Inflated:
    """A backbone over it; `told.photo` (1, C, T, h, w) stands beside the latents of each frame, as a depth map does."""

    def __init__(self, config: dict, weights: dict[str, Tensor]):
        self.network = UNet2DConditionModel(**config)
        self.network.load_state_dict({name: x.float() for name, x in weights.items()})
        self.network.eval().requires_grad_(False)
        self.parts: list = []
        for name, module in list(self.network.named_modules()):
            for norm in ("norm1", "norm2", "conv_norm_out"):
                if isinstance(getattr(module, norm, None), nn.GroupNorm):
                    getattr(module, norm).__class__ = PooledNorm
                    self.parts.append(getattr(module, norm))
            if name.endswith("attn1"):
                self.parts.append(CrossFrame())
                module.set_processor(self.parts[-1])

    def __call__(self, noisy: Tensor, level: Tensor, told: Told, features: None = None) -> Tensor:
        batch, _, frames = noisy.shape[:3]
        for part in self.parts:
            part.frames = frames
        if told.photo is not None:
            noisy = torch.cat([noisy, told.photo.expand(batch, -1, -1, -1, -1)], dim=1)
        flat = rearrange(noisy, "b c f h w -> (b f) c h w")
        out = self.network(flat, level, told.text.repeat_interleave(frames, 0)).sample
        return rearrange(out, "(b f) c h w -> b c f h w", b=batch)
