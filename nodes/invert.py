"""IVGInvertVideo: a clip becomes a noise prior, through which its motion shines in another video."""

from __future__ import annotations

from comfy_api.latest import io

from ..ivg_core.errors import IVGError
from ._compat import found_by
from ._edges import Progress, frames_of
from ._inputs import NoisePriorSocket
from ._model import IVGModelSocket, on_device
from ._notes import noted, say


class IVGInvertVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGInvertVideo",
            display_name="IVG Invert Video",
            category="IVG/video",
            **found_by("noise prior", "ddim inversion", "unsampler", "motion transfer", "motiondirector"),
            description="Finds the noise from which the model would make a clip, by sampling backwards. Mixed into the "
            "noise of IVG Sampler it brings the clip's motion and layout along. A clip is inverted once and then kept.",
            inputs=[
                IVGModelSocket.Input("model", tooltip="The model that will make the video; another one's noise means "
                    "less to it. A motion LoRA may be added after this node."),
                io.String.Input(
                    "prompt",
                    default="",
                    tooltip="What is done in the clip. Usually left empty.",
                ),
                io.Int.Input(
                    "steps",
                    default=50,
                    min=1,
                    max=500,
                    tooltip="Steps backwards. More of them come closer to the clip; each takes as long as a step of "
                    "the sampler without guidance.",
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=1024,
                    tooltip="Frames to take, spread evenly over the clip. 0 takes what the model was made for (16 for "
                    "the published ones).",
                ),
                io.Float.Input(
                    "strength",
                    default=0.3,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the noise is the clip's: 0 is off, 0.1 to 0.5 for the motion of one clip, 1 "
                    "makes the clip again.",
                ),
                io.Image.Input("images", optional=True, tooltip="The clip as frames: this or video."),
                io.Video.Input("video", optional=True, tooltip="The clip, from Load Video: this or images."),
            ],
            outputs=[NoisePriorSocket.Output(display_name="noise_prior", tooltip="For IVG Sampler.")],
            hidden=[io.Hidden.unique_id],
        )  # fmt: skip

    @classmethod
    @noted
    def execute(cls, model, prompt, steps, frames, strength, images=None, video=None) -> io.NodeOutput:
        from ..ivg_core.media.clips import even_indices
        from ..ivg_core.sampling.invert import invert_once
        from ..ivg_core.sampling.noise import NoisePrior

        if (images is None) == (video is None):
            raise IVGError("Connect the clip to images or to video, to one of the two.")
        clip = frames_of(video.get_components().images if images is None else images, "frames of the clip")
        clip = clip[even_indices(len(clip), frames or model.model.defaults.num_frames)]
        ready = on_device(model, 2, clip[0], len(clip))
        progress = Progress(cls.hidden.unique_id, [clip[0]])
        inverted = invert_once(ready, clip, steps=steps, prompt=prompt, on_step=progress)
        width, height = inverted.size
        say(f"{width} x {height}, {len(clip)} frames, {inverted.steps} steps.")
        return io.NodeOutput(NoisePrior(inverted, strength))
