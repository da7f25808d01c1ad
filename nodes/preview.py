"""IVGPreviewRoM: the region of motion over the photo, before and after."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ._compat import found_by
from ._edges import batch_of, masks_of, photos_of, shown, to_comfy
from ._inputs import UNITS, unit_input
from ._notes import noted

LAYOUTS = ["one picture", "side by side"]


class IVGPreviewRoM(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGPreviewRoM",
            display_name="IVG Preview RoM",
            category="IVG/region",
            **found_by("region of motion", "show mask", "mask overlay"),
            description="Shows the region of motion over the photo: tinted, outlined, or both; alone, or beside the "
            "photo before it. With the frames of a video it shows whether they stay inside.",
            inputs=[
                io.Image.Input("image", tooltip="The photo (the first one of a batch)."),
                io.Mask.Input("mask", tooltip="The region of motion. One mask, or one a frame."),
                io.Float.Input(
                    "opacity",
                    default=0.45,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How strongly the region is tinted. 0 turns the tint off.",
                ),
                io.Int.Input(
                    "contour",
                    default=2,
                    min=0,
                    max=32,
                    tooltip="Width of the outline in pixels. 0 turns it off.",
                ),
                io.Combo.Input(
                    "layout",
                    options=LAYOUTS,
                    default=LAYOUTS[1],
                    tooltip="side by side: on the left before, on the right after. Before is the photo, or with "
                    "`after` connected the photo with its region; after is the photo with its region, or the frames "
                    "with the outline.",
                ),
                io.Image.Input(
                    "after",
                    optional=True,
                    tooltip="The frames of the video that was made with this mask, to see what moved.",
                ),
                unit_input("contour"),
            ],
            outputs=[io.Image.Output(display_name="preview", tooltip="What the node shows; one picture a frame.")],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(cls, image, mask, opacity, contour, layout, after=None, unit="pixels") -> io.NodeOutput:
        from ..ivg_core.media.images import resize_mask
        from ..ivg_core.rom.latent import crop_to, fit
        from ..ivg_core.rom.preview import draw_rom, side_by_side
        from ..ivg_core.rom.units import in_pixels

        photo = photos_of(image)[0]
        if after is not None:
            photo = fit(photo, (after.shape[2], after.shape[1]))
        size = (photo.shape[1], photo.shape[0])
        contour = max(1, round(in_pixels(contour, UNITS[unit], size[0]))) if contour else 0
        masks = resize_mask(crop_to(masks_of(mask), size), size).to(photo.device)  # (F, H, W)
        if after is None:
            drawn = [draw_rom(photo, one, opacity, contour) for one in masks]
            before = [photo] * len(drawn)
        else:
            frames = [frame.to(photo.device) for frame in photos_of(after)]
            each = list(masks) if len(masks) == len(frames) else [masks.amax(0)] * len(frames)
            drawn = [draw_rom(frame, one, 0, contour) for frame, one in zip(frames, each, strict=True)]
            before = [draw_rom(photo, one, opacity, contour) for one in each]
        if layout == "side by side":
            drawn = [side_by_side(left, right) for left, right in zip(before, drawn, strict=True)]
        preview = to_comfy(batch_of(drawn))
        return io.NodeOutput(preview, ui=ui.PreviewImage(shown(preview), cls=cls))
