"""A box track from the hands of a clip."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from ..errors import IVGError
from ..media.tracks import MOST_THINGS, Box, Keyframe, Thing, Track, box_in_picture, frame_times
from .hand import Hand

log = logging.getLogger("ivg")

#: Shares of a hand's palm by which its box is larger than its joints, which skin and fingertips reach beyond.
MARGIN = 0.15


def track_of_hands(hands: Sequence[Sequence[Hand]], size: tuple[int, int]) -> Track:
    """The box around each hand of a clip, as "left hand" or "right hand".

    Where a hand was lost for a moment and keeps its number, its box goes on evenly; before it is first seen, and after
    it is last seen, it is not there.

    Args:
        hands: of each frame, numbered, as `HandTracker.track` gives them.
        size: (width, height) of the frames.

    Returns:
        The hands that are seen in two frames or more; of many those seen most, which is logged.

    Raises:
        IVGError: there are none.
    """
    seen: dict[int | None, dict[int, tuple[Hand, Box]]] = defaultdict(dict)
    for frame, found in enumerate(hands):
        for hand in found:
            if box := _box_around(hand, size):
                seen[hand.track][frame] = hand, box
    chosen = sorted((views for views in seen.values() if len(views) > 1), key=len, reverse=True)
    if not chosen:
        raise IVGError("No hand is seen in two frames of the clip: draw the boxes, or give masks of the hands.")
    if len(chosen) > MOST_THINGS:
        log.warning("The clip shows %d hands: the %d that are seen most are kept.", len(chosen), MOST_THINGS)
    return Track(tuple(_thing(views, len(hands)) for views in chosen[:MOST_THINGS]))


def _thing(views: dict[int, tuple[Hand, Box]], num_frames: int) -> Thing:
    times, first, last = frame_times(num_frames), min(views), max(views)
    keyframes = [Keyframe(times[frame], box) for frame, (_, box) in sorted(views.items())]
    if first > 0:
        keyframes.insert(0, Keyframe(0.0, None))
    if last + 1 < num_frames:
        keyframes.append(Keyframe(times[last + 1], None))
    right = sum(hand.right for hand, _ in views.values()) / len(views)
    return Thing("right hand" if right >= 0.5 else "left hand", tuple(keyframes), "linear")


def _box_around(hand: Hand, size: tuple[int, int]) -> Box | None:
    """The box around a hand, as far as it lies in the picture; None: it lies outside."""
    (x1, y1), (x2, y2) = hand.joints.min(0).values.tolist(), hand.joints.max(0).values.tolist()
    edge = MARGIN * hand.palm
    return box_in_picture((x1 - edge, y1 - edge, x2 + edge, y2 + edge), size)
