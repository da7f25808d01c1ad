"""IVGInflateModel: Stable Diffusion of ComfyUI's own loader makes videos, without training; and what it is told."""

from __future__ import annotations

import logging
import math

import torch
from comfy_api.latest import io

from ..ivg_core.errors import IVGError
from ._compat import found_by
from ._inflate import BESIDE, inflate_control, inflate_model
from ._inputs import PromptScheduleSocket
from ._notes import noted

log = logging.getLogger("ivg")


class IVGInflateModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGInflateModel",
            display_name="IVG Inflate Model (SD makes video)",
            category="IVG/other models",
            **found_by("stable diffusion video", "gen-l-video", "video to video", "cross-frame attention"),
            description="Makes Stable Diffusion (1.x, 2.x) a video model without training: the images of a latent "
            "batch are the frames of a video and see each other. Goes into the model wire in front of core's sampler; "
            "LoRAs, inpainting conditioning, ControlNets and context windows work as before.",
            inputs=[
                io.Model.Input("model", tooltip="From Load Checkpoint, with its LoRAs."),
                io.ControlNet.Input(
                    "control_net",
                    optional=True,
                    tooltip="A ControlNet or T2I-Adapter for this model, whose frames are to see each other too. Give "
                    "Apply ControlNet a control image for each frame of the video.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="For KSampler; batch_size of the latent is the frames."),
                io.ControlNet.Output(display_name="control_net", tooltip="For Apply ControlNet."),
            ],
        )

    @classmethod
    @noted
    def execute(cls, model, control_net=None) -> io.NodeOutput:
        made = inflate_model(model)
        return io.NodeOutput(made, None if control_net is None else inflate_control(control_net, model))


class IVGDepthConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGDepthConditioning",
            display_name="IVG Depth Conditioning (SD 2 depth)",
            category="IVG/other models",
            **found_by("depth to image", "depth2img", "stable diffusion 2 depth", "512-depth"),
            description="Tells Stable Diffusion 2 depth the depth of each frame, which the model reads beside the "
            "latents. For a ControlNet of depth use Apply ControlNet instead.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="What the video is to show."),
                io.Conditioning.Input("negative", tooltip="What it is not to show."),
                io.Image.Input(
                    "depth",
                    tooltip="Depth maps, one a frame or one for all, light is near: from any node for depth. "
                    "Each frame's range is stretched to the whole one.",
                ),
                io.Latent.Input("latent", tooltip="What goes to the sampler; it gives size and length."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="For the sampler."),
                io.Conditioning.Output(display_name="negative", tooltip="For the sampler."),
            ],
        )

    @classmethod
    @noted
    def execute(cls, positive, negative, depth, latent) -> io.NodeOutput:
        from ..ivg_core.sampling.beside import depth_beside

        frames, _, height, width = latent["samples"].shape
        if len(depth) not in (1, frames):
            raise IVGError(
                f"There are {len(depth)} depth maps for the {frames} frames of the latent: give one a frame, or one "
                "for all."
            )
        cells = depth_beside(depth[..., :3].mean(-1), height, width)[0].transpose(0, 1)  # (F or 1, 1, h, w)
        return io.NodeOutput(*([[text, {**also, BESIDE: cells}] for text, also in one] for one in (positive, negative)))


class IVGEncodeSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGEncodeSchedule",
            display_name="IVG Encode Schedule",
            category="IVG/other models",
            **found_by("prompt travel", "batch prompt schedule", "several sentences", "clip text encode"),
            description="The sentences of IVG Prompt Schedule as a conditioning for core's sampler, one a frame. For "
            "image models whose batch is the frames of a video, see IVG Inflate Model.",
            inputs=[
                io.Clip.Input("clip", tooltip="The model's text encoder."),
                PromptScheduleSocket.Input(
                    "schedule",
                    tooltip="From IVG Prompt Schedule. centre: a sentence holds until the next one begins. blend: they "
                    "flow into one another.",
                ),
                io.Latent.Input("latent", tooltip="What goes to the sampler; it gives the number of frames."),
            ],
            outputs=[io.Conditioning.Output(display_name="conditioning", tooltip="For the sampler.")],
        )

    @classmethod
    @noted
    def execute(cls, clip, schedule, latent) -> io.NodeOutput:
        if latent["samples"].ndim != 4:
            raise IVGError(
                "This latent is a video model's, which reads one sentence: connect the schedule to IVG Sampler, or "
                "give a latent of pictures."
            )
        if schedule.mode == "reference":
            raise IVGError(
                "The mode reference counts windows, and here each frame has its sentence: choose centre or blend."
            )
        if any(mask is not None for mask in schedule.masks):
            log.warning("The masks of the prompt schedule are for IVG Sampler; core's sampler does not get them.")
        shares = schedule.shares([slice(0, len(latent["samples"]))])  # (F, S)
        encoded = [
            clip.encode_from_tokens(clip.tokenize(sentence), return_pooled=True, return_dict=True)
            for sentence in schedule.sentences
        ]
        longest = math.lcm(*(one["cond"].shape[1] for one in encoded))  # as core itself makes texts of one length
        states = torch.cat([one["cond"].repeat(1, longest // one["cond"].shape[1], 1) for one in encoded])  # (S, L, D)
        pooled = torch.cat([one["pooled_output"] for one in encoded])  # (S, P)
        mixed = (torch.einsum("fs,s...->f...", shares.to(x), x) for x in (states, pooled))
        return io.NodeOutput([[next(mixed), {"pooled_output": next(mixed)}]])
