"""RefineMask and IVGEditMask: a mask made better by numbers, and by hand. They take any MASK."""

from __future__ import annotations

import logging
import os

import folder_paths
import numpy as np
import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ._compat import found_by, supported
from ._edges import masks_of, photos_of, shown, to_comfy
from ._inputs import UNITS, unit_input
from ._notes import noted

log = logging.getLogger("ivg")

SHAPES = ["as it is", "convex hull", "box", "convex hull of each part", "box of each part"]
EDITOR_SIDE = 2048  # a mask is painted in at most so many pixels
COMBINATIONS = ["union", "intersect", "subtract"]


class RefineMask(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="RefineMask",
            display_name="IVG Refine Mask",
            category="IVG/region",
            **found_by("grow mask", "expand mask", "feather", "clean mask"),
            description="Cleans any mask: threshold, specks, holes, shape, grow or shrink; joins it with a second one; "
            "softens its edge. The steps run in the order of the widgets.",
            inputs=[
                io.Mask.Input("mask", tooltip="The mask, or one mask a frame; white moves."),
                io.Float.Input(
                    "threshold",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Everything from this value up becomes white, the rest black. 0 leaves soft values alone.",
                ),
                io.Int.Input(
                    "min_area",
                    default=16,
                    min=0,
                    max=1 << 24,
                    tooltip="White specks with fewer connected pixels than this are removed. 0 keeps all.",
                ),
                io.Int.Input(
                    "close",
                    default=2,
                    min=0,
                    max=256,
                    tooltip="Closes gaps and holes up to about twice this many pixels wide. 0 closes none.",
                ),
                io.Boolean.Input(
                    "fill_holes", default=True, tooltip="Fills all that the white region encloses, however large."
                ),
                io.Combo.Input(
                    "shape",
                    options=SHAPES,
                    default=SHAPES[0],
                    tooltip="What takes the mask's place: its convex hull, its bounding box, one of these for each "
                    "connected part, or nothing.",
                ),
                io.Int.Input(
                    "grow",
                    default=4,
                    min=-512,
                    max=512,
                    tooltip="Grows the white region by this many pixels on every side; a negative number shrinks it.",
                ),
                io.Combo.Input(
                    "combine",
                    options=COMBINATIONS,
                    default=COMBINATIONS[0],
                    tooltip="How the mask is joined with the second one; without effect while none is connected.",
                ),
                io.Float.Input(
                    "feather",
                    default=0.0,
                    min=0.0,
                    max=256.0,
                    step=0.5,
                    tooltip="Width of the soft edge in pixels, half of it inside and half outside. 0 leaves it hard.",
                ),
                io.Int.Input(
                    "smooth",
                    default=0,
                    min=0,
                    max=64,
                    tooltip="For a batch of masks, one a frame: before all else each becomes the mean of this many "
                    "frames before and after it. 0 leaves them apart.",
                    **supported(io.Int.Input, advanced=True),
                ),
                io.Mask.Input(
                    "other",
                    optional=True,
                    tooltip="A second mask to unite with, to intersect with, or to cut away. It is resized if needed.",
                ),
                unit_input("min_area (in squares), close, grow and feather"),
            ],
            outputs=[io.Mask.Output(display_name="mask", tooltip="The refined mask, as many frames as came in.")],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(
        cls, mask, threshold, min_area, close, fill_holes, shape, grow, combine, feather, smooth, other=None,
        unit="pixels",
    ) -> io.NodeOutput:  # fmt: skip
        from ..ivg_core.rom.refine import refine_mask

        refined = refine_mask(
            masks_of(mask),
            smooth=smooth,
            threshold=threshold or None,
            min_area=min_area,
            close=close,
            fill_holes=fill_holes,
            convex_hull=shape.startswith("convex hull"),
            box=shape.startswith("box"),
            each_part=shape.endswith("of each part"),
            grow=grow,
            other=None if other is None else masks_of(other),
            combine=combine,
            feather=feather,
            unit=UNITS[unit],
        )
        refined = to_comfy(refined)
        return io.NodeOutput(refined, ui=ui.PreviewMask(shown(refined), cls=cls))


class IVGEditMask(io.ComfyNode):
    """Shows a photo under its mask. The mask editor stores what the user paints in the widget named `image`."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGEditMask",
            display_name="IVG Edit Mask",
            category="IVG/region",
            **found_by("paint mask", "draw mask", "mask editor", "region of motion"),
            description="Paint the region of motion by hand. Run once to see the photo, press Edit mask, paint and "
            "save, then run again. The edit stays until Discard edit is pressed, and holds for that photo only.",
            inputs=[
                io.Image.Input("photo", tooltip="The photo that is shown (the first one of a batch)."),
                io.String.Input(
                    "image",
                    default="",
                    tooltip="The file with your painted mask; the mask editor writes it here. While it is empty, the "
                    "mask that comes in goes out unchanged.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="The mask to begin with, such as the one that IVG Predict RoM Mask found. Black when not "
                    "connected. Without effect once there is an edit.",
                ),
                io.Boolean.Input(
                    "any_photo",
                    default=False,
                    optional=True,
                    tooltip="Off: the edit holds for the photo that it was painted on, and the node stops when another "
                    "one comes. On: it is laid on every photo that comes, such as all those of a batch.",
                ),
            ],
            outputs=[io.Mask.Output(display_name="mask", tooltip="The painted mask, or the one that came in.")],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(cls, photo, image, mask=None, any_photo=True) -> io.NodeOutput:  # a prompt without it is an old one
        from ..ivg_core.errors import IVGError
        from ..ivg_core.media.images import resize_mask, same_picture

        frame = photos_of(photo)[0]
        height, width = frame.shape[:2]
        if image:
            picture, painted = read_painted(image)
            if picture is not None and not any_photo and not same_picture(picture, frame.cpu(), painted == 0):
                raise IVGError(
                    "The mask was painted on another photo than the one that comes in: press Discard edit and run "
                    "again to paint on this one, or switch `any_photo` on to lay the edit on every photo."
                )
        elif mask is not None:
            painted = masks_of(mask).amax(0)
        else:
            painted = torch.zeros(height, width)
        if painted.shape != (height, width) and not (image and is_smaller(painted, frame)):
            log.warning("IVGEditMask: the mask is %s, the photo %s: it is resized.", size_of(painted), size_of(frame))
        painted = resize_mask(painted.to(frame.device), (width, height))
        edited = [shown(part[None], EDITOR_SIDE) for part in (frame, painted)]
        see_through = torch.cat([edited[0], 1 - edited[1][..., None]], -1)  # the editor reads the mask from alpha
        return io.NodeOutput(to_comfy(painted)[None], ui=ui.PreviewImage(see_through, cls=cls))


def is_smaller(painted: Tensor, photo: Tensor) -> bool:
    """Whether a painted mask has the shape of the photo, as the editor was shown it."""
    return abs(painted.shape[1] * photo.shape[0] / (painted.shape[0] * photo.shape[1]) - 1) < 0.01


def size_of(picture: Tensor) -> str:
    """A picture's size as people write it, such as 640 x 480."""
    return f"{picture.shape[1]} x {picture.shape[0]}"


def read_painted(name: str) -> tuple[Tensor | None, Tensor]:
    """What the mask editor stored: the photo, made transparent where the mask is. A black and white picture is a mask.

    Args:
        name: file in ComfyUI's input folder, with or without the mark `[input]`.

    Returns:
        The photo (H, W, 3), of which the editor may have lost what lies under the mask, or None where the file is only
        a mask; the mask (H, W).

    Raises:
        IVGError: the file is gone, is no picture, holds no mask, or lies outside the input folder.
    """
    from ..ivg_core.errors import IVGError
    from ..ivg_core.media.images import load_mask, open_picture

    folder = os.path.realpath(folder_paths.get_input_directory())
    path = os.path.realpath(folder_paths.get_annotated_filepath(name))
    if not path.startswith(folder + os.sep) or not os.path.isfile(path):
        raise IVGError(f"The painted mask {name!r} is not in the input folder: press Discard edit, or paint it again.")
    picture = open_picture(path, "painted mask")
    if not picture.has_transparency_data:
        return None, load_mask(path)
    rgba = torch.from_numpy(np.array(picture.convert("RGBA"), dtype=np.float32) / 255)  # (H, W, 4)
    return rgba[..., :3], 1 - rgba[..., 3]
