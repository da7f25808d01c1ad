"""Pseudo masks: where the hands of a clip go, as the Region of Motion to train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import IVGError
from .fallback import draw_hulls
from .refine import grow_by

if TYPE_CHECKING:
    from ..hands.hand import Hand
    from ..hands.tracker import HandTracker

#: Half the width of a forearm, in palms (wrist to middle knuckle).
ARM = 0.35
#: What the released script sets: every confidence at 0.1, two hands, the whole frame only.
RELEASED_TRACKER: dict[str, Any] = {"tiled": False, "palm_threshold": 0.1, "presence_threshold": 0.1, "max_hands": 2}


@dataclass(frozen=True)
class Annotation:
    """A Region of Motion made from hands. All is 0 where hands were seen in too few frames."""

    mask: Tensor  # (H, W) of 0 and 1: the union over the frames
    frame_masks: Tensor  # (F, H, W) of 0 and 1
    hands: list[list[Hand]]  # of each frame

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
    parity: bool = False,
) -> Annotation:
    """Mark where the hands of a clip are: the convex hull of each in every frame, and the union of all.

    Args:
        frames: (F, H, W, 3), 0..1.
        tracker: finds the hands.
        dilate: how far each hull grows, as a share of that hand's palm (wrist to middle knuckle); fingers and skin
            reach beyond the joints.
        arms: also mark the forearm, from the wrist straight back to the border of the picture.
        min_hand_frames: with hands in fewer frames than this the mask stays empty, as a hand that is seen for a moment
            is more often a mistake. A clip of fewer frames needs one in all of them.
        parity: as the released script: every frame for itself, one hull around all hands, nothing grown, no minimum.
            Give a tracker made with `RELEASED_TRACKER` to look for hands as it does.

    Returns:
        See `Annotation`.

    Raises:
        IVGError: not frames, or an argument below 0.

    Source: paper section 3.1.1 (hulls of the hand keypoints, union over the frames); the released mask_video.py.
    """
    for name, value in (("dilate", dilate), ("min_hand_frames", min_hand_frames)):
        if not value >= 0:
            raise IVGError(f"{name} is {value}: it cannot be below 0.")
    hands = tracker.detect(frames) if parity else tracker.track(frames)
    size = (frames.shape[2], frames.shape[1])
    if parity:
        masks = [draw_hulls([hand.joints for hand in found], size, joint=True) for found in hands]
    elif sum(bool(found) for found in hands) < min(min_hand_frames, len(frames)):
        masks = [torch.zeros(size[1], size[0])] * len(frames)
    else:
        masks = [mask_of_hands(found, size, dilate, arms) for found in hands]
    frame_masks = torch.stack(masks)
    return Annotation(frame_masks.amax(0), frame_masks, hands)


def mask_of_hands(hands: Sequence[Hand], size: tuple[int, int], dilate: float, arms: bool = False) -> Tensor:
    """Mark the hands of one picture, each by its own hull.

    Args:
        hands: may be none.
        size: (width, height) in pixels.
        dilate, arms: see `annotate_clip`.

    Returns:
        (height, width) of 0 and 1.
    """
    mask = torch.zeros(size[1], size[0])
    for hand in hands:
        shape = draw_hulls([hand.joints] + ([forearm(hand, size)] if arms else []), size)
        mask = torch.maximum(mask, grow_by(shape, dilate * hand.palm) if dilate else shape)
    return mask


def forearm(hand: Hand, size: tuple[int, int]) -> Tensor:
    """Corners (4, 2) of a strip from the wrist away from the fingers, long enough to leave a picture of this size."""
    wrist = hand.joints[0]
    back = wrist - hand.joints[[5, 9, 13, 17]].mean(0)
    back = back / back.norm().clamp(min=1e-6)
    side = torch.stack([-back[1], back[0]]) * ARM * hand.palm
    far = wrist + back * (size[0] + size[1])
    return torch.stack([wrist + side, far + side, far - side, wrist - side])
