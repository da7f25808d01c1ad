"""IVGEvaluate: how good a clip is, measured in the graph."""

from __future__ import annotations

import math

import comfy.model_management as mm
from comfy_api.latest import io, ui

from ._compat import found_by
from ._edges import frames_of, masks_of, to_comfy
from ._notes import noted


class IVGEvaluate(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGEvaluate",
            display_name="IVG Evaluate",
            category="IVG/evaluate",
            **found_by("metrics", "measure", "motion precision", "psnr"),
            description="Measures a clip: whether only the region of motion moves, and, where the true clip is "
            "connected, how far it and its hands are from that. For hands without a true clip take IVG Hand Score; for "
            "FID, FVD, CLIP, EgoVLP and BLIP over many clips, python -m ivg_core evaluate.",
            inputs=[
                io.Image.Input("frames", tooltip="The clip, at least two frames; the first one shows the photo."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="The region that may move, for motion precision and background stillness. Of several masks "
                    "the union is taken.",
                ),
                io.Image.Input(
                    "truth",
                    optional=True,
                    tooltip="The true clip, for HS-Err, PSNR and SSIM. It is resized, and the longer of the two clips "
                    "gives as many frames as the shorter has, evenly spaced. Looking for hands takes some tenths of a "
                    "second a frame on a CPU.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="report", tooltip="All figures as text, and what each of them means."),
                io.Image.Output(
                    display_name="flow",
                    tooltip="The optical flow from each frame to the next: white is still, the hue is the direction.",
                ),
                io.Float.Output(
                    display_name="motion_precision",
                    tooltip="Share of the area that moves which lies in the mask, 0 to 1; nan without mask or motion.",
                ),
                io.Float.Output(
                    display_name="background_stillness",
                    tooltip="Share of the pixels outside the mask that never change, 0 to 1; nan without a mask.",
                ),
                io.Float.Output(
                    display_name="hs_err", tooltip="Hand structure error, 0 is best; nan without truth or true hands."
                ),
                io.Float.Output(display_name="psnr", tooltip="Likeness with the truth in decibels; nan without it."),
            ],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(cls, frames, mask=None, truth=None) -> io.NodeOutput:
        from ..ivg_core.evaluate.clips import comparable
        from ..ivg_core.evaluate.families import METRICS, hand_measure, measure_plain
        from ..ivg_core.evaluate.metrics.motion import draw_flow, optical_flow
        from ..ivg_core.hands.tracker import HandTracker

        clip = comparable(
            frames_of(frames),
            truth=None if truth is None else frames_of(truth),
            true_mask=None if mask is None else masks_of(mask).amax(0),
        )
        values = measure_plain(clip)
        if truth is not None:
            values |= hand_measure(HandTracker(mm.get_torch_device()))(clip)
        report = "\n".join(f"{METRICS[key].title}: {values[key]:.4g}" for key in METRICS if key in values)
        keys = ("motion_precision", "background_stillness", "hs_err", "psnr")
        figures = [values.get(key, math.nan) for key in keys]
        flow = to_comfy(draw_flow(optical_flow(clip.frames)))
        return io.NodeOutput(report, flow, *figures, ui=ui.PreviewText(report))
