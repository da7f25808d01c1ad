"""The workflows that make only a window around the region; see graphs.py for what describes a graph."""

from __future__ import annotations

import dataclasses

from graphs import OVER_PHOTO, REGION, VIDEO, Box, Graph, grouped
from rom_graphs import wan_5b_loaders, wan_5b_video
from rom_parts import Part, framed, joined, moved, region, saved

HOW = (
    "## The region at full detail → Wan 2.2 5B\n\n*IVG Crop to RoM* cuts a window around the region out of the photo, "
    "and Wan makes only that: hands get its whole resolution. *IVG Stitch RoM* lays the frames back into the photo, "
    "which keeps its own resolution.\n\n**In a part of the time:** set *region* to *crop*. The window then has the "
    "detail that a video of the whole photo would have.\n\n**A very large photo** makes very large frames: put "
    "*Upscale Image* behind *Load Image* where the memory does not do."
)


def window() -> Part:
    """The window of the photo that is to be made."""
    boxes = {
        "crop": Box("IVGCropToRoM", (1360, 0), (320, 560), {"width": 1280, "height": 704}),
        "saving": Box("PreviewAny", (1360, 640), (320, 140), title="The window"),
    }
    links = ["photo.IMAGE > crop.image", "refine.mask > crop.mask", "crop.report > saving.source"]
    return grouped(REGION, boxes), links


def of_window(part: Part) -> Part:
    """The part, given the window in the photo's place, and its size."""
    boxes, links = part
    renamed = [link.replace("photo.IMAGE", "crop.image").replace("refine.mask", "crop.mask") for link in links]
    return boxes, [*renamed, "crop.width > to_video.width", "crop.height > to_video.height"]


def stitched(frames: str, fps: float, x: int) -> Part:
    """The frames laid back into the photo, saved: the right part."""
    boxes, links = saved("stitch", fps, (x, 240), "video/ivg_crop")
    boxes["stitch"] = Box("IVGStitchRoM", (x, 0), (300, 160))
    return grouped(OVER_PHOTO, boxes), [f"{frames} > stitch.frames", "crop.window > stitch.window", *links]


def crop_wan_5b() -> Graph:
    boxes, links = region(HOW, "*IVG Crop to RoM*")
    (text,) = boxes["note"].widgets.values()
    note = {"": text.replace("IVG Composite RoM", "IVG Stitch RoM")}
    boxes["note"] = dataclasses.replace(boxes["note"], widgets=note)
    video = framed(VIDEO, moved(of_window(wan_5b_video()), 360))
    return joined((boxes, links), window(), wan_5b_loaders(1720), video, stitched("decode.IMAGE", 24.0, 2760))


GRAPHS = {"ivg_16_full_detail_wan22_5b": crop_wan_5b}
