"""IVGSampler makes the video (stage 2); IVGSamplerOptions holds what few people change."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from comfy_api.latest import InputImpl, Types, io
from torch import Tensor

from ..ivg_core.sampling.settings import MOTION_MODES, REGIONS, SOLVERS, Sampling
from ._compat import found_by, supported
from ._edges import Progress, mask_of_each, photos_of, to_comfy
from ._inputs import (
    OptionsSocket,
    boxes_input,
    denoising_inputs,
    frames_input,
    motion_input,
    noise_prior_input,
    options_input,
    region_input,
    schedule_input,
    size_inputs,
)
from ._model import IVGModelSocket, on_device
from ._notes import noted, say
from ._schedule import at_once, what_and_where


class IVGSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGSampler",
            display_name="IVG Sampler",
            category="IVG/video",
            **found_by("image to video", "i2v", "animate photo", "instructional video", "ksampler"),
            description="Stage 2: makes the video of the action from the photo, the sentence and the region of motion.",
            inputs=[
                IVGModelSocket.Input("model", tooltip="The model."),
                io.Image.Input(
                    "image",
                    tooltip="The photo. A batch of photos gives one video each, one after the other, with seed, "
                    "seed + 1 …",
                ),
                io.String.Input(
                    "action",
                    multiline=True,
                    default="",
                    placeholder="The person stirs the pan with the right hand",
                    tooltip="What is done, in one sentence. At most 77 tokens (about 60 words) are read.",
                ),
                io.String.Input(
                    "negative",
                    default="",
                    tooltip="What should not be seen. Empty is as the model was trained.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The same seed gives the same video; on another device or in a batch, up to rounding.",
                ),
                frames_input(),
                *denoising_inputs(),
                motion_input(),
                io.Float.Input(
                    "fps",
                    default=0.0,
                    min=0.0,
                    max=120.0,
                    step=0.5,
                    tooltip="Frames a second of the video output. 0 takes what the model was made for (8 for the "
                    "published ones).",
                ),
                *size_inputs(),
                io.Boolean.Input(
                    "keep_first_frame",
                    default=True,
                    tooltip="The first frame is the photo itself; otherwise the model's own rendering of it.",
                    **supported(io.Boolean.Input, advanced=True),
                ),
                io.Boolean.Input(
                    "composite",
                    default=True,
                    tooltip="Outside the mask the photo's own pixels are kept, so that nothing there can drift.",
                    **supported(io.Boolean.Input, advanced=True),
                ),
                io.Float.Input(
                    "feather",
                    default=-1.0,
                    min=-1.0,
                    max=256.0,
                    step=0.5,
                    tooltip="Width of the composite's seam in pixels, outside the mask. -1 takes 1/32 of the video's "
                    "shorter side.",
                    **supported(io.Float.Input, advanced=True),
                ),
                region_input(),
                options_input(),
                noise_prior_input(),
                boxes_input(
                    "The first box of a thing lies around it as the photo shows it. For models that follow boxes: "
                    "SMCD, or one with a boxes_model in IVG Load Model."
                ),
                schedule_input(
                    "several sentences over time, which take the place of action. A batch of as many masks as "
                    "sentences is then one for each."
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="frames", is_output_list=True, tooltip="The frames; one batch of them a photo."
                ),
                io.Video.Output(display_name="video", is_output_list=True, tooltip="The video, for Save Video."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @noted
    def execute(
        cls, model, image, action, negative, seed, frames, steps, guidance, motion_strength, fps, width, height,
        keep_first_frame, composite, feather, mask=None, options=None, noise_prior=None, boxes=None, schedule=None,
    ) -> io.NodeOutput:  # fmt: skip
        from ..ivg_core.sampling.generate import generate

        photos, defaults = photos_of(image), model.model.defaults
        action, mask = what_and_where(action, schedule, mask)
        frames, fps = frames or defaults.num_frames, fps or defaults.fps
        size = video_size(width, height, photos[0])
        progress = Progress(cls.hidden.unique_id, photos)
        how = replace(
            options or Sampling(),
            num_inference_steps=steps or None,
            guidance_scale=guidance or None,
            keep_first_frame=keep_first_frame,
            composite=composite,
            feather=feather if feather >= 0 else None,
        )
        ready = on_device(model, 2, photos[0], at_once(action, how, frames, defaults.num_frames), size)
        batches = []
        for index, (photo, rom_mask) in enumerate(zip(photos, mask_of_each(mask, len(photos)), strict=True)):
            generated = generate(
                ready,
                photo,
                action,
                mask=rom_mask,
                boxes=boxes,
                negative_prompt=negative,
                motion_strength=motion_strength,
                num_frames=frames,
                size=size,
                seed=seed + index,
                prior=noise_prior,
                how=how,
                on_step=progress,
            )
            progress.show_result(generated.frames)
            batches.append(to_comfy(generated.frames))  # (F, H, W, 3)
        say(settings_used(batches[0], fps, steps or defaults.num_inference_steps, guidance or defaults.guidance_scale))
        return io.NodeOutput(batches, [as_video(batch, fps) for batch in batches])


class IVGSamplerOptions(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGSamplerOptions",
            display_name="IVG Sampler Options",
            category="IVG/video",
            **found_by("sampler settings", "solver", "faster", "scheduler"),
            description="Further options of IVG Sampler. Its defaults are what IVG Sampler does without this node.",
            inputs=[
                io.Combo.Input(
                    "solver",
                    options=list(SOLVERS),
                    default=SOLVERS[0],
                    tooltip="dpm++2m: as published, good from 10 steps up. ddim: wants more steps. lcm: for a model "
                    "with a few-step LoRA (MCM, T2V-Turbo), at 4 to 8 steps and guidance 1; at 6 steps it also makes "
                    "better hands with the embedded model.",
                ),
                io.Combo.Input(
                    "motion_mode",
                    options=list(MOTION_MODES),
                    default=MOTION_MODES[0],
                    tooltip="raw: the motion strength as it is. scaled_by_area: times the share of the photo that the "
                    "mask covers, which calms small regions.",
                ),
                io.Float.Input(
                    "guidance_start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="The part of the steps with guidance begins here (0 is the first step).",
                ),
                io.Float.Input(
                    "guidance_end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="The part of the steps with guidance ends here (1 is the last step). Steps without it take "
                    "half the time.",
                ),
                io.Boolean.Input(
                    "binarize_mask",
                    default=False,
                    tooltip="Rounds the mask to black and white at the latents' size, as in training.",
                ),
                io.Int.Input(
                    "decode_chunk",
                    default=0,
                    min=0,
                    max=1024,
                    tooltip="How many frames are decoded at a time. Fewer take less memory. 0 takes as many as make "
                    "512 x 512 pixels, at most 8.",
                ),
                io.Combo.Input(
                    "region",
                    options=list(REGIONS),
                    default=REGIONS[0],
                    optional=True,
                    tooltip="whole: the whole picture. crop: only a window around the mask, laid back over the still "
                    "photo, which takes less time the smaller the mask is (measured: 34 dB from the whole). zoom: "
                    "that window at the size the model is made for, which shows more detail (26 dB).",
                ),
                io.Int.Input(
                    "cache_every",
                    default=1,
                    min=1,
                    max=100,
                    optional=True,
                    tooltip="The deep layers are computed at every so many steps only, and reused in between. 1 is "
                    "exact; 2 saves about a third of the time (measured: 44 dB from exact), 3 a little more (40 dB).",
                ),
                io.Float.Input(
                    "boxes_scale",
                    default=1.0,
                    min=0.0,
                    max=20.0,
                    step=0.1,
                    optional=True,
                    tooltip="How strongly the boxes are followed, where there are some. 1 is as the model was trained; "
                    "another value takes half as much time again.",
                ),
                io.Float.Input(
                    "photo_scale",
                    default=1.0,
                    min=0.0,
                    max=20.0,
                    step=0.1,
                    optional=True,
                    tooltip="How strongly the photo is followed, by a model of SMCD. 1 is as the model was trained; "
                    "another value takes half as much time again.",
                ),
                io.Float.Input(
                    "cache_tolerance",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Instead of cache_every: the deep layers are computed anew where the video has changed by "
                    "more than this share since they last were, however many steps there are. 0 is exact; 0.3 saves "
                    "about half of the time (measured: 37 dB from exact).",
                ),
            ],
            outputs=[OptionsSocket.Output(display_name="options", tooltip="For IVG Sampler.")],
        )

    @classmethod
    @noted
    def execute(
        cls, solver, motion_mode, guidance_start, guidance_end, binarize_mask, decode_chunk, region="whole",
        cache_every=1, boxes_scale=1.0, photo_scale=1.0, cache_tolerance=0.0,
    ) -> io.NodeOutput:  # fmt: skip
        return io.NodeOutput(
            Sampling(
                solver=solver,
                motion_mode=motion_mode,
                guidance_interval=(guidance_start, guidance_end),
                binarize_mask=binarize_mask,
                decode_chunk=decode_chunk or None,
                region=region,
                cache_every=cache_every,
                boxes_scale=boxes_scale,
                photo_scale=photo_scale,
                cache_tolerance=cache_tolerance,
            )
        )


def settings_used(frames: Tensor, fps: float, steps: int, guidance: float) -> str:
    """What the widgets that stood at 0 became."""
    count, height, width = frames.shape[:3]
    frames_said = "1 frame" if count == 1 else f"{count} frames"
    return f"{width} x {height}, {frames_said} at {fps:g} a second, {steps} steps, guidance {guidance:g}."


def video_size(width: int, height: int, photo: Tensor) -> tuple[int, int] | None:
    """(width, height) of the video; a side that is 0 follows from the other one; None where both are 0."""
    if not (width or height):
        return None
    photo_height, photo_width = photo.shape[:2]
    width = width or max(8, round(height * photo_width / photo_height / 8) * 8)
    height = height or max(8, round(width * photo_height / photo_width / 8) * 8)
    return width, height


def as_video(frames: Tensor, fps: float):
    """Frames (F, H, W, 3) as ComfyUI's VIDEO."""
    components = Types.VideoComponents(images=frames, frame_rate=Fraction(fps).limit_denominator(1000))
    return InputImpl.VideoFromComponents(components)
