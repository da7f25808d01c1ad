"""IVGEnrichAction: a few words become the sentence that the model was trained on."""

from __future__ import annotations

import logging

from comfy_api.latest import io

from ._compat import found_by
from ._edges import photos_of
from ._language import chosen_language, language_inputs
from ._notes import noted

log = logging.getLogger("ivg")


class IVGEnrichAction(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGEnrichAction",
            display_name="IVG Enrich Action",
            category="IVG/text",
            **found_by("prompt enhancer", "llm", "vlm", "instructional sentence"),
            description='Turns "julienne carrot" into a sentence that says what each hand holds and does, which the '
            "model follows better. The sentence is shown, and can be edited, before it is used.",
            inputs=[
                io.String.Input(
                    "action",
                    multiline=True,
                    default="",
                    placeholder="julienne carrot",
                    tooltip="What is done, in a few words.",
                ),
                *language_inputs("template", "a small English grammar, offline, at once."),
                io.String.Input(
                    "edited",
                    multiline=True,
                    default="",
                    tooltip="Your own sentence. If not empty, this text is used as it is and no model is asked. The "
                    "button Edit puts the last sentence here.",
                ),
                io.String.Input(
                    "edited_for",
                    default="",
                    tooltip="The action that your sentence belongs to; the button Edit writes it. For another action "
                    "the edit is set aside. Empty: your sentence holds for every action.",
                ),
                io.Image.Input(
                    "image", optional=True, tooltip="The photo, for models that can see (the first one of a batch)."
                ),
            ],
            outputs=[io.String.Output(display_name="action", tooltip="The sentence, for the action of other nodes.")],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(
        cls, action, how, local_model, server_url, server_model, timeout, edited, edited_for, image=None
    ) -> io.NodeOutput:
        from ..ivg_core.enrich.enrich import default_cache, enrich_action

        if edited.strip() and edited_for.strip() in ("", action.strip()):
            sentence = edited.strip()
        else:
            if edited.strip():
                log.warning('IVGEnrichAction: the edit was made for "%s", so it is set aside here.', edited_for.strip())
            enricher = chosen_language(how, local_model, server_url, server_model, timeout)
            photo = photos_of(image)[0].cpu() if image is not None else None
            sentence = enrich_action(action, photo, enricher, default_cache())
        return io.NodeOutput(sentence, ui={"text": [sentence], "ivg_action": [action.strip()]})
