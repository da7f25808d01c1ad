"""The graphs that the pictures of the help pages are taken of; see graphs.py for what describes a graph."""

from __future__ import annotations

import dataclasses

from batch_graphs import batch_two_stage, enriched_action
from core_help_graphs import concat_core, predict_core, train_core
from graphs import FIXED, Box, Graph, mask_by_hand, two_stage
from how_to_graphs import how_to
from motion_graphs import motion_from_clips
from over_time_graphs import CUP_THEN_CARROT
from rom_graphs import any_video, ltx, wan_22
from rom_parts import Part
from sampler_graphs import sampler_custom
from sd_graphs import scenes_over_depth, video_to_video
from training_graphs import train_lora

from ivg_core.media.tracks import Keyframe, Thing, Track

#: A drawn clip that the script puts into ComfyUI's input folder.
CLIP = "clip.mp4"
#: A text-to-video model that it puts into models/ivg: tiny, of random weights, and never run.
TEXT_MODEL = "zeroscope_v2_576w"


@dataclasses.dataclass(frozen=True)
class Scene:
    """A graph, whether it is run before the pictures are taken, and the boxes that each help page shows."""

    graph: Graph
    pictures: dict[str, list[str]]
    runs: bool = True
    sizes: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


def spaced_two_stage() -> Graph:
    """Both stages, with room for a wider sampler, whose note then fits on one line."""
    graph = two_stage()
    save = dataclasses.replace(graph.boxes["save"], at=(1880, 0))
    return dataclasses.replace(graph, boxes={**graph.boxes, "save": save})


def side_nodes() -> Graph:
    """The nodes that only set something up."""
    boxes = {
        "model": Box("LoadIVGModel", (0, 0), (320, 110)),
        "lora": Box("IVGLoadLoRA", (380, 0), (300, 110), {"strength": 0.8}),
        "optimize": Box("IVGOptimizeModel", (740, 0), (320, 110)),
        "options": Box("IVGSamplerOptions", (0, 300), (320, 180)),
        "download": Box("IVGDownloadModel", (0, 700), (420, 180)),
    }
    return Graph(boxes, ["model.model > lora.model", "lora.model > optimize.model"], picture="model")


def over_time() -> Graph:
    """A long video: its windows, and the sentences one after the other."""
    boxes = {
        "options": Box("IVGSamplerOptions", (0, 0), (320, 300)),
        "windows": Box("IVGWindows", (380, 0), (320, 260)),
        "sample": Box("IVGSampler", (760, 0), (340, 560), {**FIXED, "frames": 40}),
        "schedule": Box("IVGPromptSchedule", (0, 800), (480, 220), {"sentences": CUP_THEN_CARROT}),
    }
    links = ["options.options > windows.options", "windows.options > sample.options"]
    return Graph(boxes, links, picture="windows")


def scenes_and_depth() -> Graph:
    """What the workflow of that name tells Stable Diffusion 2 depth, close together."""
    whole = scenes_over_depth()
    at = {"depth": (0, 0), "told": (440, 0), "schedule": (0, 400), "scenes": (440, 400)}
    boxes = {name: dataclasses.replace(whole.boxes[name], at=place, group="") for name, place in at.items()}
    inner = [link for link in whole.links if all(end.split(".")[0] in boxes for end in link.split(" > "))]
    return Graph(boxes, inner, "depth")


def found() -> Graph:
    """A drawn clip as photo and as its own draft, and everything that finds the region of a photo."""
    boxes = {
        "load": Box("LoadVideo", (-400, 0), (300, 100), {"file": CLIP}),
        "parts": Box("GetVideoComponents", (-60, 0), (200, 80)),
        "photo": Box("ImageFromBatch", (340, -60), (300, 80), {"batch_index": 1, "length": 1}),
        "black": Box("SolidMask", (-60, 200), (300, 110), {"value": 0.0, "width": 256, "height": 192}),
        "white": Box("SolidMask", (-60, 370), (300, 110), {"value": 1.0, "width": 64, "height": 34}),
        "paste": Box("MaskComposite", (340, 80), (300, 130), {"x": 80, "y": 76, "operation": "add"}),
        "named": Box("MaskPreview", (700, 0), (240, 230), title="Mask of the cucumber"),
        "keypoints": Box("HandKeypoints", (340, 280), (300, 500)),
        "things": Box("IVGRoMFromThings", (980, 0), (340, 500)),
        "again": Box("ImageFromBatch", (-60, 1060), (300, 80), {"batch_index": 1, "length": 1}),
        "later": Box("ImageFromBatch", (-60, 900), (300, 80), {"batch_index": 1, "length": 7}),
        "draft": Box("PreviewImage", (340, 900), (300, 420), title="The draft"),
        "video": Box("IVGRoMFromVideo", (680, 900), (360, 540)),
        "names": Box("IVGNameThings", (0, 1600), (360, 240), {"action": "The person cuts the carrot with a knife"}),
        "prompt": Box("PreviewAny", (400, 1600), (280, 100), title="prompt"),
        "names_alone": Box("PreviewAny", (400, 1760), (280, 100), title="names"),
    }
    links = [
        "load.VIDEO > parts.video",
        "parts.images > photo.image",
        "black.MASK > paste.destination",
        "white.MASK > paste.source",
        "paste.MASK > named.mask",
        "photo.IMAGE > keypoints.image",
        "photo.IMAGE > things.image",
        "paste.MASK > things.things",
        "keypoints.keypoints > things.keypoints",
        "parts.images > again.image",
        "parts.images > later.image",
        "later.IMAGE > draft.images",
        "later.IMAGE > video.frames",
        "again.IMAGE > video.image",
        "things.near > video.near",
        "names.prompt > prompt.source",
        "names.names > names_alone.source",
    ]
    return Graph(boxes, links, picture="things")


def inverted() -> Graph:
    """The motion of a drawn clip in another drawn scene."""
    boxes = {
        "load": Box("LoadVideo", (0, 200), (300, 100), {"file": CLIP}),
        "model": Box("LoadIVGModel", (0, 0), (320, 110)),
        "invert": Box("IVGInvertVideo", (400, 0), (340, 420), {"steps": 20}),
        "scene": Box("IVGExampleScene", (0, 400), (320, 320), {"seed": 13, **FIXED}),
        "sample": Box("IVGSampler", (800, 0), (320, 690), dict(FIXED)),
        "save": Box("PreviewImage", (1180, 0), (300, 230)),
    }
    links = [
        "model.model > invert.model",
        "load.VIDEO > invert.video",
        "model.model > sample.model",
        "scene.image > sample.image",
        "scene.action > sample.action",
        "invert.noise_prior > sample.noise_prior",
        "sample.frames > save.images",
    ]
    return Graph(boxes, links, picture="invert")


def predicted() -> Part:
    """A drawn scene and its predicted region."""
    boxes = {
        "scene": Box("IVGExampleScene", (0, 0), (320, 320), {"seed": 13, **FIXED}),
        "model": Box("LoadIVGModel", (0, 400), (320, 110)),
        "predict": Box("PredictRoMMask", (380, 0), (320, 690), dict(FIXED)),
    }
    links = [
        "model.model > predict.model",
        "scene.image > predict.image",
        "scene.action > predict.action",
    ]
    return boxes, links


def vace() -> Graph:
    """Control video and masks, seen by core's previews."""
    boxes, links = predicted()
    boxes |= {
        "apply": Box("IVGApplyRoMVACE", (900, 0), (300, 220), {"width": 384, "height": 256, "length": 5}),
        "later": Box("ImageFromBatch", (900, 700), (300, 80), {"batch_index": 2, "length": 1}),
        "as_image": Box("MaskToImage", (900, 860), (300, 40)),
        "later_mask": Box("ImageFromBatch", (900, 960), (300, 80), {"batch_index": 2, "length": 1}),
        "video": Box("PreviewImage", (1240, 0), (300, 230), title="control_video, a later frame"),
        "masks": Box("PreviewImage", (1240, 290), (300, 230), title="control_masks, the same frame"),
    }
    links += [
        "scene.image > apply.image",
        "predict.mask > apply.mask",
        "apply.control_video > later.image",
        "later.IMAGE > video.images",
        "apply.control_masks > as_image.mask",
        "as_image.IMAGE > later_mask.image",
        "later_mask.IMAGE > masks.images",
    ]
    return Graph(boxes, links, picture="video")


def through_a_window() -> Graph:
    """The embedded model in the place of a large one: what the help pages show."""
    boxes, links = predicted()
    boxes |= {
        "crop": Box("IVGCropToRoM", (760, 0), (340, 560), {"width": 192, "height": 128, "multiple": 8}),
        "sample": Box("IVGSampler", (1160, 0), (320, 690), dict(FIXED)),
        "stitch": Box("IVGStitchRoM", (1540, 0), (340, 180)),
        "result": Box("PreviewImage", (1940, 0), (360, 300), title="The frames"),
        "report": Box("PreviewAny", (1540, 260), (340, 140), title="report"),
    }
    links += [
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


def hands() -> Graph:
    """A clip with a hand in it, looked at by everything that looks at hands."""
    boxes = {
        "load": Box("LoadVideo", (0, 0), (300, 100), {"file": CLIP}),
        "parts": Box("GetVideoComponents", (340, 0), (200, 80)),
        "first": Box("ImageFromBatch", (340, 140), (200, 80), {"batch_index": 0, "length": 1}),
        "later": Box("ImageFromBatch", (340, 280), (200, 80), {"batch_index": 5, "length": 1}),
        "model": Box("LoadIVGModel", (0, 200), (300, 110)),
        "keypoints": Box("HandKeypoints", (700, 0), (320, 500)),
        "fallback": Box("IVGFallbackRoM", (1300, 0), (300, 190), {"method": "hands"}),
        "region": Box("MaskPreview", (1640, 0), (280, 260), title="The mask"),
        "annotate": Box("IVGAnnotateRoM", (700, 620), (480, 520), {"arms": True}),
        "sample": Box("IVGSampler", (300, 700), (320, 690), dict(FIXED)),
        "score": Box("IVGHandScore", (1300, 400), (240, 130)),
        "scores": Box("PreviewAny", (1580, 400), (570, 140), title="table"),
        "pick": Box("IVGPickBest", (1300, 800), (200, 120)),
        "table": Box("PreviewAny", (1540, 800), (590, 140), title="table"),
        "evaluate": Box("IVGEvaluate", (1300, 1100), (300, 150)),
        "report": Box("PreviewAny", (1300, 1440), (640, 220), title="report"),
        "flow": Box("PreviewImage", (1640, 1100), (300, 160), title="flow"),
    }
    links = [
        "load.VIDEO > parts.video",
        "parts.images > first.image",
        "parts.images > later.image",
        "later.IMAGE > keypoints.image",
        "later.IMAGE > fallback.image",
        "keypoints.keypoints > fallback.keypoints",
        "fallback.mask > region.mask",
        "parts.images > annotate.frames",
        "model.model > sample.model",
        "first.IMAGE > sample.image",
        "annotate.mask > sample.mask",
        "parts.images > score.frames",
        "score.table > scores.source",
        "parts.images > pick.frames",
        "sample.frames > pick.frames_2",
        "pick.table > table.source",
        "sample.frames > evaluate.frames",
        "annotate.mask > evaluate.mask",
        "parts.images > evaluate.truth",
        "evaluate.report > report.source",
        "evaluate.flow > flow.images",
    ]
    return Graph(boxes, links, picture="keypoints")


def stacked_clips() -> Graph:
    """The clips of the motion one below the other, their sentences written into them."""
    graph = motion_from_clips()
    x, y = graph.boxes["first"].at
    changed = {
        "first": {"widgets": {"prompt": "The person stirs the food in the bowl"}},
        "second": {"at": (x, y + 300), "widgets": {"prompt": "The person stirs the food in the red bowl"}},
        "summary": {"at": (x, y + 600)},
    }
    boxes = {name: dataclasses.replace(graph.boxes[name], **change) for name, change in changed.items()}
    links = [link for link in graph.links if not link.endswith((" first.prompt", " second.prompt"))]
    return dataclasses.replace(graph, boxes={**graph.boxes, **boxes}, links=links)


def sentence_alone() -> Graph:
    """A text-to-video model with a motion on it, and a sentence."""
    sentence = {"prompt": "A person is riding a horse on the beach", "frames": 16, "guidance": 9.0}
    boxes = {
        "model": Box("LoadIVGModel", (0, 0), (320, 110), {"model_name": TEXT_MODEL}),
        "lora": Box("IVGLoadLoRA", (0, 190), (320, 240), {"spatial": 0.0}),
        "make": Box("IVGTextToVideo", (380, 0), (340, 440), {**sentence, **FIXED}),
        "save": Box("SaveVideo", (780, 0), (320, 110)),
    }
    links = ["model.model > lora.model", "lora.model > make.model", "make.video > save.video"]
    return Graph(boxes, links, picture="save")


def box_track() -> Graph:
    """A drawn photo in the editor, with a thing on its way."""
    thing = Thing("red bowl", (Keyframe(0, (0.35, 0.3, 0.58, 0.64)), Keyframe(1, (0.68, 0.4, 0.91, 0.74))))
    boxes = {
        "scene": Box("IVGExampleScene", (0, 0), (320, 320), {"seed": 13, **FIXED}),
        "track": Box("IVGBoxTrack", (380, 0), (460, 820), {"track": Track((thing,)).to_json()}),
    }
    return Graph(boxes, ["scene.image > track.image"], picture="track")


def hands_as_track() -> Graph:
    """The hands of a drawn clip as a box track, seen in the editor's node."""
    boxes = {
        "load": Box("LoadVideo", (0, 0), (300, 100), {"file": CLIP}),
        "parts": Box("GetVideoComponents", (340, 0), (200, 80)),
        "convert": Box("IVGBoxTrackFrom", (600, 0), (320, 300)),
        "seen": Box("IVGBoxTrack", (980, 0), (400, 760)),
    }
    links = [
        "load.VIDEO > parts.video",
        "parts.images > convert.frames",
        "parts.images > seen.image",
        "convert.track > seen.also",
    ]
    return Graph(boxes, links, picture="seen")


def drawn(graph: Graph) -> Graph:
    """The graph with the drawn scene in place of *Load Image*."""
    scene = Box("IVGExampleScene", graph.boxes["photo"].at, (300, 320), {"seed": 13, **FIXED})
    links = [link.replace("photo.IMAGE", "photo.image") for link in graph.links]
    return dataclasses.replace(graph, boxes={**graph.boxes, "photo": scene}, links=links)


def film_so_far() -> Graph:
    """A how-to, whose film is made of its first step."""
    graph = how_to()
    film = dataclasses.replace(graph.boxes["film"], widgets={"when": "after each step"})
    return dataclasses.replace(graph, boxes={**graph.boxes, "film": film})


SCENES = {
    "two_stage": Scene(
        spaced_two_stage(),
        {
            "LoadIVGModel": ["model"],
            "IVGExampleScene": ["scene", "sentence"],
            "PredictRoMMask": ["predict"],
            "RefineMask": ["refine"],
            "IVGSampler": ["sample", "save"],
        },
        sizes={"scene": (320, 320), "predict": (320, 560), "refine": (300, 470), "sample": (400, 720)},
    ),
    "by_hand": Scene(mask_by_hand(), {"IVGEditMask": ["edit"]}),
    "enriched": Scene(enriched_action(), {"IVGEnrichAction": ["enrich"]}, sizes={"enrich": (360, 560)}),
    "batch": Scene(batch_two_stage(), {"IVGBatchLoader": ["loader"], "IVGBatchSave": ["save"]}),
    "how_to": Scene(
        film_so_far(),
        {
            "IVGPlanSteps": ["plan"],
            "IVGStepLoader": ["loader"],
            "IVGStepMask": ["mask"],
            "IVGStepSave": ["save"],
            "IVGHowTo": ["film"],
        },
    ),
    "any_video": Scene(
        drawn(any_video()),
        {"IVGCompositeRoM": ["composite", "report"], "IVGPreviewRoM": ["preview"], "IVGSaveVideo": ["save"]},
        sizes={"preview": (520, 320)},
    ),
    "hands": Scene(
        hands(),
        {
            "HandKeypoints": ["keypoints"],
            "IVGFallbackRoM": ["fallback", "region"],
            "IVGAnnotateRoM": ["annotate"],
            "IVGHandScore": ["score", "scores"],
            "IVGPickBest": ["pick", "table"],
            "IVGEvaluate": ["evaluate", "report", "flow"],
        },
    ),
    "found": Scene(
        found(),
        {
            "IVGNameThings": ["names", "prompt", "names_alone"],
            "IVGRoMFromThings": ["named", "things"],
            "IVGRoMFromVideo": ["draft", "video"],
        },
    ),
    "inverted": Scene(inverted(), {"IVGInvertVideo": ["invert"]}),
    "box_track": Scene(box_track(), {"IVGBoxTrack": ["track"]}),
    "hands_as_track": Scene(hands_as_track(), {"IVGBoxTrackFrom": ["convert", "seen"]}),
    "window": Scene(through_a_window(), {"IVGCropToRoM": ["crop"], "IVGStitchRoM": ["stitch", "report", "result"]}),
    "vace": Scene(vace(), {"IVGApplyRoMVACE": ["apply", "video", "masks"]}),
    "training": Scene(train_lora(), {"TrainIVGLoRA": ["train"]}),
    "motion": Scene(
        stacked_clips(),
        {"IVGMotionClip": ["first", "second", "summary"], "IVGTrainMotion": ["train"]},
        sizes={"first": (360, 220), "second": (360, 220), "summary": (360, 140), "train": (420, 780)},
    ),
    "text_to_video": Scene(sentence_alone(), {"IVGTextToVideo": ["model", "lora", "make", "save"]}, runs=False),
    "side": Scene(
        side_nodes(),
        {
            "IVGLoadLoRA": ["model", "lora"],
            "IVGOptimizeModel": ["lora", "optimize"],
            "IVGSamplerOptions": ["options"],
            "IVGDownloadModel": ["download"],
        },
        runs=False,
    ),
    "over_time": Scene(
        over_time(),
        {"IVGWindows": ["options", "windows", "sample"], "IVGPromptSchedule": ["schedule"]},
        runs=False,
    ),
    "core": Scene(
        sampler_custom(),
        {
            "IVGModelParts": ["parts", "positive", "negative"],
            "IVGImageToVideo": ["parts", "positive", "negative", "told"],
            "IVGScheduler": ["scheduler", "sampler", "sample"],
        },
    ),
    "sd": Scene(video_to_video(), {"IVGInflateModel": ["checkpoint", "control", "inflate", "windows"]}, runs=False),
    "sd_depth": Scene(
        scenes_and_depth(),
        {"IVGDepthConditioning": ["depth", "told"], "IVGEncodeSchedule": ["schedule", "scenes"]},
        runs=False,
    ),
    "core_train": Scene(train_core(), {"IVGTrainCoreLoRA": ["unet", "vae", "clip", "train"]}, runs=False),
    "core_predict": Scene(predict_core(), {"IVGPredictRoMCore": ["lora", "photo", "predict"]}, runs=False),
    "core_concat": Scene(concat_core(), {"IVGApplyRoMConcat": ["to_video", "lora", "apply", "sample"]}, runs=False),
    "ltx": Scene(ltx(), {"IVGApplyRoM": ["to_video", "apply"]}, runs=False),
    "wan_22": Scene(wan_22(), {"IVGApplyRoMModel": ["high_shift", "low_shift", "high_apply", "low_apply"]}, runs=False),
}
