"""A how-to through any graph, one step a run of the queue: IVGStepLoader.

Any nodes may stand between it and IVGStepSave, as with batches. Each step begins with the last frame of the step
before, which the saver wrote.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import folder_paths
from comfy_api.latest import io

from ._compat import found_by
from ._edges import photos_of, to_comfy
from ._inputs import PlanSocket, StepSocket
from ._notes import noted
from ._paths import inside
from .batch import said

if TYPE_CHECKING:
    from pathlib import Path

    from ..ivg_core.howto.work import HowTo, StepState

#: What the list says -> what the library calls it.
LATER = {"make later steps anew": "make", "keep later steps": "keep"}
SAID = {
    "done": "done",
    "kept": "kept, though it began with a picture that was made again since",
    "stale": "waiting to be made anew, as a step before it changed",
    "waiting": "waiting",
}


@dataclasses.dataclass(frozen=True)
class StepRun:
    """What travels from the loader to the saver."""

    how_to: HowTo
    state: StepState | None  # None: all steps are done


class IVGStepLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGStepLoader",
            display_name="IVG Load Step",
            category="IVG/how-to",
            **found_by("how-to", "next step", "step by step", "last frame"),
            description="Gives the first step of a plan that is not made yet, each time the graph is run, with the "
            "picture that it begins with: the last frame of the step before. IVG Save Step keeps what became of it.",
            inputs=[
                PlanSocket.Input("plan", tooltip="From IVG Plan Steps."),
                io.Image.Input(
                    "image", tooltip="The photo that the first step begins with (the first one of a batch)."
                ),
                io.String.Input(
                    "name",
                    default="how_to",
                    tooltip="Name of the folder for steps and film, in output/ivg. Choose a new one for another plan.",
                ),
                io.Combo.Input(
                    "after_change",
                    options=list(LATER),
                    default=next(iter(LATER)),
                    tooltip="A step is made again when its words, seed, mask or length change in the plan. make later "
                    "steps anew: the steps after it, too, as they begin with another picture. keep later steps: they "
                    "stay as they are.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The picture that the step begins with."),
                io.String.Output(display_name="action", tooltip="What is done."),
                io.Int.Output(display_name="seed", tooltip="For the seed of the nodes that make mask and video."),
                io.Int.Output(display_name="number", tooltip="Of the step, from 1."),
                io.Float.Output(
                    display_name="seconds", tooltip="How long the step lasts; 0: as long as the model makes it."
                ),
                StepSocket.Output(display_name="step", tooltip="For IVG Save Step and IVG Step Mask."),
            ],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, name, after_change, plan=None, image=None):
        """Differs whenever the next run has something else to do; ComfyUI tells no linked value here."""
        from ..ivg_core.batch.journal import read_journal
        from ..ivg_core.howto.work import MADE

        made = folder_of(name) / MADE
        states = [(item, state.status, state.attempts) for item, state in sorted(read_journal(made).items())]
        return [states, sorted(path.name for path in made.glob("*") if path.is_file())]

    @classmethod
    @noted
    def execute(cls, plan, image, name, after_change) -> io.NodeOutput:
        from comfy_execution.graph_utils import ExecutionBlocker

        from ..ivg_core.batch.journal import FAILED, STARTED, Journal
        from ..ivg_core.errors import reason_of
        from ..ivg_core.howto.work import begin, look_after

        how_to = begin(plan, photos_of(image)[0].cpu(), folder_of(name), LATER[after_change])
        with Journal(how_to.made) as journal:
            state = look_after(how_to, journal)
            text, left = told(how_to.states(), state)
            if state is None:
                # Without a message it blocks silently: runs that were queued too many make the film at most.
                return io.NodeOutput(*[ExecutionBlocker(None)] * 5, StepRun(how_to, None), ui=said(text, 0))
            item = state.item
            journal.write(item, STARTED)
            try:
                start = how_to.start_of(item)
            except Exception as error:  # also one of PIL's
                journal.write(item, FAILED, error=reason_of(error))
                raise
        return io.NodeOutput(
            to_comfy(start)[None],
            state.step.action,
            state.seed,
            state.number,
            state.step.seconds or 0.0,
            StepRun(how_to, state),
            ui=said(text, left - 1),
        )


def folder_of(name: str) -> Path:
    """The folder of a how-to, by its name.

    Raises:
        IVGError: the name leads out of ComfyUI's output folder.
    """
    import pathlib

    return pathlib.Path(
        inside(os.path.join(folder_paths.get_output_directory(), "ivg"), name.strip() or "how_to", "name")
    )


def told(states: list[StepState], now: StepState | None) -> tuple[str, int]:
    """How far the steps are, a line for each, and how many are left."""
    lines = []
    for state in states:
        text = SAID.get(state.status, f"failed: {state.reason}")
        if now is not None and state.number == now.number:
            text = "to be made now" + (f"; it failed before: {state.reason}" if state.reason else "")
        lines.append(f"{state.number}. {state.step.caption} ({text})")
    left = sum(state.take is None for state in states)
    end = "All steps are done." if not left else f"{len(states) - left} of {len(states)} steps are done."
    return "\n".join([*lines, end]), left
