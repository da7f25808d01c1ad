"""IVGCropToRoM and IVGStitchRoM: the region at full detail, with any video model."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from comfy_api.latest import io, ui
from torch import Tensor

from ._compat import found_by
from ._edges import frames_of, masks_of, photos_of, to_comfy
from ._inputs import correct_colour_input
from ._notes import noted, say

log = logging.getLogger("ivg")

WindowSocket = io.Custom("IVG_WINDOW")


@dataclass(frozen=True)
class Cropped:
    """What it takes to go back: the whole photo, its mask, and where the window lies in it."""

    photo: Tensor  # (H, W, 3)
    masks: Tensor  # (F or 1, H, W)
    window: object  # ivg_core.rom.window.Window


class IVGCropToRoM(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGCropToRoM",
            display_name="IVG Crop to RoM",
            category="IVG/region",
            **found_by("region of motion", "crop to mask", "inpaint crop", "zoom in on hands", "detail"),
            description="Cuts a window around the region of motion out of the photo, for any video model: so hands get "
            "the model's whole resolution, or the video takes a part of the time. IVG Stitch RoM lays the frames back "
            "into the photo's own resolution.",
            inputs=[
                io.Image.Input("image", tooltip="The photo, in its full size (the first one of a batch)."),
                io.Mask.Input("mask", tooltip="The region of motion; white moves. One mask, or one a frame."),
                io.Combo.Input(
                    "region",
                    options=["zoom", "crop"],
                    default="zoom",
                    tooltip="zoom: the window is made at about width x height, so the region gets all of it. crop: the "
                    "window is made in the detail that a video of the whole photo has at width x height, in a part of "
                    "the time.",
                ),
                io.Int.Input(
                    "width",
                    default=832,
                    min=16,
                    max=8192,
                    step=8,
                    tooltip="Width of a video that the model likes, in pixels.",
                ),
                io.Int.Input(
                    "height",
                    default=480,
                    min=16,
                    max=8192,
                    step=8,
                    tooltip="Height of a video that the model likes, in pixels.",
                ),
                io.Int.Input(
                    "multiple",
                    default=32,
                    min=1,
                    max=256,
                    tooltip="The sides of the window's video are multiples of this: 32 for Wan 2.2 5B and LTX, 16 for "
                    "Wan 2.1, Wan 2.2 14B and HunyuanVideo, 8 for IVG.",
                ),
                io.Float.Input(
                    "context",
                    default=0.05,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much around the region the model gets to see, as a share of the photo's width.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The window, at the size of its video."),
                io.Mask.Output(display_name="mask", tooltip="The region of motion in the window."),
                WindowSocket.Output(display_name="window", tooltip="For IVG Stitch RoM: what it needs to go back."),
                io.Int.Output(display_name="width", tooltip="Width of the window's video, for the model's own node."),
                io.Int.Output(display_name="height", tooltip="Height of the window's video, for the model's own node."),
                io.String.Output(display_name="report", tooltip="Where the window lies and what it saves, in words."),
            ],
        )

    @classmethod
    @noted
    def execute(cls, image, mask, region, width, height, multiple, context) -> io.NodeOutput:
        from ..ivg_core.media.images import mask_of_photo, resize_mask
        from ..ivg_core.rom.window import report, resized, window_for

        photo = photos_of(image)[0]
        masks, size = masks_of(mask), (photo.shape[1], photo.shape[0])
        masks = mask_of_photo(masks.to(photo.device), size)
        window = window_for(masks.amax(0), region, (width, height), multiple, context)
        said = report(window)
        say(said)
        shown = resized(window.cut_photo(photo), window.sampled)[None]
        parts = resize_mask(window.cut(masks), window.sampled)
        back = Cropped(photo, masks, window)
        return io.NodeOutput(
            to_comfy(shown), to_comfy(parts), back, *window.sampled, said, ui=ui.PreviewImage(shown, cls=cls)
        )


class IVGStitchRoM(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGStitchRoM",
            display_name="IVG Stitch RoM",
            category="IVG/region",
            **found_by("uncrop", "inpaint stitch", "paste back", "full resolution"),
            description="Lays the frames of a window back into the whole photo, in the photo's own resolution and "
            "colours: the video inside the region of motion, the photo's own pixels outside, a soft seam between.",
            inputs=[
                io.Image.Input(
                    "frames", tooltip="The frames of the window's video. Enlarged ones are taken as they are."
                ),
                WindowSocket.Input("window", tooltip="From IVG Crop to RoM."),
                io.Float.Input(
                    "feather",
                    default=-1.0,
                    min=-1.0,
                    max=0.5,
                    step=0.001,
                    tooltip="Width of the seam outside the region, as a share of the photo's width. -1 takes 1/32 of "
                    "the window's shorter side.",
                ),
                correct_colour_input(),
            ],
            outputs=[
                io.Image.Output(display_name="frames", tooltip="The frames in the photo's own size."),
                io.String.Output(
                    display_name="report",
                    tooltip="How much the colours drifted outside the region of motion, in words.",
                ),
            ],
        )

    @classmethod
    @noted
    def execute(cls, frames, window, feather, correct_colour) -> io.NodeOutput:
        from ..ivg_core.rom.overlay import stitch_clip

        frames = frames_of(frames)
        stitched, report = stitch_clip(
            frames, window.photo.to(frames.device), window.masks.to(frames.device), window.window,
            feather=feather * window.photo.shape[1] if feather >= 0 else None, correct_colour=correct_colour,
        )  # fmt: skip
        log.info("IVG Stitch RoM: %s", report)
        return io.NodeOutput(to_comfy(stitched), report, ui=ui.PreviewText(report))
