"""IVGInflateModel: Stable Diffusion of ComfyUI's own loader makes videos, without training."""

from __future__ import annotations

from comfy_api.latest import io

from ._compat import found_by
from ._inflate import inflate_control, inflate_model
from ._notes import noted


class IVGInflateModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGInflateModel",
            display_name="IVG Inflate Model (SD makes video)",
            category="IVG/other models",
            **found_by("stable diffusion video", "gen-l-video", "cross-frame attention", "video to video", "tuning-free"),
            description="Makes Stable Diffusion (1.x, 2.x, XL) a video model without training: the images of a latent "
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
