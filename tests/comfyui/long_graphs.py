"""The workflow for videos longer than what a model was made for; see graphs.py for what describes a graph."""

from __future__ import annotations

import dataclasses

from graphs import VIDEO, Box, Graph
from rom_graphs import wan_21
from rom_parts import region

HOW = (
    "## A long video → Wan 2.1 image to video\n\nNeeds ComfyUI 0.33 or newer.\n\nWan is made for 81 frames, 5 seconds; "
    "here are 193, 12 seconds. *Wan Context Windows* cuts them into three windows of 81, which overlap by 30. At every "
    "step Wan makes one window after the other, and where two overlap, it mixes them. **Memory:** Wan works in that of "
    "81 frames (and one latent frame more), however long the video is; only latents and finished frames grow. "
    "**Time:** three times that of one window.\n\n"
    "**The region** holds in every window, also with a mask a frame. *retain_first_frame* tells every window the photo "
    "as what came before: good for a motion that repeats, such as stirring.\n\n"
    "**One sentence** is told to all windows. Several in one video: our own model's *IVG Windows* and *IVG Prompt "
    "Schedule*.\n\n"
    "**Another length:** windows come out even at 137, 193, 249 … frames, 56 for each window more.\n\n"
    "**LTX:** in *ivg_10_video_ltx* set a length of 369, and put *LTXV Context Windows* (145, overlap 40, "
    "*retain_first_frame* on) in front of the sampler. With *Context Windows (Manual)*, which counts latent frames: "
    "dim 2, context_length 19, context_overlap 5, and 0 in both *retain_index_list*.\n\n"
    "Untried with the real weights; length and overlap of the windows are what core's nodes propose."
)
WINDOWS = {
    "context_length": 81,
    "context_overlap": 30,
    "context_schedule": "standard_static",
    "retain_first_frame": True,
}


def long_wan_21() -> Graph:
    short = wan_21()
    told, _ = region(HOW, "*WanImageToVideo*")
    to_video = short.boxes["to_video"]
    boxes = {
        **short.boxes,
        "note": told["note"],
        "to_video": dataclasses.replace(to_video, widgets={**to_video.widgets, "length": 193}),
        "windows": Box("WanContextWindowsManual", (1720, 520), (300, 320), WINDOWS, group=VIDEO),
    }
    links = [link for link in short.links if link != "shift.MODEL > sample.model"]
    return dataclasses.replace(
        short, boxes=boxes, links=[*links, "shift.MODEL > windows.model", "windows.MODEL > sample.model"]
    )


#: With an input that a node of core has only in a newer ComfyUI.
NEWER = {"ivg_17_long_video_wan21": long_wan_21}
