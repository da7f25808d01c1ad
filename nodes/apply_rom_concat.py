"""IVGApplyRoMConcat: the region of motion beside the noise, as Wan's image-to-video models are told what is given."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ._compat import found_by
from ._edges import masks_of, photos_of, to_comfy
from ._notes import noted
from .apply_rom import MASK_TIP, PHOTO_TIP, encode_still, grid_of


class IVGApplyRoMConcat(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGApplyRoMConcat",
            display_name="IVG Apply RoM (Wan I2V, trained)",
            category="IVG/other models",
            **found_by("region of motion", "motion mask", "image to video", "concat mask"),
            description="Tells Wan 2.1 and 2.2 I2V 14B the region of motion beside the noise: the photo held still, of "
            "which all but the region is given. For a LoRA of IVG Train RoM LoRA that was trained with tell_region; "
            "without one the model does not know this use of its mask. Goes into the wires behind WanImageToVideo.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="From WanImageToVideo."),
                io.Conditioning.Input("negative", tooltip="From WanImageToVideo."),
                io.Image.Input("image", tooltip=PHOTO_TIP + " Cropped to the video's shape as core's nodes do it."),
                io.Mask.Input("mask", tooltip=MASK_TIP),
                io.Vae.Input("vae", tooltip="The video model's VAE."),
                io.Int.Input(
                    "grow",
                    default=1,
                    min=0,
                    max=16,
                    tooltip="By how many latent cells of 8 pixels the region grows. 1 is what is trained with.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="The same, told the region."),
                io.Conditioning.Output(display_name="negative", tooltip="The same, told the region."),
                io.Mask.Output(
                    display_name="latent_mask", tooltip="The mask as the model gets it, one a latent frame, to look at."
                ),
            ],
        )

    @classmethod
    @noted
    def execute(cls, positive, negative, image, mask, vae, grow) -> io.NodeOutput:
        from ..ivg_core.rom.latent import latent_mask

        beside = _beside(positive)
        grid = grid_of(vae, beside)
        cells = latent_mask(masks_of(mask), grid, grow)  # (T, h, w)
        told = {
            "concat_latent_image": encode_still(vae, photos_of(image)[0], grid, beside),
            "concat_mask": cells[None, None].to(beside),
        }
        _beside(negative)
        both = ([[text, {**also, **told}] for text, also in each] for each in (positive, negative))
        return io.NodeOutput(*both, to_comfy(cells))


def _beside(conditioning: list) -> torch.Tensor:
    """The latents (1, C, T, h, w) that stand beside the noise.

    Raises:
        IVGError: there are none.
    """
    from ..ivg_core.errors import IVGError

    found = [also["concat_latent_image"] for _, also in conditioning if "concat_latent_image" in also]
    if not found:
        raise IVGError(
            "IVG Apply RoM (Wan I2V) got a conditioning without a photo: connect those of WanImageToVideo, for a model "
            "that takes the photo there."
        )
    return found[0]
