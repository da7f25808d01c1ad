"""IVGHowTo: the steps of a how-to become one film, with captions, chapters and a page."""

from __future__ import annotations

import os

from comfy_api.latest import InputImpl, io

from ._compat import found_by
from ._inputs import HowToSocket
from ._notes import noted
from ._paths import readable
from .step_save import played

#: What the list says -> whether captions are drawn into the picture.
CAPTIONS = {"subtitles": False, "drawn into the picture": True}
WHEN = ["all steps are done", "after each step"]


def seconds_input(name: str, default: float, tooltip: str) -> io.Float.Input:
    """How long something in the film takes."""
    return io.Float.Input(name, default=default, min=0.0, max=60.0, step=0.1, tooltip=tooltip)


class IVGHowTo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGHowTo",
            display_name="IVG How-to Film",
            category="IVG/how-to",
            **found_by("how-to", "instruction video", "concatenate videos", "subtitles", "chapters"),
            description="Puts the steps of a how-to together: a film with title, chapters and subtitles, a moving "
            "picture of each step, a contact sheet and a page that shows them all, in output/ivg.",
            inputs=[
                HowToSocket.Input("how_to", tooltip="From IVG Save Step."),
                io.String.Input("title", default="", tooltip="Of the film. Empty takes the plan's."),
                io.Float.Input("fps", default=24.0, min=1.0, max=240.0, step=1.0, tooltip="Frames a second."),
                io.Combo.Input(
                    "captions",
                    options=list(CAPTIONS),
                    default=next(iter(CAPTIONS)),
                    tooltip="subtitles: players show them and can switch them off. drawn into the picture: seen "
                    "everywhere.",
                ),
                seconds_input("title_seconds", 2.0, "How long the title stands; 0 leaves it out."),
                seconds_input("hold_seconds", 1.0, "How long the last frame of a step stays."),
                seconds_input("fade_seconds", 0.5, "How long a step takes to turn into the next."),
                io.String.Input(
                    "speed",
                    default="1",
                    tooltip="2 plays the steps twice as fast. One number for all of them, or one for each: 1, 2, 1.",
                ),
                io.Combo.Input(
                    "loops",
                    options=["webp", "gif"],
                    default="webp",
                    tooltip="The moving picture of each step. webp: small, all colours. gif: plays everywhere.",
                ),
                io.String.Input(
                    "font",
                    default="",
                    tooltip="File of the font for what is drawn, in ComfyUI's input folder. Empty takes one of the "
                    "system that has the letters.",
                ),
                io.Combo.Input(
                    "when",
                    options=WHEN,
                    default=WHEN[0],
                    tooltip="all steps are done: the film is made once. after each step: it is made again each time, "
                    "of the steps so far.",
                ),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="A sound, such as from core's Load Audio, heard from the film's begin on. What is longer "
                    "than the film is left out.",
                ),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The film, such as for core's Save Video.")],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(
        cls, how_to, title, fps, captions, title_seconds, hold_seconds, fade_seconds, speed, loops, font, when,
        audio=None,
    ) -> io.NodeOutput:  # fmt: skip
        from comfy_execution.graph_utils import ExecutionBlocker

        from ..ivg_core.howto.film import FilmSettings, pace_of_each, paced
        from ..ivg_core.howto.package import write_package

        states = how_to.states()
        speeds = pace_of_each(numbers_in(speed), len(states))
        file = readable(font.strip(), "font") if font.strip() else None
        done = sum(state.take is not None for state in states)
        if done < len(states) and (when == WHEN[0] or not states[0].take):
            told = f"{done} of {len(states)} steps are done: the film is made when all of them are."
            return io.NodeOutput(ExecutionBlocker(None), ui={"text": [told]})
        steps = how_to.finished(so_far=True)
        settings = FilmSettings(
            title=title.strip() or how_to.plan.title,
            fps=fps,
            title_seconds=title_seconds,
            hold_seconds=hold_seconds,
            fade_seconds=fade_seconds,
            burn=CAPTIONS[captions],
            font=file,
        )
        package = write_package(
            paced(steps, speeds[: len(steps)]), how_to.folder, settings, loops=loops, sound=sound_of(audio)
        )
        shown = played(package.film)
        page = f"{shown['images'][0]['subfolder']}/{package.page.name}"
        told = f"{len(steps)} of {len(states)} steps are in the film.\nThe page in ComfyUI's output folder: {page}"
        shown["text"] = [told]
        return io.NodeOutput(InputImpl.VideoFromFile(os.fspath(package.film)), ui=shown)


def numbers_in(text: str) -> list[float]:
    """The numbers of a widget such as "1, 2, 1".

    Raises:
        IVGError: it holds something else.
    """
    from ..ivg_core.errors import IVGError

    try:
        return [float(part) for part in text.replace("，", ",").split(",")]
    except ValueError:
        raise IVGError(
            f"speed is {text!r}: write one number such as 1, or one for each step such as 1, 2, 1."
        ) from None


def sound_of(audio: dict | None):
    """Core's AUDIO as the library's sound; the first one of a batch."""
    from ..ivg_core.errors import IVGError
    from ..ivg_core.media.sound import Sound

    if audio is None:
        return None
    try:
        return Sound(audio["waveform"][0].cpu(), int(audio["sample_rate"]))
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise IVGError(f"audio is no sound ({type(error).__name__}: {error}): connect core's Load Audio.") from error
