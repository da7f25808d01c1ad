"""Folders of Stable Diffusion (1.5, 2, with depth, inpainting), which become video models; and what others are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..models.bundle import ModelDefaults
from ..models.inflated import BESIDE, LATENTS
from .adapters import SKELETON

IMAGE_UNET = "UNet2DConditionModel"
#: Of one that is tuned to one video, which diffusers does not know.
ONE_SHOT_UNET = "OneShotUNet"
#: Blocks that Stable Diffusion's UNet has, of those that diffusers knows.
BLOCKS = ("CrossAttnDownBlock2D", "DownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D")
#: Frames of a window, and latent cells of a side where the config names none.
FRAMES, SIDE = 16, 64
#: By the channels beside the latents: the kind, and diffusers' pipeline of it.
KINDS = {
    0: ("", "StableDiffusionPipeline"),
    1: (", with a depth map", "StableDiffusionDepth2ImgPipeline"),
    5: (", for inpainting", "StableDiffusionInpaintPipeline"),
}
LICENCE = (
    "not stated. Stability AI's and Runway's own files are under CreativeML Open RAIL: look where this one is from."
)


def is_image_model(config: Mapping[str, Any]) -> bool:
    """Whether a unet/config.json is that of an image model, of whatever kind."""
    return config.get("_class_name") in (IMAGE_UNET, ONE_SHOT_UNET)


def follows_pose(names: Iterable[str]) -> bool:
    """Whether weights of these names are those of Follow-Your-Pose's UNet, whose config names ModelScope's class."""
    return any(name.startswith(SKELETON) for name in names)


def other_image_model(config: Mapping[str, Any]) -> str:
    """What an image model is that is no Stable Diffusion; "" for one that is."""
    channels = config.get("in_channels", LATENTS)
    if config.get("addition_embed_type") == "text_time":
        return "Stable Diffusion XL"
    if channels == LATENTS + 3:
        return "an upscaler"
    if channels == LATENTS + 4:
        return "a model that edits a picture, such as InstructPix2Pix"
    asks = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim", "encoder_hid_dim_type")
    if asked := [key for key in asks if config.get(key) is not None]:
        return f"an image model that is told more than a sentence ({', '.join(asked)})"
    if config.get("time_cond_proj_dim") is not None:
        return "a distilled image model that is told its guidance scale"
    if channels not in [LATENTS + count for count in BESIDE] or config.get("out_channels", LATENTS) != LATENTS:
        return f"an image model with {channels} channels in and {config.get('out_channels', LATENTS)} out"
    blocks = [config.get(key) or () for key in ("down_block_types", "up_block_types")]
    strange = [kind for kinds in blocks if isinstance(kinds, list) for kind in kinds if kind not in BLOCKS]
    return f"an image model with layers of its own ({strange[0]})" if strange else ""


def image_kind(config: Mapping[str, Any]) -> str:
    """One sentence, what a Stable Diffusion model is here."""
    kind, _ = KINDS[config.get("in_channels", LATENTS) - LATENTS]
    if config["_class_name"] == ONE_SHOT_UNET:
        return (
            f"An image model (Stable Diffusion{kind}) tuned to one video: it makes that video again in other words, in "
            f"windows of time that begin {config.get('clip_stride')} frames apart."
        )
    return (
        f"An image model (Stable Diffusion{kind}) made a video model: "
        "it makes videos of sentences, without a photo; in windows of time they can be long."
    )


def image_pipeline(beside: int) -> str:
    """diffusers' pipeline of a Stable Diffusion model with so many channels beside the latents."""
    return KINDS[beside][1]


def image_defaults(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> ModelDefaults:
    """The settings of a Stable Diffusion model by its configs: the size that it was trained at."""
    side = unet.get("sample_size")
    side = side[0] if isinstance(side, list) and side else side
    if not isinstance(side, int) or side < 1 or (side < SIDE and _is_old(str(unet.get("_diffusers_version", "")))):
        side = SIDE
    levels = vae.get("block_out_channels")
    pixels = side * 2 ** (len(levels) - 1 if isinstance(levels, list) else 3)
    return ModelDefaults(pixels, pixels, FRAMES, num_inference_steps=30, guidance_scale=7.5)


POSE_KIND = (
    "An image model trained on videos (Follow-Your-Pose): it makes videos of sentences and of a control video of drawn "
    "skeletons, without a photo; in windows of time they can be long."
)


def pose_defaults(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> ModelDefaults:
    """The settings of Follow-Your-Pose, as Gen-L-Video's released code has them."""
    return replace(image_defaults(unet, vae), num_inference_steps=50, guidance_scale=12.5)


def _is_old(version: str) -> bool:
    # diffusers before 0.9 wrote a sample_size that was too small, and takes 64 for it.
    numbers = version.split(".")
    return numbers[0] == "0" and len(numbers) > 1 and numbers[1].isdigit() and int(numbers[1]) < 9
