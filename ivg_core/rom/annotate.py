"""Pseudo masks: where the hands of a clip go, or what moves in it, as the Region of Motion to train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from .arms import draw_arms
from .camera import laid_over, reduced, stood_still
from .draft import SMALLEST, STAYS, Watcher, moving_parts
from .fallback import draw_hulls, fill_hulls
from .morphology import grown
from .refine import apply_threshold, grow_by, resize_hard
from .region import REACH, region_around

if TYPE_CHECKING:
    from ..hands.hand import Hand
    from ..hands.tracker import HandTracker

Evidence = Literal["hands", "motion", "both"]
EVIDENCE = get_args(Evidence)
#: What the released script sets: every confidence at 0.1, two hands, the whole frame only.
RELEASED_TRACKER: dict[str, Any] = {"tiled": False, "palm_threshold": 0.1, "presence_threshold": 0.1, "max_hands": 2}


@dataclass(frozen=True)
class Annotation:
    """A Region of Motion made from a clip. From hands it is all 0 where hands were seen in too few frames.

    Attributes:
        mask: (H, W) of 0 and 1: the union over the frames.
        frame_masks: (F, H, W) of 0 and 1; where the camera moves, as it saw the scene in the first frame.
        hands: of each frame, in its own pixels.
        cameras: see `laid_over`, one a frame; none where the camera stands still.
    """

    mask: Tensor
    frame_masks: Tensor
    hands: list[list[Hand]]
    cameras: Sequence[np.ndarray] = ()

    @property
    def frames_with_hands(self) -> int:
        """In how many frames a hand was seen."""
        return sum(bool(hands) for hands in self.hands)

    @property
    def coverage(self) -> float:
        """Share of the picture that the mask covers, 0..1."""
        return self.mask.mean().item()


def annotate_clip(
    frames: Tensor,
    tracker: HandTracker,
    *,
    dilate: float = 0.15,
    arms: bool = False,
    min_hand_frames: int = 2,
    evidence: Evidence = "hands",
    follow_camera: bool = True,
    parity: bool = False,
    watcher: Watcher | None = None,
) -> Annotation:
    """Mark where the hands of a clip are: the convex hull of each in every frame, and the union of all.

    Where the camera moves, as one on a head does, every frame is laid over the first: the union would drift otherwise.

    Args:
        frames: (F, H, W, 3), 0..1.
        tracker: finds the hands.
        dilate: how far each hull grows, as a share of that hand's palm (wrist to middle knuckle); fingers and skin
            reach beyond the joints.
        arms: also mark the forearms, as far as they can be followed from the wrist; see `find_arms`.
        min_hand_frames: with hands in fewer frames than this the mask stays empty, as a hand that is seen for a moment
            is more often a mistake. A clip of fewer frames needs one in all of them.
        evidence: "hands"; "motion": what changes from the first frame on, hands or not; "both": hands, and what moves
            within 15 % of the width of them. Motion is not bound to `min_hand_frames`.
        follow_camera: False takes every frame as if the camera stood still.
        parity: as the released script: every frame for itself, one hull around all hands, nothing grown, no minimum, a
            camera that stands still. Give a tracker made with `RELEASED_TRACKER` to look for hands as it does.
        watcher: of the clip's first frame, where `frames` are a later piece of it.

    Returns:
        See `Annotation`.

    Raises:
        IVGError: not frames, or an argument below 0.

    Source: paper section 3.1.1 (hulls of the hand keypoints, union over the frames); the released mask_video.py.
    """
    for name, value in (("dilate", dilate), ("min_hand_frames", min_hand_frames)):
        if not value >= 0:
            raise IVGError(f"{name} is {value}: it cannot be below 0.")
    if evidence not in EVIDENCE:
        raise IVGError(f'Masks cannot be made from "{evidence}": choose {", ".join(EVIDENCE)}.')
    if parity and evidence != "hands":
        raise IVGError("The released script makes masks from hands only: leave out parity, or take hands.")
    if min(frames.shape[1:3]) < SMALLEST:
        raise IVGError(
            f"The frames have {frames.shape[2]} x {frames.shape[1]} pixels: hands and motion are seen from {SMALLEST} "
            "a side on."
        )
    hands = tracker.detect(frames) if parity else tracker.track(frames)
    size = (frames.shape[2], frames.shape[1])
    if parity:
        masks = [draw_hulls([hand.joints for hand in found], size, joint=True) for found in hands]
    elif sum(bool(found) for found in hands) < min(min_hand_frames, len(frames)):
        masks = [torch.zeros(size[1], size[0])] * len(frames)
    else:
        photos = frames if arms else [None] * len(frames)
        masks = [mask_of_hands(found, size, dilate, photo) for found, photo in zip(hands, photos, strict=True)]
    frame_masks = torch.stack(masks)
    cameras: list[np.ndarray] = []
    if not parity and (follow_camera or evidence != "hands"):
        frame_masks, cameras = _seen_from_first(frames, frame_masks, evidence, follow_camera, watcher)
    return Annotation(frame_masks.amax(0), frame_masks, hands, cameras)


class PieceByPiece:
    """Looks through a long clip as `annotate_clip` does, a piece at a time: the minimum is one for the whole of it.

    Args:
        tracker, **options: see `annotate_clip`.
    """

    def __init__(self, tracker: HandTracker, **options: Any):
        self.tracker, self.options = tracker, options
        self.count = self.with_hands = 0  # frames so far, and those with hands
        self.union = torch.zeros(())  # of what was found so far, (H, W)
        self._watcher: Watcher | None = None

    def look(self, frames: Tensor) -> Annotation:
        """The next piece (F, H, W, 3) 0..1; the masks of its frames whatever their number."""
        self._watcher = self._watcher or Watcher(reduced(frames[:1])[0])
        options = {**self.options, "min_hand_frames": 0}
        found = annotate_clip(frames, self.tracker, **options, watcher=self._watcher)
        self.union = torch.maximum(self.union, found.mask)
        self.count, self.with_hands = self.count + len(frames), self.with_hands + found.frames_with_hands
        return found

    @property
    def enough(self) -> bool:
        """Whether what was found is a region: hands in enough frames, or what moved."""
        if self.options.get("evidence", "hands") != "hands":
            return bool(self.union.any())
        return self.with_hands >= max(1, min(self.options.get("min_hand_frames", 2), self.count))


def _seen_from_first(
    frames: Tensor, hands: Tensor, evidence: Evidence, follow_camera: bool, watcher: Watcher | None
) -> tuple[Tensor, list[np.ndarray]]:
    """Masks of hands (F, H, W) laid over the first frame, with what moves, or in its place; and the cameras."""
    pictures = reduced(frames)
    watcher = watcher or Watcher(pictures[0])
    sights = [watcher.look(picture) for picture in pictures]
    cameras: list[np.ndarray] = []
    if follow_camera and not all(stood_still(sight.to_frame, pictures[0].shape) for sight in sights):
        # where too little of the picture stays in place, that is no camera's motion
        cameras = [sight.to_frame if sight.agreement >= STAYS else np.eye(3) for sight in sights]
        hands = apply_threshold(laid_over(hands, cameras), 0.5)
    if evidence == "hands":
        return hands, cameras
    moving = moving_parts(np.stack([sight.change for sight in sights]))[:-1]
    moving = resize_hard(moving, (hands.shape[2], hands.shape[1]))
    if evidence == "both" and hands.any():
        moving = torch.maximum(hands, moving * grow_by(hands, REACH * hands.shape[2]))
    return torch.stack([region_around(mask, grow=0.0, shape="none") for mask in moving]), cameras


def mask_of_hands(hands: Sequence[Hand], size: tuple[int, int], dilate: float, arms_in: Tensor | None = None) -> Tensor:
    """Mark the hands of one picture, each by its own hull.

    Args:
        hands: may be none.
        size: (width, height) in pixels.
        dilate: see `annotate_clip`.
        arms_in: the picture (H, W, 3), to mark the forearms that it shows too.

    Returns:
        (height, width) of 0 and 1.
    """
    mask = np.zeros((size[1], size[0]), np.uint8)
    for hand in hands:
        shape = fill_hulls([hand.joints], size)
        if arms_in is not None:
            shape |= draw_arms(arms_in, [hand.joints]).numpy().astype(np.uint8)
        mask |= grown(shape, dilate * hand.palm) if dilate else shape
    return torch.from_numpy(mask).float()
