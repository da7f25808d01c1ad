"""Box tracks: where things of a photo go. Drawn in the graph, or taken from masks, hands, boxes and text."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ._compat import found_by
from ._draw_track import draw_track
from ._edges import frames_of, masks_of, photos_of, shown, to_comfy
from ._inputs import BoxTrack
from ._notes import noted, say
from .hands import tracker_with

NOTHING_DRAWN = '{"things": []}'
#: Width and height where there is no photo: the shape of the editor's empty grid.
NO_PHOTO = (768, 512)


class IVGBoxTrack(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGBoxTrack",
            display_name="IVG Box Track",
            category="IVG/boxes",
            **found_by("bounding box", "draw boxes", "trajectory", "motion path", "drag", "smcd"),
            description="Where things of a photo go: draw a box around each, choose another time and drag the box "
            "there. Gives the track, and the area that the boxes pass over as a region of motion for any model.",
            inputs=[
                io.String.Input(
                    "track",
                    default=NOTHING_DRAWN,
                    socketless=True,
                    dynamic_prompts=False,
                    tooltip="Drag on the picture: a new box. Drag a box or its edges at another time: it goes there. "
                    "Delete takes the box of this time away. The track is kept as text, in shares of picture and time.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The photo to draw on (the first one of a batch). It gives the mask's size; without it "
                    "the mask is 768 x 512.",
                ),
                also_input(),
            ],
            outputs=[
                BoxTrack.Output(display_name="track", tooltip="What is where, at each time of the clip."),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="The region of motion: all that the boxes pass over, in the photo's size.",
                ),
                io.String.Output(display_name="report", tooltip="In words, what goes where."),
            ],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(cls, track, image=None, also=None) -> io.NodeOutput:
        from ..ivg_core.errors import IVGError
        from ..ivg_core.media.tracks import Track
        from ..ivg_core.rom.swept import swept

        parts = [part for part in (also, drawn_track(track)) if part is not None]
        if not parts:
            raise IVGError(
                "Nothing is drawn yet: drag on the picture of IVG Box Track to draw a box around the thing that moves."
            )
        joined = Track.joined(parts)
        width, height = NO_PHOTO
        photo = torch.zeros(height, width, 3) if image is None else photos_of(image)[0]
        mask = to_comfy(swept(joined, size_of(photo)))
        report = report_of(joined, mask)
        say(report)
        plain, region = shown(to_comfy(photo)[None]), shown(mask[None])
        drawn = ui.PreviewImage(draw_track(plain[0], joined, region[0])[None], cls=cls).values
        below = ui.PreviewImage(plain, cls=cls).values if image is not None else []  # for the editor to draw on
        return io.NodeOutput(joined, mask[None], report, ui={"images": drawn, "ivg_photo": below})


class IVGBoxTrackFrom(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGBoxTrackFrom",
            display_name="IVG Convert to Box Track",
            category="IVG/boxes",
            **found_by("bounding box", "bbox", "masks to boxes", "track hands", "smcd"),
            description="A box track from what you already have: the masks of a clip, the hands in it, the boxes of a "
            "detector, or text. Connect one of them.",
            inputs=[
                io.String.Input(
                    "phrase",
                    default="",
                    placeholder="cup",
                    tooltip="What moves, in English. Hands and the things of a JSON text have names of their own.",
                ),
                io.String.Input(
                    "text",
                    default="",
                    multiline=True,
                    dynamic_prompts=False,
                    placeholder="10,20,60,80",
                    tooltip="A bbox.txt, which has a line x1,y1,x2,y2 in pixels for each frame, or a track as JSON.",
                ),
                io.Mask.Input(
                    "masks",
                    optional=True,
                    tooltip="One mask a frame: the box around what is white. Black: it is not there.",
                ),
                io.Image.Input(
                    "frames", optional=True, tooltip="The frames of a clip: its hands are found and followed."
                ),
                io.Custom("BOUNDING_BOX").Input(
                    "boxes",
                    optional=True,
                    extra_dict={"forceInput": True},
                    tooltip="Boxes of each frame in pixels, as the detectors of newer ComfyUI give. The first of each "
                    "frame counts.",
                ),
                io.Image.Input(
                    "image", optional=True, tooltip="A picture of the size that the boxes in pixels are meant for."
                ),
                also_input(),
            ],
            outputs=[
                BoxTrack.Output(display_name="track", tooltip="What is where, at each time of the clip."),
                io.String.Output(display_name="report", tooltip="In words, what goes where."),
            ],
        )

    @classmethod
    @noted
    def execute(cls, phrase, text, masks=None, frames=None, boxes=None, image=None, also=None) -> io.NodeOutput:
        from ..ivg_core.errors import IVGError
        from ..ivg_core.hands.boxes import track_of_hands
        from ..ivg_core.media.track_files import parse_track
        from ..ivg_core.media.track_masks import track_of_masks
        from ..ivg_core.media.tracks import Track

        given = {"text": text.strip() or None, "masks": masks, "frames": frames, "boxes": boxes}
        sources = [name for name, value in given.items() if value is not None]
        if len(sources) != 1:
            raise IVGError(
                f"IVG Convert to Box Track takes one of {', '.join(given)}, and {len(sources)} are given: leave out "
                "all but one."
                if sources
                else f"IVG Convert to Box Track has nothing to convert: give it one of {', '.join(given)}."
            )
        size = None if image is None else size_of(photos_of(image)[0])
        if masks is not None:
            found = track_of_masks(masks_of(masks), phrase)
        elif frames is not None:
            frames = frames_of(frames)
            found = track_of_hands(tracker_with().track(frames), size_of(frames[0]))
        elif boxes is not None:
            found = track_of_boxes(boxes, phrase, size)
        else:
            found = parse_track(text, "The text", phrase, size)
        track = Track.joined([found] if also is None else [also, found])
        report = report_of(track)
        say(report)
        return io.NodeOutput(track, report)


def also_input():
    """A track to which this node adds its things."""
    return BoxTrack.Input("also", optional=True, tooltip="Another box track, whose things come first.")


def drawn_track(text: str):
    """The track that the editor keeps as text; None where nothing is drawn.

    Raises:
        IVGError: it is no track.
    """
    from ..ivg_core.errors import IVGError
    from ..ivg_core.media.track_files import parse_track

    if "".join(text.split()) in ("", '{"things":[]}'):
        return None
    if not text.lstrip().startswith("{"):
        raise IVGError("The drawn box track is no JSON: draw it anew, or bring text by IVG Convert to Box Track.")
    return parse_track(text, "The drawn box track")


def track_of_boxes(boxes: dict | list, phrase: str, size: tuple[int, int] | None):
    """The track of core's BOUNDING_BOX: of each frame the first box, as far as it lies in the picture.

    Args:
        boxes: one box, those of one picture, or those of each frame; each {"x", "y", "width", "height"} in pixels.
        phrase: what they are around.
        size: (width, height) of the picture that they are meant for.

    Raises:
        IVGError: there are none, they are something else, or the size is missing.
    """
    from ..ivg_core.errors import IVGError
    from ..ivg_core.media.tracks import Thing, Track

    if size is None:
        raise IVGError("The boxes count pixels, and of which picture is not known: connect it to image.")
    boxes = [boxes] if isinstance(boxes, dict) else boxes
    frames = boxes if all(isinstance(frame, list) for frame in boxes) else [boxes]
    try:
        places = [_shares_of(frame[0], size) if frame else None for frame in frames]
    except (KeyError, TypeError) as error:
        raise IVGError(f"These are no boxes of x, y, width and height ({type(error).__name__}: {error}).") from error
    if not any(places):
        raise IVGError("No box lies in the picture: look at the node that should have found them.")
    return Track((Thing.of_frames(phrase, places),))


def _shares_of(box: dict, size: tuple[int, int]):
    """x1, y1, x2, y2 as shares of the picture, cut at its edges; None if nothing of it lies in the picture."""
    from ..ivg_core.media.tracks import box_in_picture

    return box_in_picture((box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]), size)


def size_of(picture: Tensor) -> tuple[int, int]:
    """(width, height) of (H, W, 3)."""
    return picture.shape[1], picture.shape[0]


def report_of(track, mask: Tensor | None = None) -> str:
    """What goes where, a line a thing, and how much of the picture the mask covers."""
    lines = [f"{thing.phrase}: {_way_of(thing)}" for thing in track.things]
    if mask is not None:
        lines.append(f"The region of motion covers {mask.mean():.0%} of the picture.")
    return "\n".join(lines)


def _way_of(thing) -> str:
    there = [key for key in thing.keyframes if key.box is not None]
    if not there:
        return "is never there"
    start, goal = (_place_of(key.box) for key in (there[0], there[-1]))
    way = f"stays at {start}" if start == goal else f"goes from {start} to {goal}, {thing.easing}"
    gone = [f"{key.at:.0%}" for key in thing.keyframes if key.box is None]
    return f"{way}; vanishes at {', '.join(gone)} of the time" if gone else way


def _place_of(box) -> str:
    """The middle of a box, as shares of width and height."""
    x1, y1, x2, y2 = box
    return f"{(x1 + x2) / 2:.0%}, {(y1 + y2) / 2:.0%}"
