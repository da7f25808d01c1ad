"""ComfyUI's own Stable Diffusion, in which the images of a latent batch see each other as the frames of a clip.

What they see of each other is the library's, see `ivg_core.models.together`. Here it is given to core's networks: to
the UNet by patches of its MODEL, to a ControlNet while it is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..ivg_core.errors import IVGError
from ..ivg_core.models.together import pooled, seen_by_each, seen_together
from ._notes import show, told_plainly

KEY = "ivg_inflate"
#: The norms of core's residual layers, and the last one; those of its transformers see one frame.
NORMS = (".in_layers.0", ".out_layers.0")
LAST_NORM = "out.0"
#: Where a conditioning of core's holds what stands beside the latents, if it is no mask with what it covers.
BESIDE = "noise_concat"
#: Channels of a network that reads latents and a depth map.
WITH_DEPTH = 5
#: What a conditioning may hold for each frame, and what it is.
TIMED = {"concat_mask": "mask", "concat_latent_image": "masked video", BESIDE: "depth map", "mask": "mask"}


def inflate_model(model: Any) -> Any:
    """A copy of a MODEL of Stable Diffusion, whose batch is the frames of one clip.

    Raises:
        IVGError: it is of another kind, or its self-attention is another node's.
    """
    from comfy.patcher_extension import WrappersMP

    made, network = model.clone(), unet_of(model)
    if made.get_wrappers(WrappersMP.DIFFUSION_MODEL, KEY):
        return made
    if _replaced(made.model_options):
        raise IVGError(
            "Another node has replaced the model's self-attention, which the frames of a video need: leave it out."
        )
    for name, norm in _norms(network):
        made.add_object_patch(f"diffusion_model.{name}.forward", partial(pooled, _forward(norm)))
    places = list(_attentions(network))
    for place in places:
        made.set_model_attn1_replace(_attend, *place)
    made.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, partial(_checked, places))
    made.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, KEY, _in_window)
    made.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, _as_clips)
    return made


def unet_of(model: Any) -> nn.Module:
    """The network of a MODEL that is Stable Diffusion's.

    Raises:
        IVGError: it is another one; the message names it.
    """
    from comfy.ldm.modules.attention import SpatialVideoTransformer
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    network = model.get_model_object("diffusion_model")
    over_time = any(isinstance(module, SpatialVideoTransformer) for module in network.modules())
    if not isinstance(network, UNetModel) or over_time:
        kind = type(model.model).__name__
        has = "has layers over time already" if over_time else "is no Stable Diffusion"
        raise IVGError(f"IVG Inflate Model makes a video model of Stable Diffusion, and this model ({kind}) {has}.")
    return network


def _norms(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in network.named_modules():
        if isinstance(module, nn.GroupNorm) and (name.endswith(NORMS) or name == LAST_NORM):
            yield name, module


def _forward(module: nn.Module) -> Any:
    """Of its class: its own attribute may be the patch of another copy that is loaded now."""
    return partial(type(module).forward, module)


def _attentions(network: Any) -> Iterator[tuple[str, int]]:
    """Where core's patches find the blocks with transformers."""
    from comfy.ldm.modules.attention import SpatialTransformer

    parts = {"input": network.input_blocks, "middle": [network.middle_block], "output": network.output_blocks}
    for part, blocks in parts.items():
        for number, block in enumerate(blocks):
            if any(isinstance(layer, SpatialTransformer) for layer in block):
                yield part, number


def _attend(q: Tensor, k: Tensor, v: Tensor, options: dict) -> Tensor:
    from comfy.ldm.modules.attention import optimized_attention

    heads, precision = options["n_heads"], options["attn_precision"]
    seen = seen_by_each(k), seen_by_each(v)
    return optimized_attention(q, *seen, heads, attn_precision=precision, transformer_options=options)


def _replaced(options: dict) -> dict:
    return options.get("transformer_options", {}).get("patches_replace", {}).get("attn1", {})


def _as_clips(executor: Any, x: Tensor, *args: Any, **named: Any) -> Tensor:
    """Around the network: the frames of each condition are a clip, since core stacks the conditions in the batch."""
    options = named.get("transformer_options") or args[4]
    with seen_together(len(x) // len(options["cond_or_uncond"])):
        return executor(x, *args, **named)


def _in_window(executor: Any, model: Any, conds: list, x: Tensor, timestep: Tensor, options: dict) -> Any:
    """Around a window of core's: what a condition holds for each frame is cut as the latents are.

    Newer versions of core do so; 0.3.64 would tell every window what belongs to the first one.
    """
    if window := window_of(options.get("transformer_options", {})):
        conds = [cond and [_cut(one, window) for one in cond] for cond in conds]
    return executor(model, conds, x, timestep, options)


def window_of(options: dict) -> list[int]:
    """The frames of the window of core's in which the network is called; empty: there are no windows."""
    window = options.get("context_window")
    return list(window.index_list) if window else []


def _cut(cond: dict, window: list[int]) -> dict:
    told = dict(cond.get("model_conds", {}))
    for key, value in told.items():
        states = getattr(value, "cond", None)
        if isinstance(states, Tensor) and len(states) not in (1, len(window)) and len(states) > max(window):
            told[key] = value._copy_with(states[window])
    return {**cond, "model_conds": told}


def _checked(places: list, executor: Any, noise: Tensor, latent: Tensor, sampler: Any, sigmas: Tensor, *args, **named):
    """Around a sampling: what does not fit the frames is said before it begins."""
    guider = executor.class_obj
    with told_plainly():
        _check_attention(guider.model_options, places)
        _prepare_windows(guider.model_options)
        conds = [cond for several in guider.conds.values() for cond in several]
        denoise_mask = named.get("denoise_mask", args[0] if args else None)
        _check_lengths(conds, denoise_mask, len(noise))
        _check_depth(conds, guider.model_patcher.model.model_config.unet_config["in_channels"])
    alone = "The latent holds one frame, so this is a picture: raise batch_size of the empty latent for a video."
    show([alone] if len(noise) == 1 else [])
    return executor(noise, latent, sampler, sigmas, *args, **named)


def _check_attention(options: dict, places: list) -> None:
    if any(_replaced(options).get(place) is not _attend for place in places):
        raise IVGError(
            "A node behind IVG Inflate Model has replaced the model's self-attention, so that its frames would not see "
            "each other: leave that node out."
        )


def _prepare_windows(options: dict) -> None:
    """Core's context windows find their step by the timestep of one frame; 0.3.64 stops where there are several.

    Newer versions put a frame before a window, for the first of a causal model's latents is of another kind. Here all
    are alike.
    """
    if (handler := options.get("context_handler")) is None:
        return
    if handler.dim != 0:
        raise IVGError(
            f"The context windows cut dimension {handler.dim}, and an image model has its frames in dimension 0: set "
            "dim to 0."
        )
    options["context_handler"] = ours = copy(handler)
    set_step = ours.set_step
    ours.set_step = lambda timestep, *args: set_step(timestep[:1], *args)
    ours.causal_window_fix = False


def _check_depth(conds: list[dict], channels: int) -> None:
    asked, given = channels == WITH_DEPTH, [BESIDE in cond for cond in conds]
    if asked and not all(given):
        raise IVGError(
            "This model reads a depth map beside the latents: put IVG Depth Conditioning in front of the sampler, for "
            "both conditionings."
        )
    if any(given) and not asked:
        raise IVGError("This model reads no depth map beside the latents: leave IVG Depth Conditioning out.")


def _check_lengths(conds: list[dict], denoise_mask: Tensor | None, frames: int) -> None:
    told = [("noise mask", denoise_mask)]
    for cond in conds:
        mask = cond.get("concat_mask")
        if mask is not None and not (mask >= 0.5).any():
            raise IVGError("The mask is empty (all black), so nothing would be painted: paint white what is to change.")
        told += [(what, cond.get(key)) for key, what in TIMED.items()]
        control = cond.get("control")
        while control is not None:
            told.append(("control video", control.cond_hint_original))
            control = control.previous_controlnet
    for what, tensor in told:
        if isinstance(tensor, Tensor) and len(tensor) not in (1, frames):
            raise IVGError(
                f"The {what} has {len(tensor)} frames and the video {frames}: give one a frame, or one for all."
            )


def inflate_control(control: Any, model: Any) -> Any:
    """A copy of a CONTROL_NET of Stable Diffusion, whose frames see each other as the model's.

    Raises:
        IVGError: it is of another kind, or was made for another model.
    """
    from comfy.controlnet import ControlLora, ControlNet, T2IAdapter

    if not isinstance(control, ControlNet | T2IAdapter):
        raise IVGError(_no_control(type(control).__name__))
    if isinstance(control, ControlNet) and not isinstance(control, ControlLora):  # made of the model when it is used
        _check_control(control.control_model, unet_of(model))
    made = control.copy()
    made.__class__ = _inflated(type(control))
    return made


def _no_control(kind: str) -> str:
    return f"IVG Inflate Model takes a ControlNet or T2I-Adapter of Stable Diffusion, and this one is {kind}."


def _check_control(network: nn.Module, unet: nn.Module) -> None:
    from comfy.cldm.cldm import ControlNet

    if not isinstance(network, ControlNet):
        raise IVGError(_no_control(type(network).__name__))
    theirs, ours = (_widths(one) for one in (network, unet))
    if theirs != ours:
        raise IVGError(
            f"The ControlNet was made for another model: its width and its text's are {theirs} and the model's {ours}. "
            "Take one for this version of Stable Diffusion."
        )


def _widths(network: Any) -> tuple[int, int]:
    texts = [module.attn2.to_k.in_features for module in network.modules() if hasattr(module, "attn2")]
    return network.model_channels, texts[0] if texts else 0


def _inflated(kind: type) -> type:
    """A kind of core's controls, called on clips."""

    class Inflated(kind):
        def copy(self):
            made = super().copy()
            made.__class__ = type(self)
            return made

        def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
            with (
                _hint_of(self, window_of(transformer_options)),
                _seeing_clips(getattr(self, "control_model", None)),
                seen_together(len(x_noisy) // batched_number),
            ):
                return super().get_control(x_noisy, t, cond, batched_number, transformer_options)

    return Inflated


@contextmanager
def _hint_of(control: Any, window: list[int]) -> Iterator[None]:
    """Inside the `with` block a control shows what belongs to a window's frames."""
    whole = control.cond_hint_original
    if not window or len(whole) == 1:
        yield
        return
    control.cond_hint_original, control.cond_hint = whole[window], None
    if hasattr(control, "control_input"):
        control.control_input = None  # what a T2I-Adapter keeps of the last call
    try:
        yield
    finally:
        control.cond_hint_original = whole


@contextmanager
def _seeing_clips(network: nn.Module | None) -> Iterator[None]:
    """Inside the `with` block a ControlNet's frames see each other; the same network may be another control's too."""
    patched = {}
    if network is not None:
        patched = {norm: partial(pooled, _forward(norm)) for _, norm in _norms(network)}
        attentions = [module for name, module in network.named_modules() if name.endswith(".attn1")]
        patched |= {attention: partial(_attend_together, _forward(attention)) for attention in attentions}
    for module, forward in patched.items():
        module.forward = forward
    try:
        yield
    finally:
        for module in patched:
            del module.forward


def _attend_together(forward: Any, x: Tensor, context: Tensor | None = None, **named: Any) -> Tensor:
    return forward(x, context=seen_by_each(x), **named)
