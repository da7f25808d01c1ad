"""The 3D UNet of all systems here: diffusers' text-to-video UNet plus the small things that IVG and SMCD add.

IVG:

* a second input convolution, `conv_in2`, that reads the region-of-motion mask beside the four latent channels;
* the motion strength, embedded like a timestep and added to the time embedding through `time_embedding.cond_proj`;
* the clean latent of the photo, prepended as one more frame and dropped again at the output.

SMCD: gates that see boxes and the photo, see `grounding`, and the photo's latent beside each frame's four channels.

Without these it is ModelScope's text-to-video network. Parameter names equal those of the published checkpoints.
"""

from __future__ import annotations

import inspect
import math
from typing import Any, Protocol

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import conv2d, silu
from torch.utils.checkpoint import checkpoint

from ..errors import IVGError
from .grounding import GATES, LEVELS, OF_BOXES, Carry, PositionNet, Tokens, VisualEncoder, sees_photo
from .voices import heard_again

CROSS_DOWN = ("CrossAttnDownBlock3D", "CrossAttnDownBlock3D", "CrossAttnDownBlock3D", "DownBlock3D")
CROSS_UP = ("UpBlock3D", "CrossAttnUpBlock3D", "CrossAttnUpBlock3D", "CrossAttnUpBlock3D")


class KeptFeatures(Protocol):
    """What entered the last layer at an earlier call; see `sampling.deep_features`."""

    def fresh(self) -> KeptFeatures:
        """The same rule, with nothing kept yet."""
        ...

    def recall(self, x: Tensor) -> Tensor | None:
        """The features (B * F', C, H, W) to reuse, or None to compute all; x is what the first layer gave."""
        ...

    def exchange(self, x: Tensor, recalled: Tensor | None) -> Tensor:
        """What enters the last layer."""
        ...


class SharedTextAttention(AttnProcessor2_0):
    """Cross-attention of all frames of a clip to one text: keys and values are computed once, not once a frame."""

    def __call__(self, attn, hidden_states, encoder_hidden_states: Any = None, attention_mask=None, temb=None):
        frames_tokens = hidden_states.shape  # (B * F, H * W, C)
        batch = encoder_hidden_states.shape[0]
        hidden_states = rearrange(hidden_states, "(b f) n c -> b (f n) c", b=batch)
        hidden_states = super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        return hidden_states.reshape(frames_tokens)


class TemporalConvolution(nn.Conv3d):
    """A (3, 1, 1) convolution, computed as a 2D one over (frames, pixels): the same numbers, far faster on a CPU."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # (B, C, F, H, W)
        flat = conv2d(input.flatten(3), weight.squeeze(-1), bias, padding=(1, 0))
        return flat.unflatten(3, input.shape[3:])


def settings_of(network: type[nn.Module], config: dict[str, Any]) -> dict[str, Any]:
    """What of a `config.json` a class of networks is made of; keys it does not know are left aside."""
    known = inspect.signature(network).parameters
    return {key: value for key, value in config.items() if key in known}


class IVGUNet(UNet3DConditionModel):
    """Predicts the noise in video latents from the photo, a sentence, a region of motion and a motion strength.

    Args: as diffusers' `UNet3DConditionModel`, and
        in_channels: input channels of `conv_in`: 4, or 5 (some published files say so; see `forward`), or 8 where the
            photo stands beside each frame.
        motion_mask: whether the mask is read at all.
        motion_strength: whether the motion strength is read at all.
        photo: whether it has what IVG adds; without, and without the next two, it makes videos of sentences alone.
        gates: which gates it has for boxes, a key of `grounding.GATES`; "" = none.
        visual_widths: channels of the levels of the encoder that shows the photo to the gates; empty = there is none.

    Attributes:
        parity: a frame by itself runs through the first temporal convolution of the middle, as in the reference where
            it does not recompute activations.

    Raises:
        IVGError: the config describes a network this class cannot be.

    Source: Instructional Video Generation (arXiv 2412.04189) and its released code.
    """

    _repeated_blocks = ["BasicTransformerBlock", "ResnetBlock2D", "TemporalConvLayer"]  # for `compile_repeated_blocks`

    @register_to_config
    def __init__(
        self,
        sample_size: int | None = None,
        in_channels: int = 4,
        out_channels: int = 4,
        down_block_types: tuple[str, ...] = CROSS_DOWN,
        up_block_types: tuple[str, ...] = CROSS_UP,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        downsample_padding: int = 1,
        mid_block_scale_factor: float = 1,
        act_fn: str = "silu",
        norm_num_groups: int = 32,
        norm_eps: float = 1e-5,
        cross_attention_dim: int = 1024,
        attention_head_dim: int = 64,
        motion_mask: bool = False,
        motion_strength: bool = False,
        photo: bool = True,
        gates: str = "",
        visual_widths: tuple[int, ...] = (),
    ):
        # The released code writes 32 into its temporal layers whatever the config says.
        for name, value in (("mid_block_scale_factor", mid_block_scale_factor), ("norm_eps", norm_eps)):
            if not isinstance(value, (int, float)) or not 0 < value < math.inf:  # only the first run would show it
                raise IVGError(f"This UNet config has {name} {value!r}, where a number above 0 belongs.")
        if norm_num_groups != 32:
            raise IVGError(
                f"This UNet config has norm_num_groups {norm_num_groups}; the IVG network exists with 32 only: "
                "check that unet/config.json belongs to an IVG or animate-anything checkpoint."
            )
        if in_channels not in ((4, 5) if photo else (4, 5, 8)):
            raise IVGError(
                f"This UNet config has in_channels {in_channels}; IVG checkpoints have 4 or 5, those of SMCD 8: "
                "check that unet/config.json belongs to such a checkpoint."
            )
        if gates not in ("", *GATES) or len(visual_widths) != (LEVELS if gates not in ("", *OF_BOXES) else 0):
            raise IVGError(
                f"This UNet config has gates {gates!r} and visual_widths {list(visual_widths)}; gates are one of "
                f"{', '.join(GATES)}, and visual_widths {LEVELS} numbers, or none for {' and '.join(OF_BOXES)}: "
                "download it again."
            )
        width = block_out_channels[0]
        super().__init__(
            sample_size=sample_size,
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=down_block_types,
            up_block_types=up_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            downsample_padding=downsample_padding,
            mid_block_scale_factor=mid_block_scale_factor,
            act_fn=act_fn,
            norm_num_groups=norm_num_groups,
            norm_eps=norm_eps,
            cross_attention_dim=cross_attention_dim,
            attention_head_dim=attention_head_dim,
            time_cond_proj_dim=width if photo else None,
        )
        self.conv_norm_out: nn.Module
        self.gradient_checkpointing = self.parity = False
        if photo:
            self.conv_in2 = nn.Conv2d(5, width, kernel_size=3, padding=1)
            # Never used by the forward pass, here or in the released code; kept because the published files hold it.
            last = nn.Linear(4 * width, 4 * width)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.motion_embedding = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), last)

        if gates:
            self.position_net = PositionNet(cross_attention_dim)
        if gates == "carry":
            self.position_net.carry = Carry(width)
        if visual_widths:
            self.visual_encoder = VisualEncoder(tuple(visual_widths))
        seen = visual_widths[-1] if visual_widths else 0
        blocks: list[Any] = [*self.down_blocks, self.mid_block, *self.up_blocks]
        for block in blocks:
            for attention in getattr(block, "attentions", ()):
                inner = attention.transformer_blocks[0]
                inner.attn2.set_processor(SharedTextAttention())
                if gates:
                    heads = attention.inner_dim // attention_head_dim
                    inner.fuser = GATES[gates](
                        attention.inner_dim, cross_attention_dim, seen, heads, attention_head_dim
                    )
            for layer in block.temp_convs:
                for convolution in (layer.conv1[-1], layer.conv2[-1], layer.conv3[-1], layer.conv4[-1]):
                    convolution.__class__ = TemporalConvolution  # same parameters, another forward

    @property
    def takes_photo(self) -> bool:
        """Whether it is told a photo; otherwise it makes videos of sentences alone."""
        return bool(self.config["photo"]) or sees_photo(self.config)

    @property
    def takes_mask(self) -> bool:
        """Whether it is told where things may move, and how much they do."""
        return bool(self.config["photo"])

    @property
    def takes_boxes(self) -> bool:
        """Whether it follows boxes."""
        return bool(self.config["gates"])

    @classmethod
    def from_config_dict(cls, config: dict[str, Any]) -> IVGUNet:
        """Builds the network that a `unet/config.json` describes; keys it does not know are left aside."""
        return cls(**settings_of(cls, config))

    def enable_gradient_checkpointing(self, gradient_checkpointing_func=None) -> None:
        """Recomputes every layer in the backward pass instead of keeping its activations; same results, less memory."""
        self.gradient_checkpointing = True

    def disable_gradient_checkpointing(self) -> None:
        """Keeps activations again: faster training steps, more memory."""
        self.gradient_checkpointing = False

    def forward(  # type: ignore[override]
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        condition_latent: Tensor | None = None,
        mask: Tensor | None = None,
        motion: Tensor | None = None,
        boxes: Tensor | None = None,
        phrases: Tensor | None = None,
        photo_boxes: Tensor | None = None,
        seen: Tensor | None = None,
        features: KeptFeatures | None = None,
    ) -> Tensor:
        """The noise (or whatever the checkpoint was trained to predict) in `sample`.

        One frame without a photo passes the layers within frames only, as there is no time in it.

        Args:
            sample: noisy latents (B, 4, F, H, W), F >= 1.
            timestep: one number, or (B,), 0..999.
            encoder_hidden_states: text states (B, 77, D).
            condition_latent: clean latent of the photo (B, 4, 1, H, W); None: there is no photo. A network with 8 input
                channels, or whose gates see it, takes zeros for none.
            mask: where things may move, (Bm, 1, 1, H, W), 0..1, with B a multiple of Bm. None: the mask-free input
                convolution, or an all-ones mask where the checkpoint has in_channels 5 and so lost that path.
            motion: motion strength (1,) or (B,), about 0..20. None: not told.
            boxes: x1, y1, x2, y2 in 0..1 and 1 where the thing is there, else 0, (B, F, N, 5) float32. None: the gates
                are passed by, and the network is as without them.
            phrases: text states of what is in the boxes (B, F or 1, N, D).
            photo_boxes: boxes in the photo (B, 1, N, 5), where these are not those of the first frame.
            seen: what the gates see of the photo (B, 4, 1, H, W), where that is not `condition_latent`.
            features: where what entered the last layer is kept between calls, and taken from; None: all is computed.

        Returns:
            (B, 4, F, H, W).

        Source: the released code's models/unet_3d_condition_mask.py; MotionDirector's for one frame; SMCD's for boxes.
        """
        # (B, 4, F', H, W), where F' is F, or F + 1 with the photo; or (B, 8, F, H, W)
        x = self._with_photo(sample, condition_latent)
        led = x.shape[2] - sample.shape[2]
        seen = condition_latent if seen is None else seen
        seen = torch.zeros_like(sample[:, :, :1]) if seen is None else seen
        tokens = self._tokens(boxes, phrases, photo_boxes, seen, led)
        batch, frames = x.shape[0], x.shape[2]
        emb = self._time_embedding(timestep, motion, batch, x).repeat_interleave(frames, dim=0)  # (B * F', 4 * C0)
        text = encoder_hidden_states

        x = self._input_convolution(x, mask)  # (B * F', C0, H, W)
        if tokens is not None and condition_latent is not None and self.config["gates"] == "carry":
            x = x + self.position_net.carry(condition_latent[:, :, 0], tokens)
        if frames > 1:
            x = self._run(self.transformer_in, x, num_frames=frames, return_dict=False)[0]

        skips = [x]
        deep = features.recall(x) if features else None  # (B * F', C, H, W)
        down_blocks: list[Any] = list(self.down_blocks) if deep is None else []
        for block in down_blocks:
            for i in range(len(block.resnets)):
                x = self._convolve(block, i, x, emb, frames)
                x = self._attend(block, i, x, text, frames, tokens)
                skips.append(x)
            if block.downsamplers is not None:
                x = block.downsamplers[0](x)
                skips.append(x)

        if deep is None:
            x = self._convolve(self.mid_block, 0, x, emb, frames)
            x = self._attend(self.mid_block, 0, x, text, frames, tokens)
            x = self._convolve(self.mid_block, 1, x, emb, frames)

        up_blocks: list[Any] = list(self.up_blocks) if deep is None else [self.up_blocks[-1]]
        for block in up_blocks:
            for i in range(len(block.resnets) - 1 if deep is not None else 0, len(block.resnets)):
                if len(skips) == 1 and features:  # the last layer
                    x = features.exchange(x, deep)
                x = torch.cat([x, skips.pop()], dim=1)
                x = self._convolve(block, i, x, emb, frames)
                x = self._attend(block, i, x, text, frames, tokens)
            if block.upsamplers is not None:
                # Doubling overshoots where a level had an odd height or width.
                fits = skips[-1].shape[2] == 2 * x.shape[2] and skips[-1].shape[3] == 2 * x.shape[3]
                x = block.upsamplers[0](x, None if fits else skips[-1].shape[2:])

        x = rearrange(x, "(b f) c h w -> b f c h w", b=batch)[:, led:]  # the photo's frame is dropped
        x = rearrange(x, "b f c h w -> (b f) c h w")
        x = self.conv_out(silu(self.conv_norm_out(x)))
        return rearrange(x, "(b f) c h w -> b c f h w", b=batch)

    def _with_photo(self, sample: Tensor, photo: Tensor | None) -> Tensor:
        if self.config["in_channels"] != 8:
            return sample if photo is None else torch.cat([photo, sample], dim=2)
        beside = torch.zeros_like(sample) if photo is None else photo.to(sample).expand_as(sample)
        return torch.cat([sample, beside], dim=1)

    def _tokens(
        self, boxes: Tensor | None, phrases: Tensor | None, photo_boxes: Tensor | None, photo: Tensor, led: int
    ) -> Tokens | None:
        if boxes is None or not self.config["gates"]:
            return None
        first = boxes[:, :1] if photo_boxes is None else photo_boxes  # (B, 1, N, 5)
        if led:
            boxes = torch.cat([first, boxes], dim=1)
            if phrases is not None and phrases.shape[1] > 1:
                phrases = torch.cat([phrases[:, :1], phrases], dim=1)
        seen = None
        if self.config["visual_widths"]:
            seen = self.visual_encoder(photo[:, :, 0]).repeat_interleave(boxes.shape[1], 0)  # (B * F, V, P)
        size, first = (photo.shape[-2], photo.shape[-1]), first.expand_as(boxes)
        return Tokens(
            self.position_net(boxes, phrases), seen, boxes.flatten(0, 1), first.flatten(0, 1), boxes.shape[1], size
        )

    def _time_embedding(self, timestep: Tensor | float, motion: Tensor | None, batch: int, x: Tensor) -> Tensor:
        steps = torch.as_tensor(timestep, device=x.device).reshape(-1).expand(batch)
        strength = None
        if self.config["motion_strength"] and motion is not None:
            strength = self.time_proj(motion.to(x.device).reshape(-1).expand(batch)).to(x.dtype)  # (B, C0)
        return self.time_embedding(self.time_proj(steps).to(x.dtype), strength)  # (B, 4 * C0)

    def _input_convolution(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, _, frames, height, width = x.shape
        reads_mask = self.config["motion_mask"]
        if mask is None or not reads_mask:
            if self.config["in_channels"] != 5:
                return self.conv_in(rearrange(x, "b c f h w -> (b f) c h w"))
            mask = x.new_ones(1, 1, 1, height, width)
        convolution = self.conv_in2 if reads_mask else self.conv_in
        mask = mask.to(x).repeat(batch // mask.shape[0], 1, 1, 1, 1)
        x = torch.cat([mask.expand(batch, 1, frames, height, width), x], dim=1)  # (B, 5, F', H, W)
        return convolution(rearrange(x, "b c f h w -> (b f) c h w"))

    def _convolve(self, block: Any, i: int, x: Tensor, emb: Tensor, frames: int) -> Tensor:
        x = self._run(block.resnets[i], x, emb)
        if frames == 1 and not (self.parity and block is self.mid_block and i == 0):
            return x
        return self._run(block.temp_convs[i], x, num_frames=frames)

    def _attend(self, block: Any, i: int, x: Tensor, text: Tensor, frames: int, tokens: Tokens | None) -> Tensor:
        if not hasattr(block, "attentions"):
            return x
        gated = None if tokens is None else {"gligen": {"objs": tokens}}
        x = self._run(
            block.attentions[i], x, encoder_hidden_states=text, cross_attention_kwargs=gated, return_dict=False
        )[0]
        if frames == 1:
            return x
        return self._run(block.temp_attentions[i], x, num_frames=frames, return_dict=False)[0]

    def _run(self, layer: nn.Module, *args, **kwargs):
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(layer, *args, use_reentrant=False, context_fn=heard_again, **kwargs)
        return layer(*args, **kwargs)
