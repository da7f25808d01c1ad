"""The example workflows for instruction videos; see graphs.py for what describes a graph.

    COMFYUI_PATH=… PYTHONPATH=.:tests python tests/comfyui/how_to_graphs.py [--shots FOLDER]

writes the one that runs offline and its thumbnail, as make_workflows.py does for the others. The one with a model to
download is written by make_rom_workflows.py.
"""

from __future__ import annotations

from graphs import CLEAN, DRAWN_ONLY, FILM, FIXED, MODEL, PLAN, REGION, VIDEO, Box, Graph, grouped
from rom_graphs import wan_5b_loaders, wan_5b_video
from rom_parts import OUTLINE, PHOTO, Part, framed, moved, note_box

SCENE = 17  # in which these can be done
DRAWN_STEPS = (
    "# Tidy the counter\n1. push the brown box to the left [title Make room]\n"
    "2. pick up the orange carrot [title Take the carrot]\n3. rotate the lid [title Turn the lid]"
)
PAN_STEPS = (
    "# Fried vegetables\n1. The person stirs the pan with the right hand. Static camera.\n"
    "2. The person tilts the pan with both hands. Static camera.\n"
    "3. The person puts the pan down on the stove. Static camera."
)
HOW = (
    "1. Write what is done into **text** of *IVG Plan Steps*, a line for each step, or paste a recipe.\n"
    "2. Press **Make all that is left** of *IVG Load Step*: one run for each step. Each begins with the last frame of "
    "the step before. Close the page, cancel, crash: the next run goes on.\n"
    "3. The film plays on *IVG How-to Film*, and `output/ivg/{name}/index.html` shows all of it.\n\n"
    "**A step that is not good:** press ⟳ beside its seed in the table, then *Make all that is left*: it is made "
    "again, and those after it, as they begin with another picture.\n\n"
    "**IVG Save Step** lays each step over the picture that it began with: nothing else moves, and colours do not "
    "drift."
)


def how_to_part(x: int, plan: dict, name: str, fps: float, frames: str) -> Part:
    """Plan and loader on the left; at `x` what keeps a step, and the film."""
    boxes = {
        **grouped(
            PLAN,
            {
                "plan": Box("IVGPlanSteps", (700, 0), (520, 760), plan),
                "loader": Box("IVGStepLoader", (1260, 0), (320, 400), {"name": name}),
            },
        ),
        **grouped(
            FILM,
            {
                "save": Box("IVGStepSave", (x, 0), (500, 480), {"fps": fps}),
                "film": Box("IVGHowTo", (x + 540, 0), (420, 620)),
                "file": Box("SaveVideo", (x + 1000, 0), (400, 400), {"filename_prefix": f"video/{name}"}),
            },
        ),
    }
    links = [
        "plan.plan > loader.plan",
        "loader.step > save.step",
        f"{frames} > save.frames",
        "save.how_to > film.how_to",
        "film.video > file.video",
    ]
    return boxes, links


def how_to() -> Graph:
    note = (
        f"## A photo and some steps → an instruction video\n\n{HOW.format(name='how_to')}\n\n"
        "**embedded-back** is a LoRA by which the hand of the embedded model goes back to rest at the end of a step of "
        f"12 frames. With another checkpoint take *IVG Load LoRA* out.\n\n{DRAWN_ONLY}"
    )
    boxes, links = how_to_part(2740, {"text": DRAWN_STEPS}, "how_to", 8.0, "sample.frames")
    boxes |= {
        "note": note_box(note),
        "model": Box("LoadIVGModel", (360, 400), (300, 110), group=PLAN),
        "lora": Box("IVGLoadLoRA", (360, 590), (300, 240), {"lora_name": "embedded-back"}, group=PLAN),
        "scene": Box("IVGExampleScene", (360, 0), (300, 320), {"seed": SCENE, **FIXED}, group=PLAN),
        **grouped(
            REGION,
            {
                "predict": Box("PredictRoMMask", (1640, 0), (320, 690), dict(FIXED)),
                "refine": Box("RefineMask", (2000, 0), (280, 520), {**CLEAN, "grow": 15}),
                "mask": Box("IVGStepMask", (2000, 620), (280, 60)),
            },
        ),
        "sample": Box("IVGSampler", (2340, 0), (340, 690),
                      {**FIXED, "frames": 12, "keep_first_frame": False, "composite": False}, group=VIDEO),
    }  # fmt: skip
    links += [
        "scene.image > loader.image",
        "scene.image > plan.image",
        "model.model > predict.model",
        "model.model > lora.model",
        "lora.model > sample.model",
        "loader.image > predict.image",
        "loader.image > sample.image",
        "loader.action > predict.action",
        "loader.action > sample.action",
        "loader.seed > predict.seed",
        "loader.seed > sample.seed",
        "predict.mask > refine.mask",
        "refine.mask > mask.predicted",
        "loader.step > mask.step",
        "mask.mask > sample.mask",
        "mask.mask > save.mask",
    ]
    return Graph(boxes, links, picture="predict")


def how_to_wan_5b() -> Graph:
    note = (
        f"## A photo and some steps → an instruction video by Wan 2.2 5B\n\n{HOW.format(name='how_to_wan')}\n\n"
        "Choose the photo in *Load Image*. The region of each step is made around the hands in the picture that it "
        "begins with; in the table a step can have another: *white*, *find*, or a mask of yours. No hand in it? Choose "
        "*white*.\n\nAny other model: put it between *IVG Load Step* and *IVG Save Step*."
    )
    boxes, links = how_to_part(2760, {"text": PAN_STEPS}, "how_to_wan", 24.0, "decode.IMAGE")
    model_boxes, model_links = moved(wan_5b_loaders(1360), 280)
    video_boxes, video_links = moved(framed(VIDEO, wan_5b_video()), 280)
    del model_boxes["positive"]
    boxes |= {
        "note": note_box(note),
        "photo": Box("LoadImage", (360, 0), (300, 320), {"image": PHOTO}, group=PLAN),
        **grouped(
            REGION,
            {
                "hands": Box("HandKeypoints", (700, 960), (300, 460), {"video": False}),
                "things": Box("IVGRoMFromThings", (1040, 960), (300, 440)),
                "refine": Box("RefineMask", (1380, 960), (280, 480), {**CLEAN, "grow": 15}),
                "mask": Box("IVGStepMask", (1700, 960), (280, 60)),
                "preview": Box("IVGPreviewRoM", (1700, 1100), (620, 340), OUTLINE),
            },
        ),
        **model_boxes,
        "positive": Box("CLIPTextEncode", (1640, 410), (320, 130), title="What is done", group=MODEL),
        **video_boxes,
    }
    links += [
        "photo.IMAGE > plan.image",
        "photo.IMAGE > loader.image",
        "loader.image > hands.image",
        "loader.image > things.image",
        "hands.keypoints > things.keypoints",
        "things.mask > refine.mask",
        "refine.mask > mask.predicted",
        "loader.step > mask.step",
        "loader.image > preview.image",
        "mask.mask > preview.mask",
        "loader.action > positive.text",
        "loader.seed > sample.seed",
        "mask.mask > save.mask",
        *model_links,
        *(link.replace("photo.IMAGE", "loader.image").replace("refine.mask", "mask.mask") for link in video_links),
    ]
    return Graph(boxes, links, picture="preview")


GRAPHS = {"ivg_34_how_to": how_to}
WITH_DOWNLOADS = {"ivg_35_how_to_wan22_5b": how_to_wan_5b}

if __name__ == "__main__":
    import make_workflows

    make_workflows.GRAPHS = GRAPHS
    make_workflows.main()
