"""The example workflow for box tracks; `make_workflows.py` writes it."""

from __future__ import annotations

import dataclasses

from graphs import BOXES, Box, Graph, beginning, grouped, sampled

from ivg_core.media.tracks import Keyframe, Thing, Track

#: Around the bowl of the example scene 21, and where it goes.
BOWL = Track((Thing("red bowl", (Keyframe(0, (0.09, 0.35, 0.28, 0.63)), Keyframe(1, (0.47, 0.33, 0.66, 0.61)))),))


def box_track() -> Graph:
    note = (
        "## Photo + box track + sentence → video\n\n"
        "1. **IVG Load Model** has gates for boxes in **boxes_model**: with them the model follows a track.\n"
        "2. **IVG Box Track** says where a thing goes. Its first box lies around the thing as the photo shows it, a "
        "later one where it goes. Move the slider to see the way.\n"
        "3. **IVG Sampler** makes the video. **mask** is all that the boxes pass over: nothing else changes. Without "
        "that link the hand may move too, and all the rest.\n\n"
        "Runs offline with the embedded model, which knows drawn scenes only.\n\n"
        "**Your own photo:** put *Load Image* in place of *IVG Example Scene*, and write your sentence into *action*. "
        "Remove the thing (✕), draw a box around yours, type its name, choose another time, drag the box. To follow "
        "it in a real photo takes a published checkpoint of SMCD, or gates that were trained for your model.\n\n"
        "**Every other model** takes **mask** as its region of motion: connect it to *IVG Refine Mask* in "
        "*ivg_10_video_ltx* and those after it."
    )
    boxes = beginning(note, seed=21)
    gates = {"boxes_model": "embedded (of the embedded model)"}
    boxes["model"] = dataclasses.replace(boxes["model"], widgets=gates)
    boxes |= grouped(BOXES, {"track": Box("IVGBoxTrack", (730, 0), (460, 820), {"track": BOWL.to_json()})})
    return Graph(
        boxes=boxes | sampled(1240),
        links=[
            "scene.action > sentence.source",
            "scene.image > track.image",
            "model.model > sample.model",
            "scene.image > sample.image",
            "scene.action > sample.action",
            "track.mask > sample.mask",
            "track.track > sample.boxes",
            "sample.video > save.video",
        ],
        picture="track",
    )


GRAPHS = {"ivg_28_box_track": box_track}
