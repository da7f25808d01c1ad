"""Stage 1: the model imagines where the photo will move, as a video of masks; their union is the Region of Motion."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import IVGError
from ..media.images import ImageLike, resize_mask
from ..rom.refine import refine_mask, resize_hard
from .generate import OnStep, Sampling, generate
from .inputs import as_photos
from .prompts import PromptSchedule
from .settings import check_count

if TYPE_CHECKING:
    from ..models.bundle import IVGModel

log = logging.getLogger("ivg")

#: Mask videos of the embedded model had an IoU of .4 in place of .7 with so few frames.
FEW_FRAMES = 2


@dataclass(frozen=True)
class RoM:
    """A predicted Region of Motion, in the photo's size. In a batch every field has the batch as its first axis.

    Attributes:
        mask: (H, W) of 0 and 1: what moves in any frame.
        frame_masks: (F, H, W) of 0 and 1: where it moves in each frame.
        soft: (H, W) 0..1: the largest value over the frames, before the threshold.
    """

    mask: Tensor
    frame_masks: Tensor
    soft: Tensor

    @property
    def coverage(self) -> float:
        """Share of the photo that the mask covers, 0..1; in a batch, of all photos."""
        return self.mask.mean().item()


def predict_rom(
    model: IVGModel,
    image: ImageLike | Sequence[ImageLike],
    action: str | Sequence[str],
    *,
    seed: int | Sequence[int] = 0,
    num_frames: int | None = None,
    motion_strength: float | Sequence[float] | None = None,
    size: tuple[int, int] | None = None,
    how: Sampling = Sampling(),  # noqa: B008 (frozen)
    threshold: float = 0.5,
    min_area: int | None = None,
    close: int = 2,
    on_step: OnStep | None = None,
) -> RoM:
    """Predict where a photo will move when an action is done.

    For a batch give lists (or an image tensor (B, H, W, 3) with B > 1), as to `generate`: each of `image`, `action`,
    `seed` and `motion_strength` may be a list with one entry for each region, or one value for all.

    Args:
        model: one with stage-1 weights.
        image: the photo: a path, a PIL image or a tensor (H, W, 3) 0..1.
        action: what is done; it decides which object moves.
        seed: see `generate`; in a batch a single seed s means s, s + 1, …
        num_frames: None takes what the model was made for.
        motion_strength: None does not tell the network: how much the *mask* moves is not known beforehand.
        size: (width, height) of the mask video, multiples of 8; None see `generate`.
        how: the options of the mask video, see `Sampling.for_mask`.
        threshold: pixels with at least this value move, 0..1.
        min_area: in each frame, parts with fewer pixels of the mask video than this are removed; None is 1/1000 of it.
        close: in each frame, gaps up to about twice this many pixels of the mask video are closed.
        on_step: see `generate`.

    Returns:
        The region, see `RoM`. If nothing reaches the threshold it is empty, and a warning says so.

    Raises:
        IVGError: the model has no stage-1 weights (the message names what else there is), an argument cannot work, or
            the photos of a batch have different sizes.

    Source: paper section 3.1.1: mask video, threshold, removal of small components and morphology in each frame, union.
    """
    photos = as_photos(image)
    sizes = {(one.shape[1], one.shape[0]) for one in (photos if isinstance(photos, list) else [photos])}
    if len(sizes) > 1:
        found = ", ".join(f"{width} x {height}" for width, height in sorted(sizes))
        raise IVGError(
            f"The photos have different sizes ({found}), and the masks of a batch have one: bring them to one size, or "
            "predict them one by one."
        )
    if not 0 <= threshold <= 1:
        raise IVGError(f"The threshold is {threshold}: it must lie in 0..1.")
    check_count("num_frames", num_frames)
    usual = model.defaults.num_frames
    if (frames := num_frames or usual) <= FEW_FRAMES < usual:
        log.warning(
            "A mask video of %d frame%s sees little of the motion, so its mask is poor: ask for the %d frames that the "
            "model is made for.",
            frames,
            "s" if frames > 1 else "",
            usual,
        )
    generated = generate(
        model,
        photos,
        action,
        stage=1,
        seed=seed,
        num_frames=num_frames,
        how=how,
        motion_strength=motion_strength,
        size=size,
        on_step=on_step,
    )
    (size_of_photos,) = sizes
    clips = [generated.frames] if generated.frames.ndim == 4 else generated.frames
    roms = [rom_from_video(frames, size_of_photos, threshold, min_area, close) for frames in clips]
    if generated.frames.ndim == 4:
        return roms[0]
    return RoM(*(torch.stack([getattr(rom, field.name) for rom in roms]) for field in fields(RoM)))


def mask_frames(num_frames: int | None, schedule: PromptSchedule, how: Sampling) -> int | None:
    """F of the mask videos for a video, as `predict_rom` takes it.

    Args:
        num_frames: of the video; None: what the model was made for.
        schedule: of its sentences.
        how: it is sampled.

    Returns:
        The video's; but None where that is sampled in windows of time, because stage 1 knows no windows, and a region
        is where things go at any time.
    """
    return None if how.context is not None or len(schedule.stretches) > 1 else num_frames


def rom_from_video(
    frames: Tensor, size: tuple[int, int], threshold: float = 0.5, min_area: int | None = None, close: int = 2
) -> RoM:
    """The region that a decoded mask video shows.

    Args:
        frames: (F, h, w, 3) 0..1, as stage 1 decodes them.
        size: (width, height) of the photo.
        threshold, min_area, close: see `predict_rom`.

    Returns:
        The region in the photo's size; an empty one, with a warning, if nothing reaches the threshold.
    """
    values = frames.mean(-1)  # (F, h, w)
    smallest = values[0].numel() // 1000 if min_area is None else min_area
    cleaned = refine_mask(values, threshold=threshold, min_area=smallest, close=close)
    frame_masks = resize_hard(cleaned, size)
    mask = frame_masks.amax(0)
    if not mask.any():
        largest = values.max().item()
        log.warning(
            "The model sees nothing move, so the mask is empty: the largest value in its mask video is %.2f, the "
            "threshold %.2f. Lower the threshold, try another seed or sentence, or choose a fallback mask.",
            largest,
            threshold,
        )
    return RoM(mask, frame_masks, resize_mask(values.amax(0), size))
