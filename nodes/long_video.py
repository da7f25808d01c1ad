"""Videos longer than what a model was made for: IVGWindows, and IVGPromptSchedule for several sentences in one."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..ivg_core.sampling.context import WEIGHTS, WINDOW_NOISES, WINDOW_SCHEDULES, ContextWindows
from ..ivg_core.sampling.prompts import PROMPT_MODES, read_schedule
from ..ivg_core.sampling.settings import Sampling
from ._compat import found_by, supported
from ._edges import mask_of_each
from ._inputs import OptionsSocket, PromptScheduleSocket
from ._notes import noted, say


class IVGWindows(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGWindows",
            display_name="IVG Windows (long video)",
            category="IVG/video",
            **found_by("context windows", "long video", "more frames", "gen-l-video", "freenoise"),
            description="Lets IVG Sampler make a video longer than what the model was made for, in the memory of a "
            "short one: in windows of time that overlap. Connect it to options.",
            inputs=[
                io.Int.Input(
                    "length",
                    default=0,
                    min=0,
                    max=1024,
                    tooltip="Frames of a window. 0 takes what the model was made for (16 for the published ones).",
                ),
                io.Int.Input(
                    "stride",
                    default=0,
                    min=0,
                    max=1024,
                    tooltip="Frames from one window to the next, at most length. 0 takes half of it. Fewer hide the "
                    "windows' borders better, and take more time.",
                ),
                io.Combo.Input(
                    "schedule",
                    options=list(WINDOW_SCHEDULES),
                    default=WINDOW_SCHEDULES[0],
                    tooltip="static: the same windows at every step. uniform: they shift from step to step, which "
                    "hides their borders. isolated: side by side, for comparing; leave stride at 0.",
                ),
                io.Combo.Input(
                    "weights",
                    options=list(WEIGHTS),
                    default=WEIGHTS[0],
                    tooltip="How much a window counts where windows overlap. pyramid: the more, the nearer to its "
                    "middle. flat: all the same. overlap-linear: rising and falling over the overlaps.",
                ),
                io.Combo.Input(
                    "noise",
                    options=list(WINDOW_NOISES),
                    default=WINDOW_NOISES[0],
                    tooltip="independent: every frame has noise of its own. freenoise: that of the first window again "
                    "and again, shuffled, so that windows look more alike.",
                ),
                io.Int.Input(
                    "batch",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Windows computed at once. More are faster on a large GPU and take more memory.",
                    **supported(io.Int.Input, advanced=True),
                ),
                io.Boolean.Input(
                    "smooth",
                    default=False,
                    tooltip="In the first 25 steps each frame is drawn a little to the one before it.",
                    **supported(io.Boolean.Input, advanced=True),
                ),
                OptionsSocket.Input(
                    "options",
                    optional=True,
                    tooltip="From IVG Sampler Options: further options, which stay as they are.",
                ),
            ],
            outputs=[OptionsSocket.Output(display_name="options", tooltip="For IVG Sampler and IVG Text to Video.")],
        )

    @classmethod
    @noted
    def execute(cls, length, stride, schedule, weights, noise, batch, smooth, options=None) -> io.NodeOutput:
        windows = ContextWindows(
            length=length or None,
            stride=stride or None,
            weights=weights,
            schedule=schedule,
            batch=batch,
            noise=noise,
            smooth=smooth,
        )
        return io.NodeOutput(replace(options or Sampling(), context=windows))


class IVGPromptSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGPromptSchedule",
            display_name="IVG Prompt Schedule",
            category="IVG/video",
            **found_by("several sentences", "prompt travel", "scheduled prompt", "two actions", "gen-l-video"),
            description="Several sentences in one video: from which frame on each is done, and where things may move "
            "meanwhile.",
            inputs=[
                io.String.Input(
                    "sentences",
                    default="0: ",
                    dynamic_prompts=False,
                    tooltip="A line for each sentence: the frame from which on it is done, a colon, and what is done. "
                    "The first one begins with frame 0.",
                ),
                io.Combo.Input(
                    "mode",
                    options=list(PROMPT_MODES),
                    default=PROMPT_MODES[0],
                    tooltip="What a window of time is told. centre: the sentence at its middle frame. blend: the ones "
                    "before and after it, the more the nearer. reference: the rule of Gen-L-Video, for sentences that "
                    "last equally long.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where things may move during these sentences. A batch of as many masks as there are "
                    "sentences is one for each; any other batch is united. Without it IVG Sampler's own mask holds.",
                ),
                PromptScheduleSocket.Input(
                    "also",
                    optional=True,
                    tooltip="Another prompt schedule, whose sentences come first and keep their masks. Frames are "
                    "counted from the video's first one all the same.",
                ),
            ],
            outputs=[
                PromptScheduleSocket.Output(
                    display_name="schedule", tooltip="For IVG Sampler, IVG Predict RoM Mask and IVG Text to Video."
                )
            ],
        )

    @classmethod
    @noted
    def execute(cls, sentences, mode, mask=None, also=None) -> io.NodeOutput:
        schedule = read_schedule(sentences, mode, after=also)
        before = len(also.stretches) if also else 0
        own = mask_of_each(mask, len(schedule.stretches) - before)
        schedule = schedule.with_masks([*schedule.masks[:before], *own])
        say("\n".join(f"From frame {stretch.frame}: {stretch.sentence}" for stretch in schedule.stretches))
        return io.NodeOutput(schedule)
