"""The region of motion for other video models: on their latents, on the model itself, or as VACE's control video.

One node a way in, and not one node with a list of back ends: what they give differs (a LATENT, a MODEL, an IMAGE with
its MASK), and a wire that is only sometimes filled is a trap.
"""

from __future__ import annotations

import logging

import torch
import torch.nn.functional as F
from comfy_api.latest import io
from torch import Tensor

from ._compat import found_by
from ._edges import masks_of, photos_of, to_comfy
from ._notes import noted

log = logging.getLogger("ivg")

WAN_5B_CHANNELS = 48
PHOTO_TIP = "The photo that the video begins with (the first one of a batch)."
MASK_TIP = "The region of motion; white moves. One mask, or one a frame of the video."


class IVGApplyRoM(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGApplyRoM",
            display_name="IVG Apply RoM (LTX, Wan 2.1)",
            category="IVG/other models",
            **found_by("region of motion", "motion mask", "image to video", "hold background still"),
            description="Lets another video model move only the region of motion. Goes into the latent wire in front "
            "of the sampler, behind the model's own node (LTXVImgToVideo, WanImageToVideo, an empty latent …). "
            "For LTX, Wan 2.1, AnimateDiff and every model that works with a noise mask; Wan 2.2 and HunyuanVideo need "
            "IVG Apply RoM to Model behind it.",
            inputs=[
                io.Image.Input("image", tooltip=PHOTO_TIP + " Cropped to the video's shape as core's nodes do it."),
                io.Mask.Input("mask", tooltip=MASK_TIP),
                io.Vae.Input("vae", tooltip="The video model's VAE."),
                io.Latent.Input("latent", tooltip="What would go to the sampler; it gives size and length."),
                io.Int.Input(
                    "grow",
                    default=1,
                    min=0,
                    max=16,
                    tooltip="By how many latent cells (8 pixels with Wan, 32 with LTX) the region grows. 1 keeps its "
                    "edge free to move.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="latent",
                    tooltip="The photo held still, with a noise mask that opens the region of motion; the first frame "
                    "stays the photo.",
                ),
                io.Mask.Output(
                    display_name="latent_mask", tooltip="The mask as the model gets it, one a latent frame, to look at."
                ),
            ],
        )

    @classmethod
    @noted
    def execute(cls, image, mask, vae, latent, grow) -> io.NodeOutput:
        from ..ivg_core.rom.latent import latent_mask

        samples = latent["samples"]
        grid = grid_of(vae, samples)
        if samples.shape[1] == WAN_5B_CHANNELS and samples.ndim == 5:
            log.warning(
                "IVG Apply RoM: these are latents of Wan 2.2 5B, whose noise mask knows only whole frames: give the "
                "result to IVG Apply RoM to Model, and the first latent to the sampler."
            )
        cells = latent_mask(masks_of(mask), grid, grow).to(samples.device)  # (T, h, w)
        still = encode_still(vae, photos_of(image)[0], grid, samples)
        noise_mask = cells[None, None] if samples.ndim == 5 else cells[:, None]
        if latent.get("noise_mask") is not None:
            # What another node has locked, such as LTX's guide frames, stays as it was.
            locked = resize_like(latent["noise_mask"], samples).to(samples.device)
            still = torch.where(locked < 1, samples, still)
            noise_mask = torch.minimum(noise_mask, locked)
        return io.NodeOutput({**latent, "samples": still, "noise_mask": noise_mask}, to_comfy(cells))


class IVGApplyRoMModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGApplyRoMModel",
            display_name="IVG Apply RoM to Model (Wan 2.2)",
            category="IVG/other models",
            **found_by("region of motion", "motion mask", "image to video", "hunyuanvideo"),
            description="Holds everything outside the region of motion still inside the model, at every step. For "
            "models that a noise mask does not fit: Wan 2.2 14B with its two experts (one of these nodes for each), "
            "Wan 2.2 5B, HunyuanVideo. The sampler keeps the latent that it had.",
            inputs=[
                io.Model.Input("model", tooltip="The model, as it would go to the sampler."),
                io.Latent.Input("rom", tooltip="The latent that IVG Apply RoM gave."),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The same model, moving only the region of motion.")
            ],
        )

    @classmethod
    @noted
    def execute(cls, model, rom) -> io.NodeOutput:
        from ..ivg_core.errors import IVGError

        if rom.get("noise_mask") is None:
            raise IVGError(
                "IVG Apply RoM to Model got a latent without a mask: connect the latent of IVG Apply RoM to `rom`."
            )
        samples, cells = rom["samples"], rom["noise_mask"]

        def hold_still(step: dict) -> Tensor:
            denoised = step["denoised"]
            if samples.shape[-3:] != denoised.shape[-3:]:
                raise IVGError(
                    f"IVG Apply RoM to Model holds latents of {shape_of(samples)}, and the sampler makes "
                    f"{shape_of(denoised)}: give IVG Apply RoM the latent that goes to the sampler."
                )
            still = step["model"].process_latent_in(samples).to(denoised)
            return torch.lerp(still.expand_as(denoised), denoised, cells.to(denoised).expand_as(denoised))

        patched = model.clone()
        patched.set_model_sampler_post_cfg_function(hold_still)
        return io.NodeOutput(patched)


class IVGApplyRoMVACE(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGApplyRoMVACE",
            display_name="IVG Apply RoM (Wan VACE)",
            category="IVG/other models",
            **found_by("region of motion", "motion mask", "image to video", "control video"),
            description="Photo and region of motion as Wan VACE takes them, for core's WanVaceToVideo: first the "
            "photo, then the photo with grey where it may move, and masks that are white there.",
            inputs=[
                io.Image.Input("image", tooltip=PHOTO_TIP + " Cropped to the video's shape around its centre."),
                io.Mask.Input("mask", tooltip=MASK_TIP + " VACE knows only black and white: 0.5 and more is white."),
                io.Int.Input("width", default=832, min=16, max=8192, step=16, tooltip="Width of the video."),
                io.Int.Input("height", default=480, min=16, max=8192, step=16, tooltip="Height of the video."),
                io.Int.Input(
                    "length", default=81, min=5, max=8192, step=4, tooltip="Frames of the video: 4 times a number, + 1."
                ),
                io.Boolean.Input(
                    "box",
                    default=True,
                    tooltip="Gives VACE the mask's bounding box, which it follows better than a tight outline. "
                    "IVG Composite RoM afterwards brings the outline back.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="control_video", tooltip="For WanVaceToVideo."),
                io.Mask.Output(display_name="control_masks", tooltip="For WanVaceToVideo; white is made anew."),
                io.Int.Output(display_name="width", tooltip="For WanVaceToVideo, so that it is entered once."),
                io.Int.Output(display_name="height", tooltip="For WanVaceToVideo, so that it is entered once."),
                io.Int.Output(display_name="length", tooltip="For WanVaceToVideo, so that it is entered once."),
            ],
        )

    @classmethod
    @noted
    def execute(cls, image, mask, width, height, length, box) -> io.NodeOutput:
        from ..ivg_core.rom.latent import vace_control

        video, masks = vace_control(photos_of(image)[0], masks_of(mask), length, (width, height), box)
        return io.NodeOutput(to_comfy(video), to_comfy(masks), width, height, length)


def grid_of(vae, samples: Tensor):
    """How the video lies on latents (B, C, T, h, w), or (T, C, h, w) where frames are encoded one by one.

    Raises:
        IVGError: neither of these.
    """
    from ..ivg_core.errors import IVGError
    from ..ivg_core.models.codec import LatentGrid

    if samples.ndim not in (4, 5):
        raise IVGError(f"IVG Apply RoM got a latent of shape {tuple(samples.shape)}: connect the latent of a video.")
    frames = samples.shape[2] if samples.ndim == 5 else samples.shape[0]
    stride = (vae.temporal_compression_decode() or 1) if samples.ndim == 5 else 1
    return LatentGrid(frames, *samples.shape[-2:], cell=vae.spacial_compression_encode(), stride=stride)


def encode_still(vae, photo: Tensor, grid, samples: Tensor) -> Tensor:
    """The latents of the photo held still, shaped as `samples`.

    Raises:
        IVGError: the VAE makes latents of another shape.
    """
    from ..ivg_core.errors import IVGError
    from ..ivg_core.rom.latent import still_video

    video = still_video(photo, grid)  # (F, H, W, 3)
    # Where frames are encoded one by one, one stands for all.
    encoded = vae.encode(video) if samples.ndim == 5 else vae.encode(video[:1])
    if encoded.ndim != samples.ndim or encoded.shape[1] != samples.shape[1] or encoded.shape[-2:] != samples.shape[-2:]:
        raise IVGError(
            f"The VAE makes latents of {shape_of(encoded)} and the latent that came in has {shape_of(samples)}: "
            "connect the VAE of the video model that the latent is for."
        )
    return encoded.to(samples).expand_as(samples).clone()


def resize_like(noise_mask: Tensor, samples: Tensor) -> Tensor:
    """A noise mask of any of the forms that core takes, with the latents' frames and cells and one channel."""
    if samples.ndim == 4:
        flat = noise_mask.reshape(-1, 1, *noise_mask.shape[-2:]).float()
        return F.interpolate(flat, size=samples.shape[-2:], mode="bilinear")
    deep = noise_mask if noise_mask.ndim == 5 else noise_mask.reshape(1, 1, -1, *noise_mask.shape[-2:])
    return F.interpolate(deep[:, :1].float(), size=samples.shape[-3:], mode="trilinear")


def shape_of(latents: Tensor) -> str:
    """A latent's shape as people write it."""
    return f"{latents.shape[1]} channels, " + " x ".join(str(side) for side in latents.shape[2:])
