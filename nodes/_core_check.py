"""Which of core's video models can be trained here, and what must not be on them or in their conditioning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ..ivg_core.errors import IVGError


@dataclass(frozen=True)
class Family:
    """What sets one family of core's video models apart.

    Attributes:
        name: what users call it.
        way: how a photo gets in. "first": its latent is the first latent frame, which a noise mask keeps; "concat": a
            video that is grey after it stands beside the noise, with a mask of what is given.
        patch: latent cells of a token, each way.
        takes_mask: it can be told where in a frame things may move.
        fps: frames a second of its videos.
        guidance_scale: with which it is usually sampled.
    """

    name: str
    way: Literal["first", "concat"]
    patch: int
    takes_mask: bool
    fps: float
    guidance_scale: float


WAN_22_5B = Family("Wan 2.2 TI2V-5B", "first", 2, takes_mask=False, fps=24, guidance_scale=5.0)
WAN_21_I2V = Family("Wan 2.1 I2V", "concat", 2, takes_mask=True, fps=16, guidance_scale=6.0)
WAN_22_I2V = Family("Wan 2.2 I2V 14B expert", "concat", 2, takes_mask=True, fps=16, guidance_scale=3.5)
LTXV = Family("LTXV", "first", 1, takes_mask=True, fps=25, guidance_scale=3.0)
HUNYUAN = Family("HunyuanVideo", "first", 2, takes_mask=False, fps=24, guidance_scale=1.0)
TRAINABLE = (WAN_22_5B, WAN_21_I2V, WAN_22_I2V, LTXV, HUNYUAN)

#: What Wan's image-to-video networks read: 16 channels of noise, 4 of the mask and 16 of the photo.
WAN_I2V_CHANNELS = 36
#: What other nodes put on a MODEL, by core's names, in words.
CARRIED = {
    "context_handler": "context windows",
    "ContextWindows_prepare_sampling": "context windows",
    "ContextWindows_sampler_sample": "context windows",
    "torch.compile": "torch.compile",
    "torch_compile_kwargs": "torch.compile",
    "multigpu": "copies on several GPUs",
    "patches_replace": "another attention",
    "model_function_wrapper": "another way of calling it",
    "sampler_cfg_function": "another guidance",
    "sampler_pre_cfg_function": "another guidance",
    "sampler_post_cfg_function": "another guidance",
    "disable_cfg1_optimization": "another guidance",
}
#: What a conditioning may hold that no training goes through, by core's names, in words.
PARTS = {
    "control": "a ControlNet",
    "gligen": "GLIGEN boxes",
    "hooks": "hooks",
    "area": "an area",
    "mask": "a mask of its own",
    "start_percent": "a range of timesteps",
    "end_percent": "a range of timesteps",
    "default": "a default",
}


def family_of(model: Any) -> Family:
    """The family of a MODEL.

    Raises:
        IVGError: it is of none that can be trained; the message names it.
    """
    from comfy import model_base

    # Of exactly these classes: those made from them are other models (VACE, Fun Camera, Animate …).
    kind, network = type(model.model), model.model.diffusion_model
    if kind is model_base.WAN22:
        return WAN_22_5B
    if kind is model_base.LTXV:
        return LTXV
    if kind is model_base.HunyuanVideo:
        return HUNYUAN
    if kind is model_base.WAN21:
        channels = network.patch_embedding.weight.shape[1]
        if channels == WAN_I2V_CHANNELS:
            return WAN_22_I2V if network.img_emb is None else WAN_21_I2V
        raise IVGError(_refused(f"Wan with {channels} channels of input"))
    raise IVGError(_refused(kind.__name__))


def _refused(kind: str) -> str:
    *others, last = (family.name for family in TRAINABLE)
    return f"This model is {kind}, which cannot be trained here: load {', '.join(others)} or {last}."


def check_bare(model: Any) -> None:
    """Lets pass a MODEL on which there is nothing but LoRAs, upon which training learns, and a shift of its schedule.

    Raises:
        IVGError: there is something else on it, or its noise is no longer a flow; the message names it.
    """
    from comfy.model_sampling import CONST

    found = list(dict.fromkeys(CARRIED.get(key, key) for key in _carried(model)))
    if found:
        raise IVGError(
            f"Another node has put {' and '.join(found)} on this model, which no training goes through: connect the "
            "model from before that node."
        )
    if not isinstance(model.get_model_object("model_sampling"), CONST):
        raise IVGError(
            "Another node has given this model a noise schedule that is no flow, which it was not made with: leave "
            "that node out."
        )


def _carried(model: Any) -> Iterator[str]:
    options = model.model_options
    yield from (key for key in options if key != "transformer_options")
    yield from (key for key, value in options.get("transformer_options", {}).items() if value)
    for by_key in model.wrappers.values():
        yield from (str(key) for key, wrappers in by_key.items() if wrappers)
    yield from (key for key in model.object_patches if key != "model_sampling")
    for held in (model.injections, model.additional_models, model.hook_patches, model.weight_wrapper_patches):
        yield from (str(key) for key, value in held.items() if value)


def only_part(conditioning: list) -> tuple[Any, dict]:
    """The one text state of a CONDITIONING, and what goes with it.

    Raises:
        IVGError: there are several, or something in it that no training goes through.
    """
    if len(conditioning) != 1:
        raise IVGError(
            f"The conditioning has {len(conditioning)} parts, and training is told one sentence: leave out what joins "
            "them."
        )
    ((text, also),) = conditioning
    found = list(dict.fromkeys(what for key, what in PARTS.items() if also.get(key) is not None))
    if found:
        raise IVGError(
            f"The conditioning holds {' and '.join(found)}, which no training goes through: leave out the node that "
            "puts it there."
        )
    return text, also
