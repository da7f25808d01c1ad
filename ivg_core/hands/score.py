"""How sound the hands of a clip are: a score for videos of any model, without a true video to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from .hand import BONES, FINGERS, Hand
from .jumps import Jumps, find_jumps
from .skin import skin_beside
from .tracker import HandTracker, checked

# The amount of each fault at which its part of the score is one half, set on real clips and on drawn ones.
HALF = {
    "presence": 0.35,  # how unsure the network is
    "persistence": 0.10,  # share of the frames from which the hand is missing
    "bones": 0.35,  # change of a bone's length from one frame to the next, natural logarithm
    "angles": 0.40,  # share of impossible bends
    "jitter": 0.15,  # how far the picture of the hand leaps away and back, root mean square
    "fingers": 0.03,  # skin beside the fingers, in squared palms
}
#: A hand seen in a smaller share of the frames is a flicker, and not a hand to be measured.
SHORTEST = 0.15
#: Skin beside the fingers takes no more than the rest of its part: a held thing may look like it.
DOUBT = 0.4
#: A frame in which the tracker misses a hand counts this much where the picture does not say that the hand is gone ...
UNSEEN = 0.15
#: ... and wholly where the picture jumps by this much.
SUDDEN = 0.5
#: Hands this many palms apart are not the same one.
FARTHEST = 8.0
#: Degrees that a finger joint bends at most.
MOST_BEND = 165.0
#: A finger whose last two joints both bend by more than this many degrees bends them the same way.
ZIGZAG = 25.0

#: How the figure is explained wherever it is told.
LEGEND = (
    "The hand score tells how sound hands look, from 0 to 1, without a true clip: it is not HS-Err, which compares "
    "with one and counts the hands that are missing. A clip without any hand has no score, and does not count."
)

Chain = list[tuple[int, Hand]]  # frames in which a hand is seen, and the hand there


@dataclass(frozen=True)
class HandScore:
    """How sound the hands of a clip are; every part 0..1, 1 is sound. All are 0 where no hand is found.

    Attributes:
        total: half the mean of the parts and half the worst one, as one fault is enough to spoil a hand.
        presence: how sure the landmark network is that what it sees are hands.
        persistence: hands stay in sight, and leave through the picture's border or behind a thing, not at once.
        bones: bones keep their length from frame to frame.
        angles: joints bend as joints can.
        jitter: hands do not leap away and back.
        fingers: there is no skin beside the five fingers.
        hands_found: how many different hands.
        frames_with_hands, frames: in how many frames of how many.
    """

    total: float
    presence: float
    persistence: float
    bones: float
    angles: float
    jitter: float
    fingers: float
    hands_found: int
    frames_with_hands: int
    frames: int

    @property
    def found(self) -> bool:
        """Whether there is a hand at all; a clip without one is not worse than one with bad hands, only unmeasured."""
        return self.hands_found > 0


PARTS = ("presence", "persistence", "bones", "angles", "jitter", "fingers")


def score_hands(frames: Tensor, tracker: HandTracker) -> HandScore:
    """Score the hands of a clip.

    Args:
        frames: (F, H, W, 3), in order: floats 0..1 or integers 0..255. What needs more than one frame counts as sound
            in a clip of one.
        tracker: finds the hands.

    Returns:
        See `HandScore`; `found` is False where there is no hand.

    Raises:
        IVGError: not frames, or none.
    """
    frames = checked(frames)
    if not len(frames):
        raise IVGError("There are no frames: look at the step that should have made them.")
    return score_tracked(frames, tracker.track(frames))


def score_tracked(frames: Tensor, hands: Sequence[Sequence[Hand]]) -> HandScore:
    """As `score_hands`, for hands that were found before."""
    everyone = chains(hands)
    least = max(2, SHORTEST * len(frames)) if len(frames) > 1 else 1
    steady = [chain for chain in everyone if len(chain) >= least]
    with_hands = sum(bool(found) for found in hands)
    if not steady:
        return HandScore(0, 0, 0, 0, 0, 0, 0, 0, with_hands, len(frames))
    strays = sum(len(chain) for chain in everyone if len(chain) < least)
    size = (frames.shape[2], frames.shape[1])
    jumps = [find_jumps(frames, chain) for chain in steady]
    missing = [_missing(chain, jump, size) for chain, jump in zip(steady, jumps, strict=True)]
    gone = sum(unseen for unseen, _ in missing) + UNSEEN * strays
    expected = sum(frames for _, frames in missing) + sum(len(chain) for chain in steady)
    beside = [_middle(skin_beside(frames, chain, hands)) for chain in steady]
    weights = [len(chain) for chain in steady]
    sure = _mean([fmean(hand.presence for _, hand in chain) for chain in steady], weights)
    parts = {
        "presence": _part("presence", 1 - sure),
        "persistence": _part("persistence", gone / expected),
        "bones": _part("bones", _mean([_bone_change(chain) for chain in steady], weights)),
        "angles": _part("angles", _mean([_impossible_bends(chain) for chain in steady], weights)),
        "jitter": _part("jitter", max(float(np.sqrt((jump.leaps**2).mean())) for jump in jumps)),
        "fingers": DOUBT + (1 - DOUBT) * _part("fingers", _mean(beside, weights)),
    }
    total = (fmean(parts.values()) + min(parts.values())) / 2
    return HandScore(total, **parts, hands_found=len(steady), frames_with_hands=with_hands, frames=len(frames))


def as_text(scores: Mapping[str, HandScore]) -> str:
    """A table of scores, a line each, by the name of the clip."""
    width = max([len(name) for name in scores] + [len("clip")])
    columns = ["total", *PARTS]
    lines = [" ".join([f"{'clip':<{width}}", *(f"{column:>{len(column)}}" for column in columns), "hands  frames"])]
    for name, score in scores.items():
        seen = f"{score.hands_found:>5}  {score.frames_with_hands} of {score.frames}"
        if score.found:
            values = [f"{getattr(score, column):>{len(column)}.2f}" for column in columns]
        else:
            values = ["no hand".ljust(sum(len(column) for column in columns) + len(columns) - 1)]
        lines.append(" ".join([f"{name:<{width}}", *values, seen]))
    return "\n".join(lines)


def chains(hands: Sequence[Sequence[Hand]]) -> list[Chain]:
    """Which sightings belong to the same hand.

    The tracker gives a hand that jumps a new number; here a jump is a fault to be measured, so hands are joined over
    any time and nearly any way, the closest first, and rather left with left and right with right.
    """
    found: list[Chain] = []
    for index, present in enumerate(hands):
        pairs = sorted(
            (_apart(chain[-1][1], hand), row, number)
            for row, hand in enumerate(present)
            for number, chain in enumerate(found)
        )
        placed: dict[int, int] = {}
        for apart, row, number in pairs:
            if apart < FARTHEST and row not in placed and number not in placed.values():
                placed[row] = number
        for row, hand in enumerate(present):
            if row in placed:
                found[placed[row]].append((index, hand))
            else:
                found.append([(index, hand)])
    return found


def _apart(one: Hand, other: Hand) -> float:
    way = float((one.centre - other.centre).norm()) / max(one.palm, other.palm, 1e-6)
    return way + 2 * abs(one.right - other.right)


def _missing(chain: Chain, jumps: Jumps, size: tuple[int, int]) -> tuple[float, int]:
    """Frames without the hand: between two sightings, and before and after them unless it may have left the picture.

    Returns how many they are, each counted as far as the picture says that the hand is gone, and how many there are.
    """
    frames, counted, missing = len(jumps.leaps), 0.0, 0
    seen = [(-1, None), *chain, (frames, None)]
    for (before, old), (after, new) in pairwise(seen):
        shown = [hand for hand in (old, new) if hand is not None]
        if after - before == 1 or (len(shown) == 1 and _at_border(shown[0], size)):
            continue
        steps = ([before] if old else []) + ([after - 1] if new else [])  # to where it is unseen, and back
        sudden = min(float(max(*jumps.breaks[steps], *jumps.leaps[before + 1 : after])) / SUDDEN, 1.0)
        missing += after - before - 1
        counted += (after - before - 1) * (UNSEEN + (1 - UNSEEN) * sudden)
    return counted, missing


def _at_border(hand: Hand, size: tuple[int, int]) -> bool:
    low, high = hand.joints.min(0).values, hand.joints.max(0).values
    margin = hand.palm / 2
    return bool((low < margin).any() or (high > torch.tensor(size) - margin).any())


def _bone_change(chain: Chain) -> float:
    """Mean change of the bones' lengths, relative to the hand's size, between one sighting and the next."""
    places = torch.stack([_places(hand) for _, hand in chain])  # (T, 21, 3)
    starts, ends = zip(*BONES, strict=True)
    lengths = (places[:, list(starts)] - places[:, list(ends)]).norm(dim=-1)  # (T, bones)
    lengths = (lengths / lengths.mean(1, keepdim=True)).clamp(min=0.02).log()
    return float(lengths.diff(dim=0).abs().mean()) if len(chain) > 1 else 0.0


def _impossible_bends(chain: Chain) -> float:
    """Share of the finger joints that bend too far, or against the joint before them."""
    places = torch.stack([_places(hand) for _, hand in chain])
    fingers = torch.tensor([(0, *rows) for rows in FINGERS.values()])
    bones = places[:, fingers].diff(dim=2)  # (T, 5 fingers, 4 bones, 3)
    bones = bones / bones.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    bends = (bones[:, :, 1:] * bones[:, :, :-1]).sum(-1).clamp(-1, 1).arccos().rad2deg()[:, :, 1:]  # the outer two
    axes = torch.linalg.cross(bones[:, :, 1:-1], bones[:, :, 2:])  # (T, 5, 2, 3)
    against = ((axes[:, :, 0] * axes[:, :, 1]).sum(-1) < 0) & (bends > ZIGZAG).all(-1)
    return float(((bends > MOST_BEND).any(-1) | against).double().mean())


def _places(hand: Hand) -> Tensor:
    return torch.cat([hand.joints, hand.depth[:, None]], -1)  # (21, 3)


def _part(name: str, fault: float) -> float:
    return 1 / (1 + (fault / HALF[name]) ** 2)


def _middle(values: list[float]) -> float:
    return median(values) if values else 0.0


def _mean(values: list[float], weights: list[int]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)
