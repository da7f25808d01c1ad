"""IVGCompositeRoM: any model's clip laid over the still photo, in the photo's own colours."""

from __future__ import annotations

import logging

from comfy_api.latest import io, ui

from ._compat import found_by
from ._edges import frames_of, masks_of, photos_of, to_comfy
from ._inputs import UNITS, correct_colour_input, feather_input, unit_input
from ._notes import noted

log = logging.getLogger("ivg")

SIZES = ["frames", "photo"]


class IVGCompositeRoM(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGCompositeRoM",
            display_name="IVG Composite RoM",
            category="IVG/video",
            **found_by("region of motion", "overlay video on photo", "keep background still"),
            description="Lays any video over the still photo: the video inside the region of motion, the photo's own "
            "pixels outside, a soft seam between. Colours that drifted are measured outside the region and put right. "
            "Works with every model, also one behind an API; the camera must stand still.",
            inputs=[
                io.Image.Input("frames", tooltip="The frames of the video, from any model."),
                io.Image.Input(
                    "image",
                    tooltip="The photo that the video was made from (the first one of a batch). Cropped and resized to "
                    "the frames.",
                ),
                io.Mask.Input("mask", tooltip="The region of motion; white moves. One mask, or one a frame."),
                feather_input(),
                correct_colour_input(),
                io.Combo.Input(
                    "size",
                    options=SIZES,
                    default=SIZES[0],
                    optional=True,
                    tooltip="frames: the result has the frames' size. photo: it has the photo's, and the region is "
                    "enlarged to it; what the frames do not show of the photo stands still.",
                ),
                unit_input("feather"),
            ],
            outputs=[
                io.Image.Output(display_name="frames", tooltip="The frames over the photo."),
                io.String.Output(
                    display_name="report",
                    tooltip="How much the colours drifted outside the region of motion, in words.",
                ),
            ],
        )

    @classmethod
    @noted
    def execute(cls, frames, image, mask, feather, correct_colour, size=SIZES[0], unit="pixels") -> io.NodeOutput:
        from ..ivg_core.rom.overlay import overlay_clip, stitch_clip
        from ..ivg_core.rom.units import in_pixels

        clip, photo = frames_of(frames), photos_of(image)[0]
        feather = in_pixels(feather, UNITS[unit], (photo if size == "photo" else clip).shape[-2])
        lay_over = stitch_clip if size == "photo" else overlay_clip
        composed, report = lay_over(
            clip, photo.to(clip.device), masks_of(mask).to(clip.device),
            feather=feather if feather >= 0 else None, correct_colour=correct_colour,
        )  # fmt: skip
        log.info("IVG Composite RoM: %s", report)
        return io.NodeOutput(to_comfy(composed), report, ui=ui.PreviewText(report))
