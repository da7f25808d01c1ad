"""The example workflows for learning a motion and using it; `training_graphs.py` writes them."""

from __future__ import annotations

import dataclasses

from graphs import (
    CLEAN,
    CLIP,
    DRAWN_ONLY,
    FIXED,
    LEARNED,
    LORA,
    REGION,
    STAND_IN,
    TRAINING,
    VIDEO,
    Box,
    Graph,
    beginning,
    grouped,
)
from rom_parts import Part, framed, joined

SHORT = {"steps": 40, "rank": 8}
OWN_CLIPS = "connect *Load Video* to **video** of *IVG Motion Clip* (and nothing to **images** and **mask**)"


def motion_clip(name: str, seed: int, at: tuple[int, int]) -> Part:
    """A drawn scene, made to move by the model itself in place of the user's own clip."""
    x, y = at
    scene, predict, clip = f"{name}_scene", f"{name}_predict", f"{name}_clip"
    boxes = {
        scene: Box("IVGExampleScene", (x, y), (320, 320), {"seed": seed, **FIXED}),
        predict: Box("PredictRoMMask", (x + 360, y), (320, 690), dict(FIXED)),
        clip: Box("IVGSampler", (x + 720, y), (320, 690), dict(FIXED), "Your clip (stand-in)"),
        name: Box("IVGMotionClip", (x + 1080, y), (340, 260)),
    }
    links = [
        f"model.model > {predict}.model",
        f"{scene}.image > {predict}.image",
        f"{scene}.action > {predict}.action",
        f"model.model > {clip}.model",
        f"{scene}.image > {clip}.image",
        f"{scene}.action > {clip}.action",
        f"{predict}.mask > {clip}.mask",
        f"{clip}.frames > {name}.images",
        f"{predict}.mask > {name}.mask",
        f"{scene}.action > {name}.prompt",
    ]
    return boxes, links


def motion_from_clips() -> Graph:
    note = (
        "## Learn a motion from clips\n\n"
        "1. Each **IVG Motion Clip** holds one clip and its sentence, and passes on those before it.\n"
        "2. **IVG Train Motion** learns how things move in them, apart from what they look like. Cancel keeps what was "
        "learned; the next run goes on from there.\n"
        "3. The last **IVG Sampler** uses the motion in another photo.\n\n"
        "Runs offline: videos of the embedded model stand in for your clips.\n\n"
        f"**Your own clips:** {OWN_CLIPS}, write what happens in it into **prompt**, and the same words for the action "
        "in every clip. Set **masks** to what moves, **steps** to 300 and **rank** to 32, and choose another "
        "**save_name**: a run of that name would be gone on with.\n\n"
        "**A text-to-video model** (ModelScope, zeroscope) learns in the same graph: choose it in *IVG Load Model*, "
        "put *IVG Text to Video* in place of the last *IVG Sampler*, and give it clips of your own.\n\n"
        f"{DRAWN_ONLY}"
    )
    first = framed(CLIP, motion_clip("first", 9, (730, 0)))
    second = framed(CLIP, motion_clip("second", 13, (730, 860)))
    training = {
        "summary": Box("PreviewAny", (2190, 0), (420, 140), title="The clips"),
        "train": Box("IVGTrainMotion", (2190, 200), (420, 780), {"save_name": "example_stir", **SHORT}),
    }
    learned = {
        "predict": Box("PredictRoMMask", (2650, 380), (320, 690), dict(FIXED)),
        "sample": Box("IVGSampler", (3010, 380), (320, 690), dict(FIXED), "With the motion"),
        "curve": Box("PreviewImage", (2650, 0), (420, 320), title="Loss"),
        "save": Box("SaveVideo", (3370, 380), (400, 400), {"filename_prefix": "video/ivg-motion"}),
    }
    links = [
        "first.clips > second.clips",
        "second.clips > train.clips",
        "second.summary > summary.source",
        "model.model > train.model",
        "train.loss_curve > curve.images",
        "train.model > sample.model",
    ]
    used = (grouped(TRAINING, training) | grouped(LEARNED, learned), [*links, *of_photo()])
    return dataclasses.replace(joined((beginning(note, seed=33), []), first, second, used), picture="curve")


def motion_in_my_photo() -> Graph:
    note = (
        "## A motion in my photo\n\n"
        "1. **IVG Predict RoM Mask** finds where the photo will move, **IVG Refine Mask** cleans the region.\n"
        "2. **IVG Load LoRA** adds a motion that was learned. **spatial** 0: only how things move.\n"
        "3. **IVG Sampler** makes the video.\n\n"
        "Runs offline: a short *IVG Train Motion* stands in for your motion.\n\n"
        "**Your own motion:** remove the group of the stand-in, and choose your file in **lora_name** of *IVG Load "
        "LoRA*: one that *ivg_26_motion_from_clips* wrote, or a list of MotionDirector's for this network. Too wild, "
        "or too much like the clip? Lower **strength** to 0.7.\n\n"
        f"{DRAWN_ONLY} With such a one put *Load Image* in place of *IVG Example Scene*, and write your sentence into "
        "both *action* boxes. A motion fits the kind of model that it was learned on."
    )
    learned, links = motion_clip("clip", 24, (730, 0))
    learned["train"] = Box("IVGTrainMotion", (2190, 0), (420, 780), {"save_name": "example_push", **SHORT})
    boxes = {
        **grouped(STAND_IN, learned),
        **grouped(LORA, {"lora": Box("IVGLoadLoRA", (2650, 0), (320, 240), {"spatial": 0.0})}),
        **grouped(
            REGION,
            {
                "predict": Box("PredictRoMMask", (3010, 0), (320, 690), dict(FIXED)),
                "refine": Box("RefineMask", (3370, 0), (280, 520), {**CLEAN, "grow": 15}),
            },
        ),
        **grouped(
            VIDEO,
            {
                "sample": Box("IVGSampler", (3690, 0), (340, 690), dict(FIXED)),
                "save": Box("SaveVideo", (4070, 0), (400, 400), {"filename_prefix": "video/ivg-motion"}),
            },
        ),
    }
    links += [
        "clip.clips > train.clips",
        "model.model > train.model",
        "model.model > lora.model",
        "train.lora_path > lora.lora_path",
        "lora.model > sample.model",
        "predict.mask > refine.mask",
        *(link.replace("predict.mask > sample", "refine.mask > sample") for link in of_photo()),
    ]
    return Graph(beginning(note, seed=8) | boxes, links, picture="predict")


def of_photo() -> list[str]:
    """Photo and sentence to where they are used, and the video to its file."""
    return [
        "scene.action > sentence.source",
        "model.model > predict.model",
        "scene.image > predict.image",
        "scene.action > predict.action",
        "scene.image > sample.image",
        "scene.action > sample.action",
        "predict.mask > sample.mask",
        "sample.video > save.video",
    ]


GRAPHS = {"ivg_26_motion_from_clips": motion_from_clips, "ivg_27_motion_in_my_photo": motion_in_my_photo}
