"""Box tracks: where things are in a picture over the time of a clip, and what they are called.

Places are shares of the picture and times shares of the clip, so that a track fits any size and any number of frames.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from ..errors import IVGError

#: x1, y1, x2, y2: left, upper, right and lower edge, 0..1.
Box: TypeAlias = "tuple[float, float, float, float]"
Easing = Literal["linear", "smooth"]
EASINGS = get_args(Easing)
#: As many as the released networks were trained with.
MOST_THINGS = 8


@dataclass(frozen=True)
class Keyframe:
    """Where a thing is at one moment.

    Args:
        at: share of the clip's time, 0 (first frame) to 1 (last frame).
        box: where; None: from here on it is not there.
    """

    at: float
    box: Box | None


@dataclass(frozen=True)
class Thing:
    """One thing on its way. Before its first keyframe it is as at the first, after its last as at the last.

    Args:
        phrase: what it is, such as "cup".
        keyframes: at least one, in order of time, no two at one time.
        easing: between two keyframes it moves evenly ("linear"), or sets out and arrives gently ("smooth").

    Raises:
        IVGError: no phrase, no keyframe, a time or a box that cannot be.
    """

    phrase: str
    keyframes: tuple[Keyframe, ...]
    easing: Easing = "smooth"

    def __post_init__(self) -> None:
        if not isinstance(self.phrase, str) or not self.phrase.strip():
            raise IVGError('A thing of the box track has no name: say what it is, such as "cup".')
        name = f'the track of "{self.phrase}"'
        if not self.keyframes:
            raise IVGError(f"In {name} there is no box: draw one.")
        if self.easing not in EASINGS:
            raise IVGError(f"In {name} the easing is {self.easing!r}: choose {' or '.join(EASINGS)}.")
        for key in self.keyframes:
            if not _is_number(key.at) or not 0 <= key.at <= 1:
                raise IVGError(f"In {name} a box is at time {key.at!r}: give 0 (first frame) to 1 (last frame).")
            if key.box is not None:
                check_box(key.box, f"at time {key.at:g} of {name}")
        for one, other in pairwise(self.keyframes):
            if one.at >= other.at:
                raise IVGError(f"In {name} time {other.at:g} comes after {one.at:g}: put the boxes in order of time.")

    @classmethod
    def of_frames(cls, phrase: str, boxes: Sequence[Box | None]) -> Thing:
        """A thing whose box is known in every frame of a clip; None: it is not there."""
        times = frame_times(len(boxes))
        return cls(phrase, tuple(map(Keyframe, times, boxes)), "linear")

    def at(self, time: float) -> Box | None:
        """Where it is at a time 0..1; None: it is not there."""
        before = [key for key in self.keyframes if key.at <= time]
        if not before:
            return self.keyframes[0].box
        start = before[-1]
        if start.box is None or len(before) == len(self.keyframes):
            return start.box
        goal = self.keyframes[len(before)]
        if goal.box is None:
            return start.box
        done = (time - start.at) / (goal.at - start.at)
        if self.easing == "smooth":
            done = done * done * (3 - 2 * done)
        x1, y1, x2, y2 = (a + done * (b - a) for a, b in zip(start.box, goal.box, strict=True))
        return x1, y1, x2, y2


@dataclass(frozen=True)
class Track:
    """The things of a clip, each on its way.

    Args:
        things: 1 to 8.

    Raises:
        IVGError: none, or too many.
    """

    things: tuple[Thing, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.things) <= MOST_THINGS:
            raise IVGError(f"The box track holds {len(self.things)} things: give 1 to {MOST_THINGS}.")

    @property
    def phrases(self) -> list[str]:
        return [thing.phrase for thing in self.things]

    def boxes(self, num_frames: int) -> Tensor:
        """Where everything is in each frame of a clip.

        Args:
            num_frames: F >= 1.

        Returns:
            (F, N, 5) float32: x1, y1, x2, y2, and 1; where a thing is not there, all 0.
        """
        rows = [[thing.at(time) for thing in self.things] for time in frame_times(num_frames)]
        return torch.tensor([[(*box, 1.0) if box else (0.0,) * 5 for box in row] for row in rows])

    @classmethod
    def of_boxes(cls, boxes: Tensor, phrases: Sequence[str]) -> Track:
        """The track of things whose boxes are known in every frame, which `boxes` then gives back.

        Args:
            boxes: (F, N or more, 5), see `boxes`.
            phrases: of the N things.
        """
        rows = boxes[:, : len(phrases)].unbind(1)
        found = [[(x1, y1, x2, y2) if there else None for x1, y1, x2, y2, there in row.tolist()] for row in rows]
        return cls(tuple(map(Thing.of_frames, phrases, found)))

    @staticmethod
    def joined(several: Iterable[Track]) -> Track:
        """One track of the things of several.

        Raises:
            IVGError: they are too many together.
        """
        return Track(tuple(thing for track in several for thing in track.things))

    def to_json(self) -> str:
        """The form in which tracks are kept in files and workflows."""
        things = [
            {
                "phrase": thing.phrase,
                "easing": thing.easing,
                "keyframes": [{"at": key.at, "box": key.box and list(key.box)} for key in thing.keyframes],
            }
            for thing in self.things
        ]
        return json.dumps({"things": things}, ensure_ascii=False)

    @classmethod
    def of_json(cls, values: Any, where: str = "the box track") -> Track:
        """The track that `to_json` wrote, after the JSON was read.

        Args:
            values: {"things": [{"phrase": …, "keyframes": [{"at": 0..1, "box": [x1, y1, x2, y2] or null}, …],
                "easing": "smooth" or "linear"}, …]}; without `easing` it is smooth.
            where: what to call it in an error.

        Raises:
            IVGError: it is something else.
        """
        try:
            things = [
                Thing(
                    thing["phrase"],
                    tuple(Keyframe(key["at"], None if key["box"] is None else _box(key["box"])) for key in keyframes),
                    thing.get("easing", "smooth"),
                )
                for thing in values["things"]
                for keyframes in [thing["keyframes"]]
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise IVGError(
                f'{where} is not of the form {{"things": [{{"phrase": "cup", "keyframes": [{{"at": 0, "box": '
                f"[0.1, 0.2, 0.3, 0.4]}}]}}]}} ({type(error).__name__}: {error}): draw it anew, or mend it."
            ) from error
        return cls(tuple(things))


def frame_times(num_frames: int) -> list[float]:
    """When each frame of a clip is, as a share of its time."""
    return [index / max(num_frames - 1, 1) for index in range(num_frames)]


def filled_up(things: Tensor) -> Tensor:
    """Boxes or phrases of a track with those of the things that are missing to `MOST_THINGS`, which are all 0.

    Args:
        things: (..., N, D).

    Returns:
        (..., 8, D).
    """
    return torch.nn.functional.pad(things, (0, 0, 0, MOST_THINGS - things.shape[-2]))


def seen_in(boxes: Tensor, part: Box) -> Tensor:
    """Boxes as a part of the picture shows them; a thing of which it shows nothing is not there.

    Args:
        boxes: (..., 5), see `Track.boxes`.
        part: of the picture.

    Returns:
        (..., 5), in shares of the part.
    """
    left, top, right, bottom = part
    origin = boxes.new_tensor([left, top, left, top])
    size = boxes.new_tensor([right - left, bottom - top] * 2)
    shown = ((boxes[..., :4] - origin) / size).clamp(0, 1)
    there = (boxes[..., 4] > 0) & (shown[..., 0] < shown[..., 2]) & (shown[..., 1] < shown[..., 3])
    return torch.cat([shown, boxes.new_ones(*boxes.shape[:-1], 1)], dim=-1) * there[..., None]


def box_in_picture(corners: Sequence[float], size: tuple[float, float]) -> Box | None:
    """The part of a box that lies in the picture; None: nothing of it does.

    Args:
        corners: x1, y1, x2, y2 in pixels.
        size: (width, height) of the picture.
    """
    x1, y1, x2, y2 = (min(max(at / side, 0.0), 1.0) for at, side in zip(corners, size * 2, strict=True))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def check_box(box: Sequence[float], where: str) -> None:
    """Lets pass a box with an area, inside the picture.

    Raises:
        IVGError: it is none; the sentence says where.
    """
    if len(box) != 4 or not all(map(_is_number, box)):
        raise IVGError(f"The box {where} is {list(box)}: give four numbers, x1, y1, x2, y2.")
    x1, y1, x2, y2 = box
    said = f"The box {where} is {', '.join(f'{value:.3g}' for value in box)}"
    if min(box) < 0 or max(box) > 1:
        raise IVGError(f"{said}, which leaves the picture: keep it between 0 and 1.")
    if x1 >= x2 or y1 >= y2:
        raise IVGError(f"{said}, which has no area: give the upper left corner first, then the lower right.")


def _box(values: Any) -> Any:
    return tuple(values)  # how many they are, and what, `check_box` says


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
