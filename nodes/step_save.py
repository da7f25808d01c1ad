"""What keeps a step of a how-to: IVGStepMask, where things may move in it, and IVGStepSave."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import comfy.model_management as mm
import folder_paths
import torch
from comfy_api.latest import io

from ._compat import found_by
from ._edges import frames_of, masks_of, to_comfy
from ._inputs import HowToSocket, StepSocket, feather_input
from ._notes import noted, say
from .how_to import StepRun
from .video import workflow_tags

if TYPE_CHECKING:
    from pathlib import Path

    from ..ivg_core.howto.work import StepState


class IVGStepMask(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGStepMask",
            display_name="IVG Step Mask",
            category="IVG/how-to",
            **found_by("how-to", "mask of a step", "region of motion"),
            description="Where things may move in a step: the step's own mask, if the plan names one, else the "
            "predicted one, which is computed only then.",
            inputs=[
                StepSocket.Input("step", tooltip="From IVG Load Step."),
                io.Mask.Input(
                    "predicted",
                    optional=True,
                    lazy=True,
                    tooltip="From IVG Predict RoM Mask, or any other node, for steps whose mask is predict.",
                ),
            ],
            outputs=[io.Mask.Output(display_name="mask", tooltip="For the nodes that make the video.")],
        )

    @classmethod
    def check_lazy_status(cls, step, **predicted):
        # Only what is connected is among the arguments, and is None as long as it was not computed.
        state = _to_be_made(step)
        wanted = state is not None and state.step.mask == "predict"
        return [name for name, value in predicted.items() if wanted and value is None]

    @classmethod
    @noted
    def execute(cls, step, predicted=None) -> io.NodeOutput:
        from comfy_execution.graph_utils import ExecutionBlocker

        from ..ivg_core.errors import IVGError, told_of
        from ..ivg_core.howto.make import own_region

        state = step.state
        if state is None:
            return io.NodeOutput(ExecutionBlocker(None))
        if state.step.mask != "predict":
            with told_of(f"Step {state.number}"):
                mask = own_region(state.step, step.how_to.start_of(state.item), str(mm.get_torch_device()))
            return io.NodeOutput(to_comfy(mask)[None])
        if predicted is None:
            raise IVGError(
                f"Step {state.number} wants a predicted mask: connect IVG Predict RoM Mask to predicted, or choose "
                "another mask for the step."
            )
        return io.NodeOutput(to_comfy(masks_of(predicted)))


class IVGStepSave(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGStepSave",
            display_name="IVG Save Step",
            category="IVG/how-to",
            **found_by("how-to", "colour drift", "keep background still", "journal"),
            description="Lays a step's frames over the picture that it began with, so that nothing outside the mask "
            "changes, puts drifted colours right, and saves the step whole or not at all. The next step begins with "
            "its last frame.",
            inputs=[
                StepSocket.Input("step", tooltip="From IVG Load Step."),
                io.Image.Input(
                    "frames",
                    lazy=True,
                    tooltip="The frames of the step, from any node; computed only while a step is to be made. The "
                    "first one should be the model's own of the picture: switch keep_first_frame and composite of IVG "
                    "Sampler off.",
                ),
                io.Float.Input("fps", default=8.0, min=0.1, max=50.0, step=0.5, tooltip="Frames a second."),
                io.Boolean.Input(
                    "pin_colour",
                    default=True,
                    tooltip="Puts colours, contrast and detail right that the model changed in the picture itself, so "
                    "that they do not drift from step to step. Off: they are only measured.",
                ),
                feather_input(),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    lazy=True,
                    tooltip="Where things may move in the step, such as from IVG Step Mask. Without it the whole "
                    "picture may.",
                ),
            ],
            outputs=[HowToSocket.Output(display_name="how_to", tooltip="All steps so far, for IVG How-to Film.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def check_lazy_status(cls, step, fps, pin_colour, feather, **computed):
        return [name for name, value in computed.items() if _to_be_made(step) and value is None]

    @classmethod
    @noted
    def execute(cls, step, frames, fps, pin_colour, feather, mask=None) -> io.NodeOutput:
        from ..ivg_core.batch.journal import DONE, FAILED, Journal
        from ..ivg_core.batch.page import write_page
        from ..ivg_core.errors import reason_of
        from ..ivg_core.howto.takes import save_take

        how_to, state = step.how_to, step.state
        if state is None:
            return io.NodeOutput(how_to)
        try:
            made = cls._finished(step, frames, mask, pin_colour, feather)
            about = {"prompt": state.item.prompt, "seed": state.seed}
            files = save_take(how_to.made, state.item, made, fps, about, workflow_tags(cls))
        except Exception as error:  # also one of PIL's or torch's: the step is not done
            with Journal(how_to.made) as journal:
                journal.write(state.item, FAILED, error=reason_of(error))
            raise
        with Journal(how_to.made) as journal:
            journal.write(state.item, DONE, **files, **made.drift.facts())
        write_page(how_to.made)
        say(f"Step {state.number}: {made.drift.report()}")
        return io.NodeOutput(how_to, ui=played(how_to.made / files["file"]))

    @staticmethod
    def _finished(step, frames, mask, pin_colour, feather):
        from ..ivg_core.errors import told_of
        from ..ivg_core.howto.finish import finish_step
        from ..ivg_core.rom.latent import fit

        clip, start = frames_of(frames).cpu(), step.how_to.start_of(step.state.item)
        region = masks_of(mask).cpu() if mask is not None else torch.ones(1, *clip.shape[1:3])
        if torch.allclose(clip[0], fit(start, (clip.shape[2], clip.shape[1])), atol=1.5 / 255):
            say(
                "The first frame is the picture itself, so nothing tells what the model does to its colours: switch "
                "keep_first_frame and composite of IVG Sampler off."
            )
        with told_of(f"Step {step.state.number}"):
            return finish_step(clip, start, region, pin_colour=pin_colour, feather=feather if feather >= 0 else None)


def _to_be_made(step) -> StepState | None:
    """The step that is to be made; none either where no step is given: `execute` says so."""
    return step.state if isinstance(step, StepRun) else None


def played(film: Path) -> dict:
    """What a node gives to the interface so that it plays a film of the output folder."""
    subfolder = os.path.relpath(film.parent, folder_paths.get_output_directory()).replace(os.sep, "/")
    return {"images": [{"filename": film.name, "subfolder": subfolder, "type": "output"}], "animated": (True,)}
