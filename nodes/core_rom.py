"""IVGPredictRoMCore: where will it move? A video model of ComfyUI's own with a LoRA of stage 1 makes the mask video."""

from __future__ import annotations

from typing import Any

import comfy.model_management as mm
import comfy.utils
import torch
from comfy_api.latest import io, ui

from ._compat import found_by
from ._edges import batch_of, photos_of, shown, to_comfy
from ._inputs import mask_seed_input, threshold_input
from ._notes import noted, say


class IVGPredictRoMCore(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGPredictRoMCore",
            display_name="IVG Predict RoM (any model)",
            category="IVG/region",
            **found_by("region of motion", "motion mask", "rom", "wan", "ltx"),
            description="Stage 1 on a video model of ComfyUI's own (Wan 2.2 5B, Wan 2.1 and 2.2 I2V 14B, LTXV, "
            "HunyuanVideo) that carries a LoRA of IVG Train RoM LoRA: it makes the mask video of what will move. "
            "Without such a LoRA what comes out is no mask.",
            inputs=[
                io.Model.Input("model", tooltip="The model with the LoRA of stage 1 on it (LoraLoaderModelOnly)."),
                io.Vae.Input("vae", tooltip="The model's VAE."),
                io.Conditioning.Input(
                    "positive",
                    tooltip="What will be done, in one sentence, from CLIP Text Encode. The photo is added here. Of "
                    "Wan 2.1 I2V that was trained with clip_vision: from WanImageToVideo.",
                ),
                io.Conditioning.Input("negative", tooltip="An empty sentence; used where guidance is above 1."),
                io.Image.Input("image", tooltip="The photo (the first one of a batch)."),
                mask_seed_input(),
                io.Int.Input("steps", default=20, min=1, max=1000, tooltip="Denoising steps, of euler and simple."),
                io.Float.Input(
                    "guidance",
                    default=0.0,
                    min=0.0,
                    max=50.0,
                    step=0.1,
                    tooltip="How strongly the sentence is followed; 1 is without guidance, in half the time. 0 takes "
                    "what the model is usually sampled with.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=8192,
                    step=32,
                    tooltip="Width of the mask video. 0 takes the photo's shape in the area of 480 x 480, which is "
                    "enough for a mask.",
                ),
                io.Int.Input(
                    "height", default=0, min=0, max=8192, step=32, tooltip="Height of the mask video; see width."
                ),
                io.Int.Input(
                    "length",
                    default=33,
                    min=5,
                    max=1025,
                    step=4,
                    tooltip="Frames of the mask video: as many as the LoRA was trained with. 4 times a number + 1, of "
                    "LTXV 8 times.",
                ),
                threshold_input(),
                io.Model.Input(
                    "low_noise_model",
                    optional=True,
                    tooltip="Of Wan 2.2 I2V 14B: the expert for low noise, with its own LoRA; model is then the one "
                    "for high noise.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    display_name="mask",
                    tooltip="The region of motion, in the photo's size: the union over all frames but the photo.",
                ),
                io.Mask.Output(display_name="frame_masks", tooltip="One mask a frame, in time; the first is empty."),
                io.Image.Output(display_name="preview", tooltip="The photo with the region of motion in orange."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(
        cls, model, vae, positive, negative, image, seed, steps, guidance, width, height, length, threshold,
        low_noise_model=None,
    ) -> io.NodeOutput:  # fmt: skip
        from ..ivg_core.errors import IVGError
        from ..ivg_core.rom.preview import draw_tint
        from ..ivg_core.sampling.predict import rom_from_video

        if bool(width) != bool(height):
            raise IVGError("Give width and height, or 0 for both, which takes the photo's shape.")
        photo = photos_of(image)[0]
        size = (width, height) if width else None
        frames, window = mask_video(
            model, vae, positive, negative, photo, seed, steps, guidance, size, length, low_noise_model,
            cls.hidden.unique_id,
        )  # fmt: skip
        rom = rom_from_video(frames[1:], window.size, threshold)
        mask, frame_masks = (_in_picture(part, window) for part in (rom.mask[None], rom.frame_masks))
        frame_masks = torch.cat([torch.zeros_like(frame_masks[:1]), frame_masks])
        say(f"The region covers {mask.mean().item():.0%} of the photo, from a mask video of {len(frames)} frames.")
        preview = batch_of([draw_tint(to_comfy(photo), to_comfy(mask[0]))])
        return io.NodeOutput(
            to_comfy(mask), to_comfy(frame_masks), preview, ui=ui.PreviewImage(shown(preview), cls=cls)
        )


def mask_video(
    model: Any, vae: Any, positive: list, negative: list, photo: torch.Tensor, seed: int, steps: int, guidance: float,
    size: tuple[int, int] | None, length: int, low: Any, node_id: str,
):  # fmt: skip
    """The frames (F, h, w, 3) of a mask video, of which the first is the photo, and the window of the photo it shows.

    Raises:
        IVGError: a model or conditioning that this does not go through, or a size or length that the model cannot make.
    """
    from ..ivg_core.errors import IVGError
    from ..ivg_core.models.codec import fit_size
    from ..ivg_core.rom.latent import fit
    from ..ivg_core.rom.window import centre_window
    from ._core_check import family_of
    from ._core_condition import photo_part, told_of, with_photo
    from ._core_data import SIZE
    from ._core_decode import CoreCodec
    from ._core_sample import Sampled, sample_frames

    family = family_of(model)
    if low is not None and family_of(low) is not family:
        raise IVGError(f"model is {family.name} and low_noise_model is {family_of(low).name}: connect the two experts.")
    codec = CoreCodec(model, vae, family.patch)
    whole = (photo.shape[1], photo.shape[0])
    size = size or fit_size(*whole, *SIZE, codec.step)
    grid = codec.grid(length, size)
    part = photo_part(family, codec, fit(photo, size), length)
    told, untold = (with_photo(told_of(conditioning), part) for conditioning in (positive, negative))
    bar = comfy.utils.ProgressBar(steps, node_id=node_id)

    def tell(step: int, *_others: Any) -> None:
        mm.throw_exception_if_processing_interrupted()
        bar.update_absolute(step + 1, steps)

    shape = torch.Size((1, vae.latent_channels, grid.frames, grid.height, grid.width))
    how = Sampled(steps, guidance or family.guidance_scale)
    frames = sample_frames(model, vae, told, untold, shape, seed, how, tell, low)
    return frames, centre_window(whole, size)


def _in_picture(masks: torch.Tensor, window: Any) -> torch.Tensor:
    """Masks (F, h, w) of a window in the whole picture, where nothing else moves."""
    width, height = window.picture
    whole = masks.new_zeros(len(masks), height, width)
    window.cut(whole).copy_(masks)
    return whole
