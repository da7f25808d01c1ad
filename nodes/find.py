"""A region of motion for a real photo: from its hands, the things that the sentence names, and a draft video."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from ._compat import found_by, supported
from ._edges import frames_of, hands_of, masks_if_any, masks_of, photos_of, shown, to_comfy
from ._notes import noted, say
from .hands import PoseKeypoint, tracker_with

#: What the list says -> what the library calls it.
OUTLINES = {"one outline": "one", "outline each part": "each", "as it is": "none"}


def outline_input() -> io.Combo.Input:
    """How the region is outlined, the same on each node."""
    return io.Combo.Input(
        "shape",
        options=list(OUTLINES),
        default="one outline",
        tooltip="one outline: one region around all of it, with the way between hand, tool and thing. outline each "
        "part: apart. as it is: with holes and bays.",
    )


class IVGNameThings(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGNameThings",
            display_name="IVG Name Things",
            category="IVG/text",
            **found_by("objects in a sentence", "sam3 prompt", "nouns"),
            description="The things that the sentence names, as a prompt for SAM3 (core's CLIP Text Encode and SAM3 "
            "Detect) or another node that finds things by their names.",
            inputs=[
                io.String.Input(
                    "action",
                    multiline=True,
                    default="",
                    placeholder="The person cuts the carrot with a knife",
                    tooltip='What will be done, in an English sentence with its articles: "cut the carrot", not '
                    '"cut carrot" (IVG Enrich Action writes such a sentence).',
                ),
                io.Int.Input(
                    "hands",
                    default=4,
                    min=0,
                    max=16,
                    tooltip="At most so many hands are looked for; 0 leaves hands out of the prompt.",
                ),
                io.Int.Input("each", default=2, min=1, max=16, tooltip="At most so many of each thing."),
                io.String.Input(
                    "edited",
                    default="",
                    placeholder="carrot, knife",
                    tooltip="Your own names, parted by commas, in place of the sentence's. SAM3 reads English.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="prompt",
                    tooltip='As SAM3 reads it: "hand:4, carrot:2, knife:2", where :2 is the most.',
                ),
                io.String.Output(display_name="names", tooltip="The names alone, parted by commas."),
            ],
        )

    @classmethod
    @noted
    def execute(cls, action, hands, each, edited) -> io.NodeOutput:
        from ..ivg_core.enrich.things import named_things, segmenter_prompt
        from ..ivg_core.errors import IVGError

        names = [name.strip() for name in edited.split(",") if name.strip()] or named_things(action)
        if not names and not hands:
            if not action.strip():
                raise IVGError("The action is empty: write what is done, or your own names into `edited`.")
            raise IVGError(
                f'No thing is named in "{action.strip()}": write an English sentence with articles, such as "cut the '
                'carrot with a knife", or your own names into `edited`.'
            )
        prompt = segmenter_prompt(names, each, hands)
        say(prompt if names else f"{prompt} - the sentence names no thing: write names into `edited`.")
        return io.NodeOutput(prompt, ", ".join(names))


class IVGRoMFromThings(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGRoMFromThings",
            display_name="IVG RoM from Things",
            category="IVG/region",
            **found_by("region of motion", "motion mask", "mask of hands and objects"),
            description="A region of motion for a real photo, from its hands and the things that the action needs: one "
            "outline around them, grown a little. Hands alone are enough.",
            inputs=[
                io.Image.Input("image", tooltip="The photo (the first one of a batch)."),
                io.Float.Input(
                    "grow",
                    default=-1.0,
                    min=-1.0,
                    max=0.5,
                    step=0.01,
                    tooltip="By which share of the photo's width the region grows. A negative number takes 0.05, or "
                    "0.10 where only hands are known.",
                ),
                io.Float.Input(
                    "big",
                    default=0.2,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="A thing that covers more of the photo than this share (a table, a fridge) counts only "
                    "near the hands. 1 takes all things whole.",
                ),
                outline_input(),
                io.Boolean.Input(
                    "arms",
                    default=False,
                    tooltip="Also take the forearms of the keypoints' hands, as far as skin or sleeve can be followed "
                    "from the wrist; none where no arm is found.",
                    **supported(io.Boolean.Input, advanced=True),
                ),
                io.Mask.Input(
                    "things",
                    optional=True,
                    tooltip="The things: a batch with one mask each, as SAM3 Detect gives with individual_masks, or "
                    "one mask of them all. A batch without any is no error while hands are there.",
                ),
                io.Mask.Input("hands", optional=True, tooltip="The hands as a mask, or a batch of them."),
                PoseKeypoint.Input(
                    "keypoints", optional=True, tooltip="The hands as keypoints of the photo, from IVG Hand Keypoints."
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="The region of motion, in the photo's size."),
                io.Mask.Output(
                    display_name="near",
                    tooltip="Hands and things before they were outlined and grown, for IVG RoM from Video.",
                ),
                io.Image.Output(display_name="preview", tooltip="The photo with the region in orange."),
                io.String.Output(display_name="report", tooltip="What the region is made of."),
            ],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(cls, image, grow, big, shape, arms, things=None, hands=None, keypoints=None) -> io.NodeOutput:
        from ..ivg_core.errors import IVGError
        from ..ivg_core.rom.find import find_rom
        from ..ivg_core.rom.preview import draw_rom

        photo = photos_of(image)[0]
        masks = masks_if_any(things)
        found = hands_mask(photo, hands, keypoints, arms)
        if not found.any() and not any(mask.any() for mask in masks):
            raise IVGError(NOTHING_FOUND if things is None else NOTHING_FOUND_BY_NAME)
        region = find_rom(photo, found, masks, big=big, shape=OUTLINES[shape], grow=grow if grow >= 0 else None)
        say(region.report)
        mask = to_comfy(region.mask)
        preview = draw_rom(to_comfy(photo), mask)[None]
        return io.NodeOutput(
            mask[None], to_comfy(region.near)[None], preview, region.report, ui=ui.PreviewImage(shown(preview), cls=cls)
        )


class IVGRoMFromVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGRoMFromVideo",
            display_name="IVG RoM from Video",
            category="IVG/region",
            **found_by("region of motion", "motion mask", "what moves", "optical flow"),
            description="A region of motion from a draft: a small quick video of the photo by any image-to-video "
            "model. What moves in it counts near the hands and things; the camera and drifting colours are taken out.",
            inputs=[
                io.Image.Input("frames", tooltip="The frames of the draft, or of any clip, in order."),
                io.Float.Input(
                    "sensitivity",
                    default=1.0,
                    min=0.25,
                    max=4.0,
                    step=0.05,
                    tooltip="Higher counts weaker changes as motion.",
                ),
                io.Float.Input(
                    "reach",
                    default=0.15,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Motion counts within this share of the width around hands and things. 0 counts it "
                    "everywhere.",
                ),
                outline_input(),
                io.Float.Input(
                    "grow",
                    default=0.02,
                    min=0.0,
                    max=0.5,
                    step=0.01,
                    tooltip="By which share of the photo's width the region grows.",
                ),
                io.Combo.Input(
                    "when_useless",
                    options=["hands and things", "error"],
                    default="hands and things",
                    tooltip="If the draft does not begin with the photo, leaves its scene or hardly moves: take hands "
                    "and things alone and say so, or stop.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The photo that the draft was made from: it gives the size, and it is checked that the "
                    "draft begins with it. Without it the draft's first frame is the photo.",
                ),
                io.Mask.Input(
                    "near", optional=True, tooltip="Hands and things of the photo: `near` of IVG RoM from Things."
                ),
                PoseKeypoint.Input(
                    "keypoints",
                    optional=True,
                    tooltip="Hand keypoints of the photo. Without these and without `near` the hands are looked for "
                    "here, in the photo and else in the frames.",
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="The region of motion, in the photo's size."),
                io.Mask.Output(
                    display_name="frame_masks", tooltip="One mask a frame of the draft, at most 1024 pixels wide."
                ),
                io.Image.Output(display_name="preview", tooltip="The photo with the region in orange."),
                io.String.Output(display_name="report", tooltip="What was used and what was refused, and why."),
            ],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(
        cls, frames, sensitivity, reach, shape, grow, when_useless, image=None, near=None, keypoints=None
    ) -> io.NodeOutput:
        from ..ivg_core.rom.draft import rom_from_draft
        from ..ivg_core.rom.preview import draw_rom
        from ..ivg_core.rom.region import GROW, GROW_HANDS

        frames = frames_of(frames)
        photo = frames[0] if image is None else photos_of(image)[0]
        known = any(mask.any() for mask in masks_if_any(near))
        needed = masks_of(near).amax(0) if known else hands_mask(photo, None, keypoints)
        if not needed.any() and keypoints is None:
            needed = hands_seen(photo, frames)
        found = rom_from_draft(
            frames,
            None if image is None else photo,
            needed,
            sensitivity=sensitivity,
            reach=reach,
            shape=OUTLINES[shape],
            grow=grow,
            grow_alone=GROW if known else GROW_HANDS,
            when_useless="error" if when_useless == "error" else "warn",
        )
        say(found.report)
        mask = to_comfy(found.mask)
        preview = draw_rom(to_comfy(photo), mask)[None]
        return io.NodeOutput(
            mask[None], to_comfy(found.frame_masks), preview, found.report, ui=ui.PreviewImage(shown(preview), cls=cls)
        )


NOTHING_FOUND = (
    "There is no hand in this photo: choose your own photo in Load Image (it should show the hands), lower the "
    "thresholds of IVG Hand Keypoints, connect masks of the things, or mute this node (Ctrl+M) and paint the region in "
    "IVG Edit Mask."
)
NOTHING_FOUND_BY_NAME = (
    "Neither a hand nor a thing was found in this photo: choose your own in Load Image, look at the prompt of IVG Name "
    "Things (its `edited` takes your own names), or mute this node (Ctrl+M) and paint the region in IVG Edit Mask."
)


def hands_mask(photo: torch.Tensor, hands: torch.Tensor | None, keypoints: list | None, arms: bool = False):
    """The hands of a photo (H, W) of 0 and 1, from a mask, keypoints or both; all 0 where neither shows any."""
    from ..ivg_core.media.images import resize_mask
    from ..ivg_core.rom.find import hands_drawn

    height, width = photo.shape[:2]
    found = hands_drawn(hands_of(keypoints[0], width, height) if keypoints else [], photo, arms)
    if masks := masks_if_any(hands):
        found = torch.maximum(found, resize_mask(torch.stack(masks).amax(0).cpu(), (width, height)))
    return found


def hands_seen(photo: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """The hands that the tracker sees in the photo, or else in all frames: a draft may show them later."""
    from ..ivg_core.media.clips import even_indices
    from ..ivg_core.media.images import resize_mask
    from ..ivg_core.rom.draft import FRAMES
    from ..ivg_core.rom.fallback import draw_hulls

    tracker, size = tracker_with(), (photo.shape[1], photo.shape[0])
    found = draw_hulls(tracker(photo), size)
    if found.any():
        return found
    some = frames[even_indices(len(frames), FRAMES)]
    joints = [hand.joints for hands in tracker.track(some) for hand in hands]
    return resize_mask(draw_hulls(joints, (frames.shape[2], frames.shape[1])), size)
