"""IVGTextToVideo: a video of a sentence alone, by a model that takes no photo."""

from __future__ import annotations

from dataclasses import replace

import torch
from comfy_api.latest import io

from ..ivg_core.sampling.settings import Sampling
from ._compat import found_by
from ._edges import Progress, to_comfy
from ._inputs import boxes_input, denoising_inputs, noise_prior_input, options_input, schedule_input
from ._model import IVGModelSocket, on_device
from ._notes import noted, say
from ._schedule import at_once, what_and_where
from .sampling import as_video, settings_used, video_size


class IVGTextToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGTextToVideo",
            display_name="IVG Text to Video",
            category="IVG/video",
            **found_by("text to video", "t2v", "modelscope", "zeroscope", "motiondirector"),
            description="Makes a video of a sentence, without a photo, with a text-to-video model (ModelScope, "
            "zeroscope) and the motions that IVG Load LoRA adds to it.",
            inputs=[
                IVGModelSocket.Input("model", tooltip="A text-to-video model from IVG Load Model."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    default="",
                    placeholder="A person is riding a horse on the beach",
                    tooltip="What is to be seen, in one sentence. At most 77 tokens (about 60 words) are read.",
                ),
                io.String.Input("negative", default="", tooltip="What should not be seen."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The same seed gives the same video; on another device up to rounding.",
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=1024,
                    tooltip="Frames of the video. 0 takes what the model was made for.",
                ),
                *denoising_inputs(),
                io.Float.Input(
                    "fps",
                    default=0.0,
                    min=0.0,
                    max=120.0,
                    step=0.5,
                    tooltip="Frames a second of the video output. 0 takes what the model was made for.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=8192,
                    step=8,
                    tooltip="Width of the video, a multiple of 8. 0 takes the size that the model was made for.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=8192,
                    step=8,
                    tooltip="Height of the video, a multiple of 8. 0 takes the size that the model was made for.",
                ),
                options_input(),
                noise_prior_input(),
                boxes_input(
                    "For a text-to-video model with gates for boxes: one that you trained, or one with a boxes_model "
                    "in IVG Load Model."
                ),
                schedule_input("several sentences over time, which take the place of prompt."),
            ],
            outputs=[
                io.Image.Output(display_name="frames", tooltip="The frames."),
                io.Video.Output(display_name="video", tooltip="The video, for Save Video."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @noted
    def execute(
        cls, model, prompt, negative, seed, frames, steps, guidance, fps, width, height, options=None, noise_prior=None,
        boxes=None, schedule=None,
    ) -> io.NodeOutput:  # fmt: skip
        from ..ivg_core.sampling.generate import generate
        from ..ivg_core.sampling.inputs import check_photo

        defaults, how = model.model.defaults, options or Sampling()
        how = replace(how, num_inference_steps=steps or None, guidance_scale=guidance or None)
        check_photo(model.model, None, None, how)
        frames, fps = frames or defaults.num_frames, fps or defaults.fps
        action, _ = what_and_where(prompt, schedule)
        usual = torch.empty(defaults.height, defaults.width, 3)
        size = video_size(width, height, usual) or (defaults.width, defaults.height)
        ready = on_device(model, 2, usual, at_once(action, how, frames, defaults.num_frames), size)
        progress = Progress(cls.hidden.unique_id, [None])
        generated = generate(
            ready,
            None,
            action,
            boxes=boxes,
            negative_prompt=negative,
            num_frames=frames,
            size=size,
            seed=seed,
            how=how,
            prior=noise_prior,
            on_step=progress,
        )
        progress.show_result(generated.frames)
        made = to_comfy(generated.frames)  # (F, H, W, 3)
        say(settings_used(made, fps, steps or defaults.num_inference_steps, guidance or defaults.guidance_scale))
        return io.NodeOutput(made, as_video(made, fps))
