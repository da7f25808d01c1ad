"""The workflows that make only a window around the region; see graphs.py for what describes a graph."""

from __future__ import annotations

import dataclasses

from graphs import FIXED, OVER_PHOTO, REGION, VIDEO, Box, Graph, grouped
from rom_graphs import wan_5b_loaders, wan_5b_video
from rom_parts import Part, framed, joined, moved, region

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
    boxes = {
        "stitch": Box("IVGStitchRoM", (x, 0), (300, 160)),
        "report": Box("PreviewAny", (x, 240), (300, 120), title="Colour drift"),
        "create": Box("CreateVideo", (x, 440), (300, 80), {"fps": fps}),
        "save": Box("SaveVideo", (x + 340, 0), (400, 400), {"filename_prefix": "video/ivg_crop"}),
    }
    links = [
        f"{frames} > stitch.frames",
        "crop.window > stitch.window",
        "stitch.report > report.source",
        "stitch.frames > create.images",
        "create.VIDEO > save.video",
    ]
    return grouped(OVER_PHOTO, boxes), links


def crop_wan_5b() -> Graph:
    boxes, links = region(HOW, "*IVG Crop to RoM*")
    (text,) = boxes["note"].widgets.values()
    note = {"": text.replace("IVG Composite RoM", "IVG Stitch RoM")}
    boxes["note"] = dataclasses.replace(boxes["note"], widgets=note)
    video = framed(VIDEO, moved(of_window(wan_5b_video()), 360))
    return joined((boxes, links), window(), wan_5b_loaders(1720), video, stitched("decode.IMAGE", 24.0, 2760))


def through_a_window() -> Graph:
    """The embedded model in the place of a large one: what the help pages show."""
    boxes = {
        "scene": Box("IVGExampleScene", (0, 0), (320, 320), {"seed": 13, **FIXED}),
        "model": Box("LoadIVGModel", (0, 400), (320, 110)),
        "predict": Box("PredictRoMMask", (380, 0), (320, 690), dict(FIXED)),
        "crop": Box("IVGCropToRoM", (760, 0), (340, 560), {"width": 192, "height": 128, "multiple": 8}),
        "sample": Box("IVGSampler", (1160, 0), (320, 690), dict(FIXED)),
        "stitch": Box("IVGStitchRoM", (1540, 0), (340, 180)),
        "result": Box("PreviewImage", (1940, 0), (360, 300), title="The frames"),
        "report": Box("PreviewAny", (1540, 260), (340, 140), title="report"),
    }
    links = [
        "model.model > predict.model",
        "scene.image > predict.image",
        "scene.action > predict.action",
        "scene.image > crop.image",
        "predict.mask > crop.mask",
        "model.model > sample.model",
        "crop.image > sample.image",
        "crop.mask > sample.mask",
        "crop.width > sample.width",
        "crop.height > sample.height",
        "scene.action > sample.action",
        "sample.frames > stitch.frames",
        "crop.window > stitch.window",
        "stitch.frames > result.images",
        "stitch.report > report.source",
    ]
    return Graph(boxes, links, picture="result")


GRAPHS = {"ivg_16_full_detail_wan22_5b": crop_wan_5b}
