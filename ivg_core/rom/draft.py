"""A Region of Motion from a draft: a small quick video of the photo by any model, or any clip that shows the action."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from ..media.clips import even_indices, open_media
from ..media.frames import to_frames
from ..media.images import to_bytes
from .camera import WIDTH, Camera, lay_over, reduced, same_colours, seen_in
from .latent import crop_to
from .refine import grow_by, remove_specks, resize_hard
from .region import GROW, REACH, Shape, region_around
from .window import centre_window

SMALLEST = 16  # pixels of a side that optical flow needs
FRAMES = 16  # so many frames of a draft are looked at, evenly spread
#: Moving is what changed by so many levels of 255, and by so many times the change of the quietest quarter.
LEVELS, NOISE = 16.0, 3.0
MOST_WIDE = 1024  # pixels at which regions are worked out: a mask for each frame of a big photo would fill the memory
SPECK = 0.001  # parts below this share of the picture are no motion
GROW_DRAFT = 0.02  # of the width
SKIN = 0.03  # of the width: hands reach beyond their joints, and what they hold beyond its outline
#: Below these a draft does not begin with the photo, or does not stay in its scene; see `rom_from_draft`.
BEGINS, STAYS = 0.6, 0.3
#: Shares of the picture below which it hardly moves, and above which it moves everywhere.
HARDLY, EVERYWHERE = 0.005, 0.6


@dataclass(frozen=True)
class DraftRegion:
    """What a draft showed."""

    mask: Tensor  # (H, W) of 0 and 1, in the photo's size
    frame_masks: Tensor  # (F, H', W') of 0 and 1, one a frame of the draft, at most 1024 pixels wide
    used: bool  # False: the draft was refused, and the mask is of hands and things alone
    moving: float  # share of the picture that moves, 0..1
    agreement: float  # share of the picture that stays in the scene, mean over the frames, 0..1
    report: str  # one sentence for each thing found out


def read_draft(path: Path) -> Tensor:
    """The frames of a draft that are looked at, (F, h, w, 3), 0..1, F <= 16.

    Raises:
        IVGError: it cannot be read.
    """
    media = open_media(path)
    pictures = list(media.read(even_indices(media.facts().frames, FRAMES)))
    return torch.from_numpy(np.stack(pictures)).float() / 255


def rom_from_draft(
    frames: Tensor,
    photo: Tensor | None = None,
    near: Tensor | None = None,
    *,
    sensitivity: float = 1.0,
    reach: float = REACH,
    shape: Shape = "one",
    grow: float = GROW_DRAFT,
    grow_alone: float = GROW,
    when_useless: Literal["warn", "error"] = "warn",
) -> DraftRegion:
    """Find where a draft moves, its camera and its drift of colours taken out.

    Args:
        frames: (F, h, w, 3), 0..1, F >= 2. Of another shape than the photo they are taken for its middle, as core's
            nodes crop a photo.
        photo: (H, W, 3), 0..1; None: the first frame is the photo.
        near: (H, W) of 0 and 1, hands and things of the photo (see `needed`): they belong to the region, and motion
            counts only near them. None or all 0: motion counts everywhere.
        sensitivity: 0.25..4; 2 halves what counts as motion.
        reach: how near motion must be, as a share of the width; 0: everywhere.
        shape, grow: see `region_around`.
        grow_alone: the same where the draft is refused and hands and things alone make the region.
        when_useless: what happens if the draft leaves the scene or hardly moves: "warn" takes hands and things alone
            (the motion, if none are known), "error" stops.

    Returns:
        See `DraftRegion`; its report says what was used and what was refused.

    Raises:
        IVGError: an argument cannot work; the draft does not begin with the photo, or nothing moves in it, and `near`
            is not there to be taken in its place.
    """
    frames = _checked(frames, sensitivity, reach, when_useless)
    height, width = frames.shape[1:3] if photo is None else photo.shape[:2]
    less = min(1.0, MOST_WIDE / width)
    size = (round(width * less), max(1, round(height * less)))
    near = None if near is None or not near.any() else resize_hard(near, size)
    if photo is not None and (likeness := begins_with(frames[0], photo)) < BEGINS:
        said = (
            f"The draft does not begin with the photo (likeness {likeness:.2f}, {BEGINS} is needed): make it with an "
            "image-to-video model from this very photo."
        )
        if near is None or when_useless == "error":
            raise IVGError(said)
        return _without_draft(near, (width, height), len(frames), shape, grow_alone, said)

    change, agreement = changes(frames)
    moving = moving_parts(change, sensitivity)  # (F' + 1, h', w'); the last one is that of all frames
    share = float(moving[-1].mean())
    useless, notes = "", []
    if agreement < STAYS:
        useless = f"The draft leaves the scene: {agreement:.0%} of the picture stays in place, {STAYS:.0%} should."
    if share < HARDLY:
        useless = (
            f"The draft hardly moves: {share:.1%} of the picture does. Ask it for more motion, or raise sensitivity."
        )
    if useless and when_useless == "error":
        raise IVGError(useless)
    if useless and near is not None:
        alone = _without_draft(near, (width, height), len(frames), shape, grow_alone, useless)
        return replace(alone, moving=share, agreement=agreement)
    if not share:
        raise IVGError("Nothing moves in the draft: make it again with another seed, or give the hands of the photo.")
    if useless:
        notes.append(f"{useless} Nothing else is known, so its motion is taken all the same.")
    if share > EVERYWHERE:
        notes.append(
            f'The draft moves everywhere ({share:.0%} of the picture): make it again with "static camera" in its '
            "sentence" + ("." if near is not None else ", or give the hands of the photo.")
        )
    placed = uncrop(moving, size)
    if near is not None:
        core = grow_by(near, SKIN * size[0])
        within = grow_by(core, reach * size[0]) if reach else torch.ones_like(core)
        placed = torch.maximum(placed * within, core)
    regions = torch.stack([region_around(part, grow=grow, shape=shape) for part in placed])
    parts, mask = regions[:-1], resize_hard(regions[-1], (width, height))
    known = "" if near is None else " and the hands and things of the photo"
    notes.insert(0, f"{share:.0%} of the draft moves; the region from it{known} covers {mask.mean():.0%}.")
    frame_masks = parts[even_indices(len(parts), len(frames), stretch=True)]
    return DraftRegion(mask, frame_masks, True, share, agreement, " ".join(notes))


def changes(frames: Tensor) -> tuple[np.ndarray, float]:
    """How much the detail of each frame differs from that of the first, the camera and the colours taken out.

    Args:
        frames: (F, H, W, 3), 0..1, F >= 1; up to 16 of them are looked at.

    Returns:
        (F', h, 224) float32 in levels of 255, 0 for the first frame and where the camera looks away; and the mean share
        of the picture that stays in the scene, 0..1.
    """
    pictures = reduced(frames[even_indices(len(frames), FRAMES)])
    watcher = Watcher(pictures[0])
    sights = [watcher.look(picture) for picture in pictures[1:]]
    change = [np.zeros(pictures[0].shape[:2], np.float32), *(sight.change for sight in sights)]
    return np.stack(change), float(np.mean([sight.agreement for sight in sights])) if sights else 1.0


class Sight(NamedTuple):
    """One frame beside the first."""

    change: np.ndarray  # (h, 224) float32, difference of detail in levels of 255
    to_frame: np.ndarray  # (3, 3), what the camera did
    agreement: float  # share of the picture that stays in the scene, 0..1


class Watcher:
    """Looks at the frames of a clip, one after the other, beside the first (h, 224, 3)."""

    def __init__(self, first: np.ndarray):
        self._camera, self._first = Camera(first), first.astype(np.float32)
        self._detail = detail(self._first)

    def look(self, picture: np.ndarray) -> Sight:
        """The next frame (h, 224, 3)."""
        to_frame, agreement = self._camera.follow(picture)
        laid = same_colours(lay_over(picture.astype(np.float32), to_frame), self._first)
        # what the frame does not show any more is as it was, or its edge would look like detail
        laid = np.where(seen_in(to_frame, picture.shape)[..., None], laid, self._first)
        return Sight(np.abs(detail(laid) - self._detail).mean(-1), to_frame, agreement)


def moving_parts(change: np.ndarray, sensitivity: float = 1.0) -> Tensor:
    """What of the changes is motion.

    Args:
        change: (F, h, w), see `changes`.
        sensitivity: see `rom_from_draft`.

    Returns:
        (F + 1, h, w) of 0 and 1: each frame, and all frames together.
    """
    largest = change.max(0)
    least = max(LEVELS, NOISE * float(np.percentile(largest, 25))) / sensitivity
    parts = torch.from_numpy(np.concatenate([change, largest[None]]) > least).float()
    return remove_specks(parts, round(SPECK * largest.size))


def begins_with(frame: Tensor, photo: Tensor) -> float:
    """How like the first frame (h, w, 3) of a draft is to the photo (H, W, 3): correlation of small grey pictures."""
    shown = crop_to(photo.movedim(-1, 0), (frame.shape[1], frame.shape[0])).movedim(0, -1)
    a, b = _small(frame), _small(shown)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-9))


def detail(picture: np.ndarray) -> np.ndarray:
    """A picture (h, 224, 3) without what is larger than a fourteenth of its width: shadows, exposure, drift."""
    return cv2.GaussianBlur(picture, (0, 0), 1.5) - cv2.GaussianBlur(picture, (0, 0), WIDTH / 14)


def uncrop(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks of the middle of a photo, as `crop_to` cuts it out, on the whole photo.

    Args:
        masks: (F, h, w) of 0 and 1.
        size: (width, height) of the photo.

    Returns:
        (F, height, width) of 0 and 1; outside of the middle 0.
    """
    window = centre_window(size, (masks.shape[2], masks.shape[1]))
    whole = torch.zeros(len(masks), size[1], size[0])
    window.cut(whole).copy_(resize_hard(masks, window.size))
    return whole


def _without_draft(
    near: Tensor, size: tuple[int, int], frames: int, shape: Shape, grow: float, why: str
) -> DraftRegion:
    region = region_around(near, grow=grow, shape=shape)
    mask = resize_hard(region, size)
    report = f"{why} The region is made from the hands and things that are known; it covers {mask.mean():.0%}."
    return DraftRegion(mask, region.expand(frames, -1, -1), False, 0.0, 0.0, report)


def _small(picture: Tensor) -> np.ndarray:
    grey = cv2.cvtColor(to_bytes(picture[..., :3]), cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (64, 36), interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1)
    return grey - grey.mean()


def _checked(frames: Tensor, sensitivity: float, reach: float, when_useless: str) -> Tensor:
    frames = to_frames(frames, "frames of the draft")
    if min(frames.shape[1:3]) < SMALLEST:
        raise IVGError(
            f"The draft has {frames.shape[2]} x {frames.shape[1]} pixels: motion can be seen from {SMALLEST} a side on."
        )
    if len(frames) < 2:
        raise IVGError(f"The draft has {len(frames)} frame: give all frames of a video, at least two.")
    if not 0.25 <= sensitivity <= 4:
        raise IVGError(f"The sensitivity is {sensitivity}: it must lie in 0.25..4.")
    if not 0 <= reach <= 1:
        raise IVGError(f"reach is {reach}: give a share of the picture's width, 0..1.")
    if when_useless not in ("warn", "error"):
        raise IVGError(f'when_useless is "{when_useless}": choose warn or error.')
    return frames
