"""The example workflows for long videos; `make_workflows.py` writes them."""

from __future__ import annotations

import dataclasses

from graphs import DRAWN_ONLY, MODEL, VIDEO, Box, Graph, beginning, grouped, region, sampled, two_stage

CUP_THEN_CARROT = "0: pick up the cup with the left hand\n16: pick up the carrot with the left hand"


def frames_wanted(boxes: dict[str, Box], frames: int) -> dict[str, Box]:
    """The boxes with so many frames in the sampler."""
    sample = boxes["sample"]
    return boxes | {"sample": dataclasses.replace(sample, widgets={**sample.widgets, "frames": frames})}


def long_video() -> Graph:
    note = (
        "## A video longer than the model's own\n\n"
        "The embedded model was made for 8 frames, and **IVG Sampler** is asked for 40.\n\n"
        "**IVG Windows** lets it work in windows of time that overlap, in the memory of 8 frames. Every window sees "
        "the photo, so the scene stays as it is.\n\n"
        "- **length**, **stride** 0: the model's own length, and half of it from one window to the next.\n"
        "- **frames** of *IVG Sampler*: as many as you like. The time grows with them, the memory of the sampling does "
        "not.\n"
        "- *IVG Sampler Options* goes into **options** of *IVG Windows*.\n\n"
        f"Runs offline.\n\n{DRAWN_ONLY}\n\n"
        "**Wan and other models:** core's context windows do the same for them. Open *ivg_17_long_video_wan21*."
    )
    boxes = beginning(note, seed=5) | region(730)
    windows = grouped(VIDEO, {"windows": Box("IVGWindows", (1430, 0), (300, 260))})
    return Graph(
        boxes=boxes | windows | frames_wanted(sampled(1780), 40),
        links=[*two_stage().links, "windows.options > sample.options"],
        picture="predict",
    )


def two_actions() -> Graph:
    note = (
        "## Two actions in one video\n\n"
        "1. **IVG Prompt Schedule** says from which frame on what is done: a row for each sentence.\n"
        "2. **IVG Predict RoM Mask** finds a region for each sentence.\n"
        "3. **IVG Sampler** makes 32 frames, in windows of time that overlap. Each window is told the sentence at its "
        "middle, and may move in that sentence's region.\n\n"
        "Write one more sentence: press *Add a sentence*, and raise **frames** of *IVG Sampler*. For other windows "
        "put *IVG Windows* into its **options**.\n\n"
        "**Masks of your own:** a *IVG Prompt Schedule* for each sentence with its **mask**, chained by **also**.\n\n"
        f"Runs offline with the embedded model.\n\n{DRAWN_ONLY}"
    )
    boxes = beginning(note, seed=14)
    del boxes["sentence"]
    told = grouped(MODEL, {"schedule": Box("IVGPromptSchedule", (730, 0), (420, 260), {"sentences": CUP_THEN_CARROT})})
    return Graph(
        boxes=boxes | told | region(1200) | frames_wanted(sampled(1900), 32),
        links=[
            "model.model > predict.model",
            "model.model > sample.model",
            "scene.image > predict.image",
            "scene.image > sample.image",
            "schedule.schedule > predict.schedule",
            "schedule.schedule > sample.schedule",
            "predict.mask > refine.mask",
            "refine.mask > sample.mask",
            "sample.video > save.video",
        ],
        picture="predict",
    )


GRAPHS = {"ivg_29_long_video": long_video, "ivg_30_two_actions": two_actions}
