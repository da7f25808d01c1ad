"""Find the hands in pictures, and follow them through a clip."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from ..devices import usable_device
from ..errors import IVGError
from ..media.frames import CHANNELS, check_channels_last, to_floats
from .detector import find_palms, load_palm_net, whole_and_tiles
from .hand import Hand
from .landmarks import CROP, load_landmark_net
from .mediapipe_backend import MediaPipeHands
from .regions import Roi, crop, roi_of_joints, roi_of_palm, to_pixels

log = logging.getLogger("ivg")

Backend = Literal["torch", "mediapipe"]
BACKENDS = get_args(Backend)

#: Hands whose joints are closer than this share of their region, on average, are the same hand.
SAME_HAND = 0.15
#: A hand within another is a false one if its region is smaller than this share of the other's.
SMALLER = 2 / 3
#: A hand in the next frame is the same one if its joints moved less than this share of its region, on average.
SAME_TRACK = 0.75
#: Frames for which a hand may be out of sight and keep its number.
MEMORY = 4
#: Frames on the device, and regions in a network, at once.
CHUNK = 16


class HandTracker:
    """Finds hands with MediaPipe's networks in PyTorch.

    Frames are taken 16 at a time and cut up where they lie, so memory beyond the frames given does not grow with their
    number: about 0.3 GB for the networks, and for frames on another device or in another type a float32 copy of 16 of
    them (at 4K 1.6 GB).

    Args:
        device: where the networks run; frames may lie elsewhere.
        dtype: of the networks.
        backend: "torch", or "mediapipe" for the original, which must be installed; it looks at the whole frame only.
        tiled: look for palms in square tiles too, and at every hand twice; this finds small and askew hands that
            MediaPipe misses. False: exactly what MediaPipe does.
        palm_threshold: palms the detector is less sure of are left out, 0..1.
        presence_threshold: hands the landmark network is less sure of are left out, 0..1.
        max_hands: at most so many hands a frame, the surest palms first.
        lite: the smaller landmark network, an independent judge.

    Raises:
        IVGError: a threshold outside 0..1, no hands allowed, no such device, an unknown backend, or mediapipe is
            missing or too new.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        backend: Backend = "torch",
        tiled: bool = True,
        palm_threshold: float = 0.5,
        presence_threshold: float = 0.5,
        max_hands: int = 10,
        lite: bool = False,
    ):
        for name, value in (("palm_threshold", palm_threshold), ("presence_threshold", presence_threshold)):
            if not 0 <= value <= 1:
                raise IVGError(f"{name} is {value}: it must lie in 0..1.")
        if max_hands < 1:
            raise IVGError(f"max_hands is {max_hands}: allow at least one hand.")
        if backend not in BACKENDS:
            raise IVGError(f"There is no hand backend {backend!r}: use {' or '.join(BACKENDS)}.")
        self.device, self.tiled, self.max_hands = usable_device(device), tiled, max_hands
        self.palm_threshold, self.presence_threshold = palm_threshold, presence_threshold
        self.reference = None
        if backend == "mediapipe":
            self.reference = MediaPipeHands(palm_threshold, presence_threshold, max_hands, lite)
        self.palm_net = load_palm_net(device, dtype)
        self.landmark_net = load_landmark_net(lite, device, dtype)

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Photo (H, W, 3) 0..1 → the joints (21, 2) of every hand: the `HandDetector` that masks are made with."""
        return [hand.joints for hand in self.detect(image[None])[0]]

    @torch.no_grad()
    def detect(self, frames: Tensor) -> list[list[Hand]]:
        """Find the hands of every frame for itself.

        Args:
            frames: (F, H, W, 3): floats 0..1 or integers 0..255.

        Returns:
            For each frame its hands, the surest palm first; an empty list where there are none.

        Raises:
            IVGError: not pictures, NaN in them, or values beyond 0..1.
        """
        frames = checked(frames)
        hands: list[list[Hand]] = []
        for start in range(0, len(frames), CHUNK):
            chunk = to_floats(frames[start : start + CHUNK], "frames")
            hands += self.reference.detect(chunk) if self.reference else self._detect(chunk.to(self.device))
        return hands

    @torch.no_grad()
    def track(self, frames: Tensor) -> list[list[Hand]]:
        """Find the hands of a clip and number them.

        Every frame is searched; a hand of the frame before that was not found again is looked for where it was.

        Args:
            frames: (F, H, W, 3), in order: floats 0..1 or integers 0..255.

        Returns:
            As `detect`, with `Hand.track` filled in.

        Raises:
            IVGError: not pictures, NaN in them, or values beyond 0..1.
        """
        frames = checked(frames)
        found = self.detect(frames)
        seen: dict[int, tuple[int, Hand]] = {}  # number -> the frame and the hand when it was last seen
        count = 0
        for index, hands in enumerate(found):
            known = {number: hand for number, (frame, hand) in seen.items() if index - frame <= MEMORY}
            numbers = match(hands, known)
            hands = [replace(hand, track=numbers.get(row)) for row, hand in enumerate(hands)]
            gone = [number for number in seen if number not in numbers.values()]
            lost = [seen[number][1] for number in gone if seen[number][0] == index - 1]
            if lost and self.reference is None:
                hands = without_doubles(hands + self._follow(frames[index], lost))[: self.max_hands]
            for row, hand in enumerate(hands):
                number = count if hand.track is None else hand.track
                count = max(count, number + 1)
                hands[row] = replace(hand, track=number)
                seen[number] = index, hands[row]
            found[index] = hands
        return found

    def _detect(self, frames: Tensor) -> list[list[Hand]]:
        height, width = frames.shape[1:3]
        windows = whole_and_tiles(width, height, self.tiled)
        found = find_palms(self.palm_net, frames, windows, self.palm_threshold, CHUNK)
        places = [(index, palm) for index, palms in enumerate(found) for palm in palms]
        owner = [index for index, _ in places]
        hands = self._look(frames, owner, [roi_of_palm(p.box, p.joints[0], p.joints[2]) for _, p in places])
        if self.tiled:
            hands = self._look(frames, owner, [roi_of_joints(hand.joints) for hand in hands])
        kept: list[list[Hand]] = [[] for _ in frames]
        for (index, palm), hand in zip(places, hands, strict=True):
            if hand.presence >= self.presence_threshold:
                kept[index].append(replace(hand, palm_score=palm.score))
        return [without_doubles(hands)[: self.max_hands] for hands in kept]

    def _follow(self, frame: Tensor, lost: list[Hand]) -> list[Hand]:
        """Those hands of the frame before that are still there."""
        frames = to_floats(frame[None], "frames").to(self.device)
        now = self._look(frames, [0] * len(lost), [roi_of_joints(hand.joints) for hand in lost])
        hands = [replace(hand, track=old.track) for hand, old in zip(now, lost, strict=True)]
        return [hand for hand in hands if hand.presence >= self.presence_threshold]

    def _look(self, frames: Tensor, owner: list[int], rois: list[Roi]) -> list[Hand]:
        """What the landmark network sees in regions of frames."""
        hands = []
        for start in range(0, len(rois), CHUNK):
            chunk = rois[start : start + CHUNK]
            where = torch.tensor(chunk, device=frames.device)  # (N, 4)
            which = torch.tensor(owner[start : start + CHUNK], device=frames.device)
            crops = crop(frames, which, where, CROP)
            joints, presence, right = self.landmark_net(crops)
            places = to_pixels(joints[..., :2] / CROP - 0.5, where).cpu()
            depth = (joints[..., 2] / CROP * where[:, 2:3]).cpu()
            answers = zip(places, depth, presence.sigmoid().tolist(), right.sigmoid().tolist(), chunk, strict=True)
            hands += [Hand(xy, z, p, 0.0, r, roi) for xy, z, p, r, roi in answers]
        return hands


def without_doubles(hands: list[Hand]) -> list[Hand]:
    """One hand where several lie on each other, or a small one within a large: the surest, by palm, then presence."""
    kept: list[Hand] = []
    for hand in sorted(hands, key=lambda hand: (-hand.palm_score, -hand.presence)):
        if not any(distance(hand, other) < SAME_HAND or is_within(hand, other) for other in kept):
            kept.append(hand)
    return kept


def is_within(hand: Hand, other: Hand) -> bool:
    """Whether a hand is much smaller than another and lies in the midst of it: fingers mistaken for a hand."""
    low, high = other.joints.min(0).values, other.joints.max(0).values
    inside = bool(((hand.centre > low) & (hand.centre < high)).all())
    return inside and hand.roi.size < SMALLER * other.roi.size


def match(hands: list[Hand], known: dict[int, Hand]) -> dict[int, int]:
    """Which known hand each of a frame's hands is, the closest pairs first: row → number."""
    pairs = [(distance(hand, old), row, number) for row, hand in enumerate(hands) for number, old in known.items()]
    numbers: dict[int, int] = {}
    for apart, row, number in sorted(pairs):
        if apart < SAME_TRACK and row not in numbers and number not in numbers.values():
            numbers[row] = number
    return numbers


def distance(one: Hand, other: Hand) -> float:
    """Mean distance of the joints, as a share of the larger region."""
    return float((one.joints - other.joints).norm(dim=-1).mean()) / max(one.roi.size, other.roi.size, 1e-6)


def checked(frames: Tensor) -> Tensor:
    """(F, H, W, 3), or an error. Grey pictures get three channels and transparency goes, which is logged."""
    check_channels_last(frames, "frames")
    if frames.ndim != 4 or frames.shape[-1] not in CHANNELS or 0 in frames.shape[1:3]:
        raise IVGError(f"The frames have shape {tuple(frames.shape)}: give (frames, height, width, 3).")
    if frames.shape[-1] == 1:
        log.warning("The frames are grey: hands are looked for in three equal channels.")
        return frames.expand(-1, -1, -1, 3)
    if frames.shape[-1] == 4:
        log.warning("The frames' fourth channel (transparency) is ignored.")
    return frames[..., :3]
