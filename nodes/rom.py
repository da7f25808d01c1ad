"""Where will it move? PredictRoMMask asks the model (stage 1); IVGFallbackRoM does without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ._compat import found_by, supported
from ._edges import Progress, batch_of, hands_of, masks_of, photos_of, shown, to_comfy
from ._inputs import UNITS, denoising_inputs, mask_seed_input, schedule_input, threshold_input, unit_input
from ._model import IVGModelSocket, on_device
from ._notes import noted, say
from ._schedule import what_and_where

if TYPE_CHECKING:
    from ..ivg_core.sampling.prompts import PromptSchedule

FALLBACKS = ["white", "prior", "hands"]


class PredictRoMMask(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        advanced = supported(io.Int.Input, advanced=True)
        return io.Schema(
            node_id="PredictRoMMask",
            display_name="IVG Predict RoM Mask",
            category="IVG/region",
            **found_by("region of motion", "motion mask", "rom"),
            description="Stage 1: predicts the region of motion (RoM), that is where the photo will move when the "
            "action is done. Needs a model with stage-1 weights; without them, and for a real photo, use IVG RoM from "
            "Things.",
            inputs=[
                IVGModelSocket.Input("model", tooltip="A model with stage-1 weights."),
                io.Image.Input(
                    "image", tooltip="The photo. From a batch every photo gets a mask of its own, with seed, seed + 1 …"
                ),
                io.String.Input(
                    "action",
                    multiline=True,
                    default="",
                    placeholder="The person stirs the pan with the right hand",
                    tooltip="What will be done, in one sentence: it decides which object moves. "
                    "At most 77 tokens (about 60 words) are read.",
                ),
                mask_seed_input(),
                *denoising_inputs(),
                threshold_input(),
                io.Int.Input(
                    "min_area",
                    default=0,
                    min=0,
                    max=1 << 24,
                    tooltip="In each frame of the mask video, white parts with fewer pixels than this are removed. "
                    "0 takes 1/1000 of the picture, 1 keeps all.",
                    **advanced,
                ),
                io.Int.Input(
                    "close",
                    default=2,
                    min=0,
                    max=256,
                    tooltip="In each frame of the mask video, gaps up to about twice this many pixels wide are closed.",
                    **advanced,
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=1024,
                    tooltip="Frames of the mask video. 0 takes what the model was made for.",
                    **advanced,
                ),
                schedule_input("a region for each of its sentences, in place of action. Takes one photo."),
            ],
            outputs=[
                io.Mask.Output(
                    display_name="mask",
                    tooltip="The region of motion, in the photo's size: the union over all frames. With a schedule, "
                    "one for each sentence.",
                ),
                io.Mask.Output(
                    display_name="frame_masks",
                    tooltip="One mask a frame, in time. With several photos or sentences those of the first come "
                    "first.",
                ),
                io.Image.Output(display_name="preview", tooltip="The photo with the region of motion in orange."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(
        cls, model, image, action, seed, steps, guidance, threshold, min_area, close, frames, schedule=None
    ) -> io.NodeOutput:  # fmt: skip
        from ..ivg_core.errors import IVGError
        from ..ivg_core.rom.preview import draw_tint
        from ..ivg_core.sampling.predict import Sampling, predict_rom

        if model.model.rom_unet is None:
            raise IVGError(
                f'The model "{model.model.name}" has no stage-1 weights, so it cannot predict the region of motion: '
                "choose some as rom_model in IVG Load Model, or put IVG RoM from Things or IVG Fallback RoM (white, "
                "prior, hands) in place of this node."
            )
        action, _ = what_and_where(action, schedule)
        asked = asked_for(photos_of(image), action, seed)
        photos = [photo for photo, _, _ in asked]
        ready = on_device(model, 1, photos[0], frames or model.model.defaults.num_frames)
        # A node that sends live previews cannot show the picture it returns.
        progress = Progress(cls.hidden.unique_id, photos, previews=False)
        roms = [
            predict_rom(
                ready,
                photo,
                sentence,
                seed=own_seed,
                num_frames=frames or None,
                how=Sampling(num_inference_steps=steps or None, guidance_scale=guidance or None),
                threshold=threshold,
                min_area=min_area or None,
                close=close,
                on_step=progress,
            )
            for photo, sentence, own_seed in asked
        ]
        covered = ", ".join(f"{rom.coverage:.0%}" for rom in roms)
        say(f"The region covers {covered} of the photo, from a mask video of {len(roms[0].frame_masks)} frames.")
        masks = to_comfy(torch.stack([rom.mask for rom in roms]))
        frame_masks = to_comfy(torch.cat([rom.frame_masks for rom in roms]))
        preview = batch_of([draw_tint(to_comfy(photo), mask) for photo, mask in zip(photos, masks, strict=True)])
        return io.NodeOutput(masks, frame_masks, preview, ui=ui.PreviewImage(shown(preview), cls=cls))


def asked_for(photos: list[Tensor], action: str | PromptSchedule, seed: int) -> list[tuple[Tensor, str, int]]:
    """Of which photo, with which sentence and seed regions are predicted: one a photo, or one a sentence.

    Raises:
        IVGError: there are several photos and several sentences.
    """
    from ..ivg_core.errors import IVGError

    if isinstance(action, str):
        return [(photo, action, seed + index) for index, photo in enumerate(photos)]
    if len(photos) > 1:
        raise IVGError(
            f"There are {len(photos)} photos and a prompt schedule, which takes one: connect one photo, or leave the "
            "schedule out."
        )
    return [(photos[0], sentence, seed) for sentence in action.sentences]


class IVGFallbackRoM(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGFallbackRoM",
            display_name="IVG Fallback RoM",
            category="IVG/region",
            **found_by("region of motion", "motion mask", "rom without weights"),
            description="A region of motion without stage-1 weights: everything (white), the mean of other masks "
            "(prior), or the hands of the photo in one outline, grown by a margin (hands).",
            inputs=[
                io.Image.Input("image", tooltip="The photo that the mask is for; it gives the size."),
                io.Combo.Input(
                    "method",
                    options=FALLBACKS,
                    default=FALLBACKS[0],
                    tooltip="white: everything may move. prior: the mean of the connected masks. "
                    "hands: the connected keypoints' hands, grown by the margin.",
                ),
                io.Int.Input(
                    "margin",
                    default=-1,
                    min=-1,
                    max=1024,
                    tooltip="hands: so many pixels around each hand, as older workflows have it. -1: one outline "
                    "around all hands, grown by the share below, which fits photos of any size.",
                ),
                io.Mask.Input(
                    "masks", optional=True, tooltip="prior: a batch of masks of similar scenes, such as your own ones."
                ),
                io.Custom("POSE_KEYPOINT").Input(
                    "keypoints",
                    optional=True,
                    tooltip="hands: hand keypoints of the photo, from any node that gives POSE_KEYPOINT.",
                ),
                io.Float.Input(
                    "share",
                    default=0.1,
                    min=0.0,
                    max=0.5,
                    step=0.01,
                    optional=True,
                    tooltip="hands, with a margin of -1: by which share of the photo's width the outline grows.",
                ),
                unit_input("margin"),
            ],
            outputs=[io.Mask.Output(display_name="mask", tooltip="The region of motion, in the photo's size.")],
        )

    @classmethod
    @noted
    def execute(cls, image, method, margin, masks=None, keypoints=None, share=0.1, unit="pixels") -> io.NodeOutput:
        from ..ivg_core.errors import IVGError
        from ..ivg_core.rom import fallback
        from ..ivg_core.rom.find import find_rom
        from ..ivg_core.rom.units import in_pixels

        photo = photos_of(image)[0]
        height, width = photo.shape[:2]
        if method == "white":
            mask = fallback.white_mask((width, height))
        elif method == "prior":
            if masks is None:
                raise IVGError("The prior is the mean of other masks: connect a batch of masks to `masks`.")
            mask = fallback.prior_mask(list(masks_of(masks)), (width, height))
        else:
            if not keypoints:
                raise IVGError(
                    "IVG Fallback RoM cannot see the hands itself: connect IVG Hand Keypoints to `keypoints`."
                )
            hands = hands_of(keypoints[0], width, height)
            if not hands:
                raise IVGError(
                    "No hand was found in the photo: lower the thresholds of IVG Hand Keypoints, choose another "
                    "method, or paint the region in IVG Edit Mask."
                )
            if margin >= 0:
                pixels = in_pixels(margin, UNITS[unit], width)
                mask = fallback.hand_hull_mask(photo, lambda image: hands, pixels)
            else:
                mask = find_rom(photo, fallback.draw_hulls(hands, (width, height)), grow=share).mask
        return io.NodeOutput(to_comfy(mask)[None])
