"""IVGPlanSteps: a text of several steps becomes a table that is looked through before anything is made of it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import folder_paths
from comfy_api.latest import io

from ._compat import found_by
from ._edges import photos_of
from ._inputs import PlanSocket
from ._language import chosen_language, language_inputs
from ._notes import noted, say
from ._paths import is_within, readable

if TYPE_CHECKING:
    from ..ivg_core.howto.ask import Asked
    from ..ivg_core.howto.plan import Plan


class IVGPlanSteps(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGPlanSteps",
            display_name="IVG Plan Steps",
            category="IVG/how-to",
            **found_by("how-to", "recipe", "instructions", "step by step", "several steps"),
            description="Turns a list, Markdown, JSON or a recipe into the steps of an instruction video, in a table "
            "to look through and to change. Steps of free text are shown first and made when you run again.",
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    default="",
                    dynamic_prompts=False,
                    placeholder="1. Peel the carrot.\n2. Cut it into slices.",
                    tooltip="What is done: a list, one step a line, Markdown, JSON, or free text such as a recipe. "
                    "Behind a step may stand how long it lasts, its seed, its mask, a photo, a caption: Cut it (4 s) "
                    "[seed 7] [mask white] [image cut.png] [title Cutting].",
                ),
                io.String.Input(
                    "steps",
                    default="",
                    dynamic_prompts=False,
                    tooltip="The table: the steps that are made, as JSON. While it is empty, the text is read into it.",
                ),
                *language_inputs("rule", "the sentences of free text are its steps, offline, at once."),
                io.Boolean.Input(
                    "review",
                    default=True,
                    tooltip="After steps were made of free text, nothing behind this node runs, so that you can look "
                    "at them first; run again to go on. A list goes on at once. Off: never stop, for scripts.",
                ),
                io.String.Input(
                    "read_from",
                    default="",
                    tooltip="A mark of the text that the table was read from; written with the table.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The photo, for models that can see (the first one of a batch).",
                ),
            ],
            outputs=[
                PlanSocket.Output(display_name="plan", tooltip="The steps, for IVG Load Step."),
                io.String.Output(display_name="text", tooltip="The steps as a numbered list."),
            ],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(
        cls, text, steps, how, local_model, server_url, server_model, timeout, review, read_from, image=None
    ) -> io.NodeOutput:
        from comfy_execution.graph_utils import ExecutionBlocker

        from ..ivg_core.errors import IVGError
        from ..ivg_core.howto.plan import is_free_text, plan_text, write_plan

        if steps.strip():
            if text.strip() and read_from != mark_of(text):
                say(
                    "The table was not read from this text, and the table is used: press Read the text to read it anew."
                )
            plan = read_steps(steps)
            return io.NodeOutput(plan, plan_text(shortened(plan)))
        if not text.strip():
            raise IVGError("There are no steps: write what is done into text, or into the table.")
        by = chosen_language(how, local_model, server_url, server_model, timeout)
        photo = photos_of(image)[0].cpu() if image is not None else None
        plan = read_steps(text, by, photo)
        shown = shortened(plan)
        filled = {"ivg_plan": [write_plan(shown)], "ivg_read": [mark_of(text)]}
        if review and is_free_text(text):
            say(f"{len(plan.steps)} steps were found in the text: look at them in the table, then run again.")
            return io.NodeOutput(ExecutionBlocker(None), ExecutionBlocker(None), ui=filled)
        return io.NodeOutput(plan, plan_text(shown), ui=filled)


def read_steps(text: str, by: Asked | None = None, photo=None) -> Plan:
    """A plan whose photos and masks lie in ComfyUI's folders; relative paths begin at the input folder.

    Raises:
        IVGError: see `read_plan`; or a file lies elsewhere.
    """
    from ..ivg_core.howto.plan import MASK_SOURCES, read_plan

    plan = read_plan(text, folder=folder_paths.get_input_directory(), by=by, photo=photo)
    for number, step in enumerate(plan.steps, 1):
        if step.image:
            readable(step.image, f"Step {number}: its photo")
        if step.mask not in MASK_SOURCES:
            readable(step.mask, f"Step {number}: its mask")
    return plan


def shortened(plan: Plan) -> Plan:
    """The plan with the names of files as users write them: within the input folder without that folder."""
    from ..ivg_core.howto.plan import MASK_SOURCES

    inputs = folder_paths.get_input_directory()

    def name(path: str) -> str:
        if not path or path in MASK_SOURCES or not is_within(path, [inputs]):
            return path
        return os.path.relpath(path, inputs).replace(os.sep, "/")

    return replace(plan, steps=tuple(replace(s, image=name(s.image), mask=name(s.mask)) for s in plan.steps))


def mark_of(text: str) -> str:
    """Tells a text from another one, so that a workflow need not keep it twice."""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:12]
