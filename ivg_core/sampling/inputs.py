"""What the caller of `generate` hands in, checked and brought to one entry for each item of the batch."""

from __future__ import annotations

import logging
import math
import operator
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import IVGError
from ..finite import is_finite
from ..media.images import ImageLike, resize_image, resize_mask, to_image, to_mask, to_pil
from ..media.targets import check_memory
from ..media.text import HALF
from ..media.tracks import Track
from ..models.codec import Codec, check_cells, check_size, fit_size, mask_cells
from ..models.inflated import InflatedUNet
from ..models.text import unreadable_words
from .noise import MAX_SEED
from .prompts import PromptSchedule, as_schedule
from .settings import Sampling

if TYPE_CHECKING:
    from ..models.bundle import IVGModel

log = logging.getLogger("ivg")

NO_ITEMS = "The list of photos or sentences is empty: give at least one."
STRETCH = 0.1  # change of the aspect ratio from which on it is worth a word


@dataclass(frozen=True)
class Items:
    """The arguments that may differ from item to item, B entries each."""

    images: list[ImageLike]  # empty: there are no photos
    schedules: list[PromptSchedule]  # a sentence by itself is a schedule of one
    negatives: list[str]
    masks: list[ImageLike | None]
    strengths: list[float] | None  # None: the network is told no motion strength
    tracks: list[Track | None]  # of boxes
    seeds: list[int]
    batched: bool  # whether the caller gave a batch, even one of a single item

    @property
    def sentences(self) -> list[str]:
        """All of them, each once."""
        return list(dict.fromkeys(sentence for schedule in self.schedules for sentence in schedule.sentences))

    @property
    def masked(self) -> bool:
        """Whether a mask was given for any of them."""
        given = [*self.masks, *(mask for schedule in self.schedules for mask in schedule.masks)]
        return any(mask is not None for mask in given)


def collect(
    image: ImageLike | Sequence[ImageLike] | None,
    action: str | PromptSchedule | Sequence[str | PromptSchedule],
    negative: str | Sequence[str],
    mask: ImageLike | Sequence[ImageLike | None] | None,
    strength: float | Sequence[float] | None,
    seed: int | Sequence[int] | None,
    boxes: Track | Sequence[Track | None] | None = None,
) -> Items:
    """Bring the arguments to one length: single values hold for every item, a single seed counts up.

    Raises:
        IVGError: lists of different lengths, or values out of range.
    """
    given = {
        "image": _stack(image, 4),
        "action": _listed(action),
        "negative_prompt": _listed(negative),
        "mask": _listed(mask),
        "motion_strength": _stack(strength, 1),
        "seed": _stack(seed, 1),
        "boxes": _listed(boxes),
    }
    lengths = {name: len(values) for name, values in given.items() if values is not None}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise IVGError(
            f"The lists are not equally long ({found}): give one entry for each video, or one value for all."
        )
    batch = next(iter(lengths.values()), 1)
    if batch == 0:
        raise IVGError(NO_ITEMS)

    def every(name: str, single: Any) -> list:
        values = given[name]
        return [single] * batch if values is None else values

    if given["seed"] is not None:
        seeds = [_seed(value) for value in given["seed"]]
    else:
        first = secrets.randbelow(2**32) if seed is None else _seed(seed)
        seeds = [(first + i) % (MAX_SEED + 1) for i in range(batch)]
    strengths = None if strength is None else [_strength(value) for value in every("motion_strength", strength)]
    masks = _mask_stack(mask, batch) or every("mask", mask)
    actions, negatives = every("action", action), every("negative_prompt", negative)
    schedules = [as_schedule(text) for text in actions]
    texts = [*(sentence for schedule in schedules for sentence in schedule.sentences), *negatives]
    if not all(isinstance(text, str) for text in texts):
        raise IVGError("The action and the negative prompt must be text.")
    if any(HALF.search(text) for text in texts):
        raise IVGError("The action or the negative prompt holds half a character: type it anew.")
    images = [] if image is None else every("image", image)
    tracks = every("boxes", boxes)
    if not all(track is None or isinstance(track, Track) for track in tracks):
        raise IVGError("The boxes must be box tracks: read one with ivg_core.media.track_files.read_track.")
    return Items(images, schedules, negatives, masks, strengths, tracks, seeds, bool(lengths))


def as_photos(image: ImageLike | Sequence[ImageLike]) -> Tensor | list[Tensor]:
    """A photo (H, W, 3), or those of a batch, each as `to_image` makes it.

    Raises:
        IVGError: one cannot be read, or there is none.
    """
    several = _stack(image, 4)
    if several is None:
        return to_image(image)  # type: ignore[arg-type]
    if not several:
        raise IVGError(NO_ITEMS)
    return [to_image(one) for one in several]


def check_photo(model: IVGModel, image: Any, mask: Any, how: Sampling, source: bool = False) -> None:
    """Let pass a photo where the model takes one, and none where it does not.

    Args:
        model, image, mask, how: of the run.
        source: whether there is a source video, which masks and composites may be of as well.

    Raises:
        IVGError: it is the other way round, or something is asked for that only a photo can give.
    """
    if model.takes_photo and image is None:
        raise IVGError(f'The model "{model.name}" makes videos of a photo: give one, or load a text-to-video model.')
    if model.takes_photo:
        return
    if image is not None:
        raise IVGError(
            f'The model "{model.name}" makes videos of sentences alone and cannot take a photo: leave it out, or load '
            "an IVG model."
        )
    asked = {
        "a mask": mask is not None and not source,
        "keep_first_frame": how.keep_first_frame,
        "composite": how.composite and not source,
        f"region {how.region}": how.region != "whole",
        "t_last": how.t_last is not None,
    }
    if wrong := [name for name, is_asked in asked.items() if is_asked]:
        raise IVGError(
            f'The model "{model.name}" makes videos of sentences alone, without a photo for {", ".join(wrong)}: '
            "leave that off, or load an IVG model."
        )


def check_beside(model: IVGModel, beside: Tensor | None, shape: tuple[int, ...]) -> None:
    """Let pass what stands beside latents of a shape (B, 4, F, h, w) where the model's network reads it.

    Raises:
        IVGError: it is lacking, or none is read, or it is of another shape, or holds NaN or infinity.
    """
    if isinstance(model.unet, InflatedUNet):
        model.unet.check_beside(beside, shape)
    elif beside is not None:
        raise IVGError(f'The model "{model.name}" reads nothing beside the latents: leave beside out.')
    if beside is not None and not is_finite(beside):
        raise IVGError("What stands beside the latents holds NaN or infinite values.")


def warn_of_actions(actions: Sequence[str]) -> None:
    """Log what is wrong with sentences that a model would take without a word."""
    for action in actions:
        if not action.strip():
            log.warning("The action is empty, so nothing says what is done: write it in a sentence.")
        elif words := unreadable_words(action):
            log.warning("The text encoder reads English, and nothing of this: %s. Write the action in English.", words)


@dataclass(frozen=True)
class Pictures:
    """Photos and masks at the size of the video."""

    photos: Tensor  # (B, H, W, 3) 0..1; (0, H, W, 3) without photos
    masks: Tensor  # (B, H, W) 0..1, what may move in any frame
    cells: Tensor  # (B, 1, 1 or F, h, w) 0..1, the masks as the network reads them
    size: tuple[int, int]  # (W, H)
    each: list[Tensor]  # B of (S, H, W): one mask, or one for each stretch of the schedule
    at: list[list[int]]  # B, which of them holds in each frame; [0] where one holds for all


def prepare_pictures(
    items: Items,
    size: tuple[int, int] | None,
    base: tuple[int, int],
    codec: Codec,
    how: Sampling,
    num_frames: int,
    at_once: bool = True,
) -> Pictures:
    """Load photos and masks and bring them to the video's size.

    Args:
        items: of the run.
        size: (width, height) of the video; None takes the base's area and the first photo's aspect ratio. In parity
            mode this is the base.
        base: (width, height) the model is used to.
        codec: of the model.
        how: with `parity` photos are loaded and resized exactly as the released code does.
        num_frames: of the video that is to be made of each.
        at_once: whether all frames are to be in memory at one time.

    Raises:
        IVGError: an unusable photo, mask or size, or a video that does not fit into the memory.
    """
    parity, cell = how.parity, codec.cell
    originals = [to_image(image, exif=not parity) for image in items.images]
    for photo in originals:
        if min(photo.shape[:2]) < cell:
            raise IVGError(f"The photo is {_pixels(photo)}: the smallest this model can use is {cell} x {cell}.")
    if originals and (size is None or parity):
        height, width = originals[0].shape[:2]
        size = fit_size(width, height, *(size or base), cell)
    size = check_size(size or base, cell)
    # Latents, in the several copies that a solver keeps, take a quarter of what their frames would.
    check_memory(num_frames * len(items.schedules), size, bytes_a_value=4 if at_once else 1)
    if not originals:
        return _blank(len(items.schedules), size, codec)
    masks, cells, at, grid = [], [], [], codec.grid(1, size)
    for source, schedule, photo in zip(items.masks, items.schedules, originals, strict=True):
        stretch = photo.shape[1] / photo.shape[0] / (size[0] / size[1])
        if abs(math.log(stretch)) > STRETCH:
            log.warning("The photo is %s and the video %d x %d: the photo is stretched.", _pixels(photo), *size)
        changes = any(mask is not None for mask in schedule.masks)
        own = [source if mask is None else mask for mask in schedule.masks] if changes else [source]
        several = [_mask_for(one, photo, size, parity) for one in own]
        masks.append(torch.stack([resize_mask(mask, size) for mask in several]))
        read = [mask_cells(mask[None], grid.height, grid.width, how.binarize_mask) for mask in several]
        cells.append(check_cells(torch.cat(read)))
        at.append(schedule.at(num_frames) if changes else [0])
    photos = torch.stack([resize_image(photo, size) for photo in originals])
    united = torch.stack([mask.amax(0) for mask in masks])
    return Pictures(photos, united, over_time(cells, at), size, masks, at)


def over_time(cells: list[Tensor], at: list[list[int]]) -> Tensor:
    """Masks of stretches (S, 1, 1, h, w) each, as a network's over frames (B, 1, 1 or F, h, w); `at` of `Pictures`."""
    timed = [several[chosen, 0, 0][None, None] for several, chosen in zip(cells, at, strict=True)]
    frames = max(x.shape[2] for x in timed)
    return torch.cat([x.expand(-1, -1, frames, -1, -1) for x in timed])


def _blank(count: int, size: tuple[int, int], codec: Codec) -> Pictures:
    """No photos, and everything may move."""
    grid, (width, height) = codec.grid(1, size), size
    cells, masks = torch.ones(count, 1, 1, grid.height, grid.width), torch.ones(count, height, width)
    return Pictures(torch.empty(0, height, width, 3), masks, cells, size, [mask[None] for mask in masks], [[0]] * count)


def _mask_for(source: ImageLike | None, photo: Tensor, size: tuple[int, int], parity: bool) -> Tensor:
    if source is None:
        return torch.ones(size[1], size[0])
    mask = check_mask(to_mask(source))
    if mask.shape not in (photo.shape[:2], (size[1], size[0])):
        log.warning("The mask is %s and the photo %s: the mask is stretched to fit.", _pixels(mask), _pixels(photo))
    return reference_mask(source, size) if parity else mask


def _seed(value: Any) -> int:
    try:
        seed = operator.index(value)
    except TypeError:
        seed = -1
    if not 0 <= seed <= MAX_SEED:
        raise IVGError(f"The seed is {value}: give a whole number from 0 to 2^64 - 1.")
    return seed


def _strength(value: Any) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise IVGError(f"The motion strength is {value}: give a number from 0 up; 3 to 8 is usual.")
    return float(value)


def _pixels(picture: Tensor) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]} pixels"


def _listed(value: Any) -> list | None:
    return list(value) if isinstance(value, (list, tuple)) else None


def _stack(value: Any, ndim: int) -> list | None:
    """The items of a list, or of an array or tensor with a batch axis; None for a single value."""
    if isinstance(value, (np.ndarray, Tensor)) and value.ndim == ndim:
        items = list(value) if ndim > 1 else value.tolist()
        return items if ndim == 1 or len(items) != 1 else None
    return _listed(value)


def _mask_stack(mask: Any, batch: int) -> list | None:
    if not isinstance(mask, (np.ndarray, Tensor)) or mask.ndim != 3 or 1 in (mask.shape[0], mask.shape[-1]):
        return None
    if len(mask) != batch:
        raise IVGError(
            f"The mask has {len(mask)} frames for {batch} photo{'s' * (batch > 1)}: give one mask for each photo, or "
            "unite the frames of one by mask.amax(0)."
        )
    return list(mask)


def check_mask(mask: Tensor) -> Tensor:
    """Pass on a mask (H, W) in which something may move.

    Raises:
        IVGError: it is empty.
    """
    if not mask.any():
        raise IVGError(
            "The mask is empty (all black), so nothing would move: paint white what may move, or give no mask to let "
            "everything move."
        )
    return mask


def reference_mask(mask: ImageLike, size: tuple[int, int]) -> Tensor:
    """The mask as the released sampler reads it: resized first, then every value above 0 becomes 1.

    Args:
        mask: a path, a PIL image or a tensor (H, W).
        size: (width, height) of the video in pixels.

    Returns:
        (height, width) of 0 and 1.

    Source: the released code's eval; the filter is PIL's default for the picture's mode.
    """
    if isinstance(mask, (str, os.PathLike)):
        to_mask(mask)  # says so if it cannot be read
        mask = Image.open(mask)
    picture = mask if isinstance(mask, Image.Image) else to_pil(to_mask(mask))
    if picture.mode not in ("1", "L", "P"):
        picture = to_pil(to_mask(picture))  # the released code fails on these
    return torch.from_numpy((np.array(picture.resize(size)) != 0).astype(np.float32))
