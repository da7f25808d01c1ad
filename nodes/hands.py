"""Hands: keypoints, pseudo masks, a score for any video, and the best of several videos."""

from __future__ import annotations

import logging

import comfy.model_management as mm
import comfy.utils
from comfy_api.latest import io, ui

from ._compat import found_by, supported
from ._edges import batch_of, frames_of, shown, to_comfy
from ._notes import noted, say

log = logging.getLogger("ivg")

PoseKeypoint = io.Custom("POSE_KEYPOINT")
NO_JOINTS = {"pose_keypoints_2d": 18, "face_keypoints_2d": 70}  # OpenPose's parts that are not hands, and their joints


class HandKeypoints(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HandKeypoints",
            display_name="IVG Hand Keypoints",
            category="IVG/hands",
            **found_by("hand pose", "hand detector", "hand landmarks", "mediapipe"),
            description="Finds the hands in photos or in the frames of a video: 21 joints each, a picture of them, and "
            "a mask of each frame's hands. A picture without hands gives none, and that is no error.",
            inputs=[
                io.Image.Input("image", tooltip="A photo, a batch of photos, or the frames of a video in order."),
                *threshold_inputs(),
                io.Int.Input("max_hands", default=10, min=1, max=100, tooltip="At most so many hands a picture."),
                io.Boolean.Input(
                    "video",
                    default=True,
                    tooltip="The pictures are frames of one video: a hand that is lost for a moment is looked for "
                    "where it was. Switch off for a batch of different photos.",
                ),
                io.Float.Input(
                    "dilate",
                    default=0.15,
                    min=0.0,
                    max=4.0,
                    step=0.01,
                    tooltip="The mask: by how much the outline of each hand's joints is grown, in lengths of its palm.",
                ),
                io.Combo.Input(
                    "backend",
                    options=["torch", "mediapipe"],
                    default="torch",
                    optional=True,
                    tooltip="torch: MediaPipe's networks in PyTorch, nothing to install. mediapipe: the original, "
                    "version 0.10.5 to 0.10.21, which must be installed; it misses more small hands.",
                ),
            ],
            outputs=[
                PoseKeypoint.Output(
                    display_name="keypoints",
                    tooltip="OpenPose keypoints of each picture, for any node that takes them",
                ),
                io.Image.Output(
                    display_name="overlay", tooltip="The pictures with the joints; R and L are the person's own hands."
                ),
                io.Mask.Output(display_name="mask", tooltip="The hands of each picture; black where there are none."),
                io.Int.Output(
                    display_name="count",
                    tooltip="Hands in the picture with the most of them; 0 if there are none.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(
        cls, image, palm_threshold, presence_threshold, max_hands, video, dilate, backend="torch"
    ) -> io.NodeOutput:
        from ..ivg_core.hands.draw import draw_hands
        from ..ivg_core.rom.annotate import mask_of_hands

        image = frames_of(image, "pictures")
        tracker = tracker_with(palm_threshold, presence_threshold, max_hands=max_hands, backend=backend)
        hands = tracker.track(image) if video else tracker.detect(image)
        size = (image.shape[2], image.shape[1])
        overlay = to_comfy(draw_hands(image, hands))
        mask = batch_of([mask_of_hands(found, size, dilate) for found in hands])
        count = max(len(found) for found in hands)
        keypoints = [pose_keypoints(found, size) for found in hands]
        return io.NodeOutput(keypoints, overlay, to_comfy(mask), count, ui=ui.PreviewImage(shown(overlay), cls=cls))


class IVGAnnotateRoM(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGAnnotateRoM",
            display_name="IVG Annotate RoM",
            category="IVG/region",
            **found_by("region of motion", "motion mask", "label a clip", "training masks"),
            description="The region of motion of a video that exists, made from its hands or from what moves in it: a "
            "mask of each frame, and the union of all. For training data, and to see what a mask could be like.",
            inputs=[
                io.Image.Input("frames", tooltip="The frames of one video, in order."),
                io.Float.Input(
                    "dilate",
                    default=0.15,
                    min=0.0,
                    max=4.0,
                    step=0.01,
                    tooltip="By how much each outline is grown, in lengths of that hand's palm.",
                ),
                io.Boolean.Input(
                    "arms",
                    default=False,
                    tooltip="Also mark the forearms, as far as skin or sleeve can be followed from the wrist; none "
                    "where no arm is found.",
                ),
                io.Int.Input(
                    "min_hand_frames",
                    default=2,
                    min=1,
                    max=1 << 16,
                    tooltip="With hands in fewer frames than this no hand is marked.",
                ),
                io.Boolean.Input(
                    "released",
                    default=False,
                    tooltip="As the authors' script: two hands at most, every confidence at 0.1, one outline around "
                    "both hands, nothing grown. The other settings are then without effect.",
                    **supported(io.Boolean.Input, advanced=True),
                ),
                *threshold_inputs(),
                io.Combo.Input(
                    "source",
                    options=["hands", "motion", "both"],
                    default="hands",
                    optional=True,
                    tooltip="hands: the outlines of the hands. motion: whatever changes from the first frame on. both: "
                    "the hands, and what moves near them.",
                ),
                io.Boolean.Input(
                    "follow_camera",
                    default=True,
                    optional=True,
                    tooltip="Where the camera moves, each frame's mask is laid over the first frame.",
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="The union over the frames; black if nothing was found."),
                io.Mask.Output(
                    display_name="frame_masks",
                    tooltip="One mask a frame; with follow_camera as the first frame sees the scene.",
                ),
                io.Image.Output(display_name="overlay", tooltip="The frames with the mask in orange, and the joints."),
                io.String.Output(display_name="report", tooltip="How many frames show hands, and how much moves."),
            ],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(
        cls, frames, dilate, arms, min_hand_frames, released, palm_threshold, presence_threshold, source="hands",
        follow_camera=True,
    ) -> io.NodeOutput:  # fmt: skip
        from ..ivg_core.hands.draw import draw_hands
        from ..ivg_core.rom.annotate import RELEASED_TRACKER, annotate_clip
        from ..ivg_core.rom.camera import laid_over
        from ..ivg_core.rom.preview import draw_tint

        frames = frames_of(frames)
        thresholds = {"palm_threshold": palm_threshold, "presence_threshold": presence_threshold}
        found = annotate_clip(
            frames,
            tracker_with(**(RELEASED_TRACKER if released else thresholds)),
            dilate=dilate,
            arms=arms,
            min_hand_frames=min_hand_frames,
            evidence="hands" if released else source,
            follow_camera=follow_camera,
            parity=released,
        )
        report = f"Hands in {found.frames_with_hands} of {len(frames)} frames; the mask covers {found.coverage:.0%}."
        if not found.mask.any():
            report += " It is black, so nothing would move: lower the thresholds, or take another mask."
        say(report)
        drawn = draw_hands(frames, found.hands)
        drawn = laid_over(drawn, found.cameras) if found.cameras else drawn
        overlay = batch_of([draw_tint(*pair) for pair in zip(drawn, found.frame_masks, strict=True)])
        overlay = to_comfy(overlay)
        return io.NodeOutput(
            to_comfy(found.mask)[None],
            to_comfy(found.frame_masks),
            overlay,
            report,
            ui=ui.PreviewImage(shown(overlay), cls=cls),
        )


class IVGHandScore(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGHandScore",
            display_name="IVG Hand Score",
            category="IVG/hands",
            **found_by("hand quality", "bad hands", "rate hands"),
            description="Scores the hands of a video from any model, 0 to 1: are they sure to be hands, do they stay, "
            "keep their bones' lengths, bend as hands do, move smoothly, have five fingers. Needs no true video.",
            inputs=[
                io.Image.Input("frames", tooltip="The frames of one video, in order."),
                *threshold_inputs(),
            ],
            outputs=[
                io.Float.Output(display_name="total", tooltip="0 to 1, 1 is sound; 0 where no hand is found."),
                io.String.Output(display_name="table", tooltip="The score and its parts, as text."),
                io.Boolean.Output(display_name="hand_found", tooltip="False where there is no hand to be scored."),
            ],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(cls, frames, palm_threshold, presence_threshold) -> io.NodeOutput:
        from ..ivg_core.hands.score import as_text, score_hands

        score = score_hands(frames_of(frames), tracker_with(palm_threshold, presence_threshold))
        return io.NodeOutput(score.total, as_text({"video": score}), score.found)


class IVGPickBest(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGPickBest",
            display_name="IVG Pick Best",
            category="IVG/hands",
            **found_by("best seed", "best hands", "choose video"),
            description="From several videos of the same scene, such as several seeds, the one with the best hands, "
            "and the table of their scores. Videos without a hand come last.",
            inputs=[
                io.Image.Input(
                    "frames", tooltip="A video, or several from a node that gives a list, such as IVG Sampler."
                ),
                io.Image.Input("frames_2", optional=True, tooltip="A second video, or list of videos."),
                io.Image.Input("frames_3", optional=True, tooltip="A third video, or list of videos."),
                io.Image.Input("frames_4", optional=True, tooltip="A fourth video, or list of videos."),
            ],
            outputs=[
                io.Image.Output(display_name="best", tooltip="The frames of the best video."),
                io.String.Output(display_name="table", tooltip="The scores of all, in the order in which they came."),
                io.Int.Output(display_name="number", tooltip="Which one it is, counted from 1."),
                io.Float.Output(display_name="total", tooltip="Its score, 0 to 1."),
            ],
            hidden=[io.Hidden.unique_id],
            is_input_list=True,
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(cls, frames, frames_2=(), frames_3=(), frames_4=()) -> io.NodeOutput:
        from ..ivg_core.hands.score import as_text, score_hands

        # an unconnected input of a node that takes lists comes as none, or as a list of none
        given = [video for many in (frames, frames_2, frames_3, frames_4) for video in many or () if video is not None]
        videos = [frames_of(video) for video in given]
        tracker, scores = tracker_with(), []
        bar = comfy.utils.ProgressBar(len(videos), node_id=cls.hidden.unique_id)
        for index, video in enumerate(videos):
            mm.throw_exception_if_processing_interrupted()
            scores.append(score_hands(video, tracker))
            bar.update_absolute(index + 1, len(videos))
        best = max(range(len(videos)), key=lambda index: (scores[index].found, scores[index].total))
        if not scores[best].found:
            log.warning("There is no hand in any of the videos, so the first one is taken.")
        table = as_text({f"video {index}": score for index, score in enumerate(scores, 1)})
        return io.NodeOutput(videos[best], f"{table}\nbest: video {best + 1}", best + 1, scores[best].total)


def threshold_inputs() -> list:
    """How sure the two networks must be."""
    return [
        io.Float.Input(
            "palm_threshold",
            default=0.5,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="How sure the palm detector must be. Lower finds more hands, and more that are none.",
        ),
        io.Float.Input(
            "presence_threshold",
            default=0.5,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="How sure the second network, which places the joints, must be that it sees a hand.",
        ),
    ]


def tracker_with(palm_threshold: float = 0.5, presence_threshold: float = 0.5, **options):
    """A hand tracker where ComfyUI computes; its networks have 8 MB and are let go after use."""
    from ..ivg_core.hands.tracker import HandTracker

    return HandTracker(
        device=mm.get_torch_device(), palm_threshold=palm_threshold, presence_threshold=presence_threshold, **options
    )


def pose_keypoints(hands: list, size: tuple[int, int]) -> dict:
    """One frame of POSE_KEYPOINT: OpenPose's form, in which a person has one left and one right hand.

    Args:
        hands: of the frame.
        size: (width, height) in pixels.
    """
    sides = {"hand_left_keypoints_2d": [], "hand_right_keypoints_2d": []}
    for hand in hands:
        score = max(hand.presence, 0.01)  # 0 would say that there is no joint
        joints = [value for x, y in hand.joints.tolist() for value in (x, y, score)]
        sides["hand_right_keypoints_2d" if hand.right >= 0.5 else "hand_left_keypoints_2d"].append(joints)
    people = []
    for index in range(max(len(found) for found in sides.values())):
        person = {part: [0.0] * 3 * joints for part, joints in NO_JOINTS.items()}
        for side, found in sides.items():
            person[side] = found[index] if index < len(found) else [0.0] * 63
        people.append(person)
    return {"canvas_width": size[0], "canvas_height": size[1], "people": people}
