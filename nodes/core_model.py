"""An IVG model in ComfyUI's own samplers: IVGModelParts, what they are told by IVGImageToVideo, and IVGScheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..ivg_core.errors import IVGError
from ..ivg_core.sampling.settings import SOLVERS
from ._compat import found_by
from ._edges import mask_of_each, photos_of
from ._inputs import frames_input, motion_input, region_input, size_inputs, steps_input
from ._model import IVGModelSocket
from ._notes import noted, say
from .sampling import video_size

if TYPE_CHECKING:
    from ..ivg_core.models.bundle import IVGModel
    from ..ivg_core.sampling.inputs import Pictures

#: The first letter is the number of the stage.
STAGES = ["2: the video", "1: the mask"]


class IVGModelParts(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGModelParts",
            display_name="IVG Model Parts",
            category="IVG/model",
            **found_by("to model", "model clip vae", "ksampler", "convert ivg model", "core sampler"),
            description="An IVG model as ComfyUI's own MODEL, CLIP and VAE, for KSampler, SamplerCustom, LoRA "
            "loaders, context windows and caches. The weights are the same, in the same memory; IVG Sampler stays the "
            "simple way.",
            inputs=[
                IVGModelSocket.Input(
                    "model",
                    tooltip="From IVG Load Model; LoRAs of IVG Load LoRA come along. One that animates a photo.",
                ),
                io.Combo.Input(
                    "stage",
                    options=STAGES,
                    default=STAGES[0],
                    tooltip="2 makes the video. 1 makes the mask video, of which IVG Predict RoM Mask takes what is "
                    "white in any frame.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="MODEL",
                    tooltip="For KSampler or SamplerCustom, beside what IVG Image to Video gives.",
                ),
                io.Clip.Output(
                    display_name="CLIP",
                    tooltip="For CLIP Text Encode. At most 77 tokens (about 60 words) are read, and brackets give no "
                    "weight.",
                ),
                io.Vae.Output(
                    display_name="VAE",
                    tooltip="For IVG Image to Video and VAE Decode. Another VAE would decode only the first frame of "
                    "the video.",
                ),
            ],
        )

    @classmethod
    @noted
    def execute(cls, model, stage) -> io.NodeOutput:
        from ._core_model import core_model
        from ._core_parts import core_clip, core_vae

        number = int(stage[0])
        return io.NodeOutput(core_model(model, number), core_clip(model), core_vae(model, number))


class IVGImageToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGImageToVideo",
            display_name="IVG Image to Video",
            category="IVG/video",
            **found_by("image to video", "i2v", "ivg conditioning", "start image", "photo conditioning"),
            description="Tells ComfyUI's own sampler the photo, the region of motion and how much moves, for the MODEL "
            "of IVG Model Parts. Its latent is the photo in every frame: sample it with denoise 1.",
            inputs=[
                io.Conditioning.Input(
                    "positive", tooltip="What is done, from CLIP Text Encode with the CLIP of IVG Model Parts."
                ),
                io.Conditioning.Input(
                    "negative", tooltip="What should not be seen; an empty sentence is as the model was trained."
                ),
                io.Vae.Input("vae", tooltip="The VAE of IVG Model Parts."),
                io.Image.Input(
                    "image", tooltip="The photo. A batch of photos gives one clip each, sampled together in one latent."
                ),
                motion_input(),
                frames_input(),
                *size_inputs(),
                io.Boolean.Input(
                    "hold_first_frame",
                    default=True,
                    tooltip="The first frame is the photo, held at every step by a noise mask; otherwise the model's "
                    "own rendering of it.",
                ),
                region_input(),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="For the sampler."),
                io.Conditioning.Output(display_name="negative", tooltip="For the sampler."),
                io.Latent.Output(
                    display_name="latent", tooltip="For the sampler; size and length of the video are its."
                ),
            ],
        )

    @classmethod
    @noted
    def execute(
        cls, positive, negative, vae, image, motion_strength, frames, width, height, hold_first_frame, mask=None
    ) -> io.NodeOutput:
        from ..ivg_core.sampling.generate import warn_of_unfamiliar

        model = getattr(vae, "ivg_model", None)
        if model is None:
            raise IVGError(
                "This VAE is not that of an IVG model and would decode only one frame: connect the VAE of IVG Model "
                "Parts, here and to VAE Decode."
            )
        for side in (positive, negative):
            _check_text(model, side)
        photos, frames = photos_of(image), frames or model.defaults.num_frames
        pictures = _pictures(model, photos, mask_of_each(mask, len(photos)), frames, width, height)
        still = torch.cat([vae.encode(photo[None]) for photo in pictures.photos])  # (B, 4, 1, h, w)
        warn_of_unfamiliar(model, photos)
        told = {"ivg_photo": still, "ivg_mask": pictures.cells}
        if vae.ivg_stage == 2:  # how much a mask moves is not known beforehand
            told["ivg_motion"] = motion_strength
        latent = {"samples": still.repeat(1, 1, frames, 1, 1)}
        if hold_first_frame:
            latent["noise_mask"] = torch.ones(len(still), 1, frames, 1, 1)
            latent["noise_mask"][:, :, 0] = 0
        say(f"{pictures.size[0]} x {pictures.size[1]}, {frames} frame{'s' * (frames > 1)}.")
        return io.NodeOutput(
            *([[text, {**also, **told}] for text, also in side] for side in (positive, negative)), latent
        )


def _pictures(
    model: IVGModel, photos: list[Tensor], masks: list[Tensor | None], frames: int, width: int, height: int
) -> Pictures:
    """Photos and masks at the size of the video, as `generate` brings them to it."""
    from ..ivg_core.models.codec import ImageCodec
    from ..ivg_core.sampling.inputs import collect, prepare_pictures
    from ..ivg_core.sampling.settings import Sampling

    items = collect(photos, "", "", masks, None, 0)
    base = (model.defaults.width, model.defaults.height)
    return prepare_pictures(
        items, video_size(width, height, photos[0]), base, ImageCodec(model.vae), Sampling(), frames
    )


def _check_text(model: IVGModel, side: list) -> None:
    """Let pass a conditioning that the network can read."""
    wanted = model.text_encoder.config.hidden_size
    for text, _ in side:
        if text.shape[-1] != wanted:
            raise IVGError(
                f"The conditioning is {text.shape[-1]} numbers wide, and the model reads {wanted}: encode the sentence "
                "with the CLIP of IVG Model Parts."
            )


class IVGScheduler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGScheduler",
            display_name="IVG Scheduler",
            category="IVG/video",
            **found_by("sigmas", "basic scheduler", "ivg sigmas", "timesteps", "sampler custom"),
            description="The steps of IVG Sampler as SIGMAS, for SamplerCustom: they begin and end where the model was "
            "trained to. ComfyUI's own schedulers may begin at another noise.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL of IVG Model Parts."),
                steps_input(),
                io.Combo.Input(
                    "solver",
                    options=list(SOLVERS),
                    default=SOLVERS[0],
                    tooltip="Whose steps these are. Choose its fellow in KSamplerSelect: dpm++2m is dpmpp_2m there, "
                    "ddim is euler, and lcm, for a model with a few-step LoRA, is lcm.",
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Below 1 only the last part of a longer schedule is taken, for a latent that is to be "
                    "changed in part.",
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="For SamplerCustom or SamplerCustomAdvanced.")],
        )

    @classmethod
    @noted
    def execute(cls, model: Any, steps, solver, denoise) -> io.NodeOutput:
        from ._core_model import core_sigmas

        return io.NodeOutput(core_sigmas(model.get_model_object("model_sampling"), steps, solver, denoise))
