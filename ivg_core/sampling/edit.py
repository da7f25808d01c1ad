"""A video made of another one: begun from its own noise, held by a ControlNet, changed inside masks alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from ..media.frames import to_frames
from ..media.images import ImageLike, resize_image, resize_mask, to_mask
from ..media.masks import to_masks
from ..media.targets import check_memory
from ..models.codec import Codec, check_size, fit_size
from ..models.control import ControlNet
from ..models.inflated import INPAINTING, InflatedUNet
from .beside import masked_beside
from .inputs import Pictures, check_mask
from .settings import Sampling

if TYPE_CHECKING:
    from ..models.bundle import IVGModel


@dataclass(frozen=True, eq=False)
class SourceVideo:
    """A video to start from, for a model of sentences alone.

    It is inverted by DDIM for a share of the steps, told no sentence, and sampled back for as many with the sentence
    and guidance. What stands beside the latents and what a ControlNet follows is told both ways.

    Args:
        frames: (F, H, W, 3) 0..1; a single frame is a picture that is changed.
        strength: the share, 0..1: of N steps the last int(N strength) are sampled. 0 gives the frames themselves, at
            the size of the video, and asks no network; 1 begins from noise. 0.2 changes looks, 0.5 and more also
            shapes.

    Raises:
        IVGError: the strength lies elsewhere.

    Source: Gen-L-Video (arXiv 2305.18264), tuning-free-control.py.
    """

    frames: Tensor
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.strength, int | float) or not 0 <= self.strength <= 1:
            raise IVGError(
                f"The strength of the source video is {self.strength}: give 0 (its own frames) to 1 (made anew)."
            )


@dataclass(frozen=True, eq=False)
class ControlVideo:
    """What an image model made a video model is held to.

    Args:
        net: a ControlNet or a T2I-Adapter, made for this version of Stable Diffusion, see `load_control_net`; None:
            what came with the model, as with Follow-Your-Pose.
        frames: (F, H, W, 3) 0..1, such as edges, brought to the video's size; or (1, H, W, 3) for all frames.
        scale: how strongly, 1 is what was trained.

    Raises:
        IVGError: the scale is no number.
    """

    net: ControlNet | None
    frames: Tensor
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.scale, int | float) or not math.isfinite(self.scale):
            raise IVGError(f"The scale of the control video is {self.scale}: give a number; 1 is usual, 0 is off.")

    def pixels(self, num_frames: int, size: tuple[int, int]) -> Tensor:
        """(1, 3, F or 1, H, W) for a video of so many frames and this (width, height).

        Raises:
            IVGError: there is another number of them, or they are no frames.
        """
        frames = to_frames(self.frames, "frames of the control video")
        if len(frames) not in (1, num_frames):
            raise IVGError(
                f"The control video has {len(frames)} frames and the video {num_frames}: give as many, or one for all."
            )
        return at_size(frames, size).permute(3, 0, 1, 2)[None]


@dataclass(frozen=True, eq=False)
class Edit:
    """A source video at the size of the video."""

    frames: Tensor  # (F, H, W, 3) 0..1
    masks: Tensor  # (1 or F, H, W) 0..1, where it may change
    strength: float
    paints: bool  # whether what the network reads beside the latents is made of the masks

    @property
    def size(self) -> tuple[int, int]:
        """(W, H)"""
        return self.frames.shape[2], self.frames.shape[1]

    def steps(self, total: int) -> int:
        """How many of so many steps are sampled."""
        return int(total * self.strength)

    def shown(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Some of the frames (count, H, W, 3), and their masks (1 or count, H, W)."""
        some = slice(first, first + count)
        return self.frames[some], self.masks if len(self.masks) == 1 else self.masks[some]

    def masked(self, pictures: Pictures) -> Pictures:
        """The pictures of a run with its masks, of all frames together."""
        return replace(pictures, masks=self.masks.amax(0).expand_as(pictures.masks))

    def beside(self, codec: Codec) -> Tensor:
        """What a network for inpainting reads beside the latents, see `masked_beside`."""
        return masked_beside(codec, self.frames, self.masks)


def source_size(model: IVGModel, frames: Tensor, size: tuple[int, int] | None) -> tuple[int, int]:
    """The (width, height) at which a model takes a clip (F, H, W, 3); None: the model's area and the clip's shape.

    Raises:
        IVGError: the model cannot make that size, or such frames do not fit into the memory.
    """
    made_for, cell = model.defaults, model.vae_scale_factor
    size = size or fit_size(frames.shape[2], frames.shape[1], made_for.width, made_for.height, cell)
    size = check_size(size, cell)
    check_memory(len(frames), size)
    return size


def at_size(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """A clip (F, H, W, 3) at a (width, height); the same numbers if it has it."""
    return torch.stack([resize_image(frame, size) for frame in frames])


def fit_source(
    model: IVGModel,
    source: SourceVideo,
    mask: ImageLike | Sequence[ImageLike | None] | None,
    num_frames: int | None,
    size: tuple[int, int] | None,
    how: Sampling,
    beside: Tensor | None,
    others: dict[str, Any],
) -> Edit:
    """The source video and its masks as they are used.

    Args:
        model: that makes the video.
        source, mask, num_frames, size, how, beside: see `generate`.
        others: what else was given by name, that a source video stands in place of.

    Raises:
        IVGError: they do not fit each other, or the model.
    """
    if model.takes_photo:
        raise IVGError(
            f'The model "{model.name}" makes videos of a photo and starts from no source video: leave it out, or load '
            "an image model or a text-to-video model."
        )
    if given := [name for name, value in others.items() if value is not None]:
        raise IVGError(f"A source video begins from noise of its own: leave out the {' and the '.join(given)}.")
    frames = to_frames(source.frames, "frames of the source video").cpu()
    if num_frames is not None and num_frames != len(frames):
        raise IVGError(
            f"The source video has {len(frames)} frames, and {num_frames} are asked for: leave the number out, or cut "
            "the video."
        )
    size = source_size(model, frames, size)
    reads_mask = isinstance(model.unet, InflatedUNet) and model.unet.beside_channels == INPAINTING
    paints = reads_mask and beside is None
    if mask is None:
        if paints:
            raise IVGError(f'The model "{model.name}" paints inside masks: give one for the source video.')
        masks = torch.ones(1, size[1], size[0])
    else:
        if not (paints or how.composite):
            raise IVGError(
                f'The model "{model.name}" reads no mask of a source video: turn composite on, which keeps what lies '
                "outside, or leave the mask out."
            )
        masks = _masks(mask, len(frames), size)
        check_mask(masks >= 0.5 if paints else masks)
    return Edit(at_size(frames, size), masks, float(source.strength), paints)


def _masks(mask: ImageLike | Sequence[ImageLike | None], count: int, size: tuple[int, int]) -> Tensor:
    """(1 or F, H, W) at the video's size."""
    several: Any = mask if isinstance(mask, list | tuple) else [mask]
    if isinstance(mask, np.ndarray | Tensor) and mask.ndim == 3:
        several = to_masks(torch.as_tensor(mask)).cpu()
    if len(several) not in (1, count):
        raise IVGError(
            f"There are {len(several)} masks for the {count} frames of the source video: give one, or one for each."
        )
    if any(one is None for one in several):
        raise IVGError("One of the masks of the source video is None: give one for each frame, or one for all.")
    return torch.stack([resize_mask(to_mask(one), size) for one in several])
