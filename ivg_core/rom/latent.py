"""The Region of Motion as other video models want it: on their latents, or as VACE's control video and masks.

What each back end makes of a mask; 1 always means "generate here", as it does in this project:

| back end | takes | outside the mask | soft values |
|---|---|---|---|
| any latent model, Wan 2.1 | `noise_mask` | latents noised like the rest, put back at every step | mixed |
| LTX | `noise_mask` | clean latents, and timestep 0 for these tokens | exact: a token's timestep is mask * t |
| Wan 2.2 14B, two experts | the model itself (1) | as the first | mixed |
| Wan 2.2 5B, HunyuanVideo | the model itself (2) | as the first | mixed |
| Wan VACE | control video and masks | the photo's own pixels | none: black or white |

(1) With `noise_mask` the second expert would hold the half-denoised latents that the first one leaves. (2) Their
`noise_mask` is for whole frames: the rest stays clean, and the timestep is a mean over the frame, or none.

Wan's image-to-video `concat_mask` (0 = this frame is given) is another thing: it stays as core sets it, unless a LoRA
has taught the model that it has places too.

Source: read in ComfyUI 0.3.64 and run in its own samplers by tests/comfyui/test_rom_for_any_model.py: `reshape_mask`
(comfy/utils.py), `KSamplerX0Inpaint` (comfy/samplers.py), `scale_latent_inpaint` and `process_timestep` of LTXV, WAN21,
WAN22 and HunyuanVideo (comfy/model_base.py), `WanVaceToVideo` (comfy_extras/nodes_wan.py). Shrinking by the maximum and
growing by one cell: stable-diffusion.cpp, pull request 1357.
"""

from __future__ import annotations

import logging

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import IVGError
from ..media.clips import even_indices
from ..media.frames import to_frames
from ..media.masks import to_masks
from ..models.codec import LatentGrid
from .refine import apply_threshold, box_of
from .window import centre_window

log = logging.getLogger("ivg")

GREY = 0.5  # what VACE was trained to fill in


def latent_mask(mask: Tensor, grid: LatentGrid, grow: int = 1) -> Tensor:
    """Where a model may generate, a value a latent cell; frame 0 stays the photo.

    A cell counts as much as its brightest pixel, so that thin fingers do not vanish.

    Args:
        mask: (H, W), or (F, H, W) with one mask a frame of the video; 0..1. It is cropped to the video's shape around
            its centre, as core's nodes crop the photo. Another number of masks is spread over the video, and that is
            logged.
        grid: the model's latents.
        grow: cells by which the region grows, because a cell also shows what lies just outside it.

    Returns:
        (T, h, w), 0..1, 1 = generate.

    Raises:
        IVGError: the mask has another shape, or nothing in it may move.
    """
    frames = crop_to(_checked(mask), grid.size)
    if not frames.any():
        raise IVGError(
            "The mask is empty, at least in the part that the video shows: nothing may move. Paint a region."
        )
    cells = F.adaptive_max_pool2d(frames[:, None], (grid.height, grid.width))[:, 0]  # (F or 1, h, w)
    if grow:
        cells = F.max_pool2d(cells[:, None], 2 * grow + 1, stride=1, padding=grow)[:, 0]
    cells = grid.brightest(_spread(cells, grid.video_frames)).clone()  # (T, h, w)
    cells[0] = 0
    return cells


def still_video(photo: Tensor, grid: LatentGrid) -> Tensor:
    """The photo held still, for the model's own VAE to encode.

    A causal VAE gives the second and the third latent frame of a still video other values than the first, so repeating
    the first one would not decode to the photo.

    Args:
        photo: (H, W, 3), 0..1, cropped and resized as core's nodes do it.
        grid: the model's latents.

    Returns:
        (F, height, width, 3), the same frame F times.

    Source: the latents of a still video that core keeps for HuMo (`zero_vae_values`, comfy/model_base.py) differ from
    the first to the second to the third latent frame.
    """
    return fit(photo, grid.size).expand(grid.video_frames, -1, -1, -1)


def vace_control(
    photo: Tensor, mask: Tensor, frames: int, size: tuple[int, int], box: bool = False
) -> tuple[Tensor, Tensor]:
    """Control video and control masks for Wan VACE: the photo first, then grey where it may move.

    Args:
        photo: (H, W, 3), 0..1.
        mask: (H', W') or one mask a frame (F, H', W'), 0..1; see `latent_mask`. Values of at least 0.5 count.
        frames: F of the video.
        size: (width, height) of the video in pixels.
        box: the bounding box in the mask's place; VACE follows a box better than a tight outline.

    Returns:
        control video (F, height, width, 3), and control masks (F, height, width), 0 or 1, 1 = generate; frame 0 is the
        photo, its mask 0. (VACE, in core as in training, reads the mask of latent frame 0 from frame 1 of the video;
        what holds that latent frame is the photo in the control video.)

    Raises:
        IVGError: the mask has another shape, or nothing in it may move.
    """
    width, height = size
    cropped = crop_to(_checked(mask), size)
    resized = F.interpolate(cropped[:, None], size=(height, width), mode="bilinear", antialias=True)[:, 0]
    masks = apply_threshold(resized, 0.5)
    if not masks.any():
        raise IVGError(
            "The mask is empty, at least in the part that the video shows: nothing may move. Paint a region."
        )
    if box:
        masks = box_of(masks)
    masks = _spread(masks, frames)  # (F, height, width)
    masks[0] = 0
    still = fit(to_frames(photo[None], "photo")[0], size).expand(frames, -1, -1, -1)
    return torch.where(masks[..., None] > 0, GREY, still), masks


def crop_to(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """The largest part around the centre with the shape of `size`, to the pixel as core's `common_upscale` cuts it.

    Args:
        pictures: (..., H, W).
        size: (width, height), of which only the ratio counts.

    Returns:
        (..., H', W').
    """
    return centre_window((pictures.shape[-1], pictures.shape[-2]), size).cut(pictures)


def fit(photo: Tensor, size: tuple[int, int]) -> Tensor:
    """The photo (H, W, 3) cropped and resized to (width, height), as core's image-to-video nodes do it."""
    cropped = crop_to(photo.movedim(-1, 0), size)  # (3, H', W')
    if cropped.shape[1:] != (size[1], size[0]):
        cropped = F.interpolate(cropped[None], size=(size[1], size[0]), mode="bilinear")[0]
    return cropped.movedim(0, -1)


def _spread(masks: Tensor, frames: int) -> Tensor:
    """One mask a frame: a lone mask for all of them, another number evenly over the video."""
    if len(masks) not in (1, frames):
        log.warning("There are %d masks for %d frames: they are spread evenly over the video.", len(masks), frames)
    return masks[even_indices(len(masks), frames, stretch=True)]


def _checked(mask: Tensor) -> Tensor:
    """The mask as (F, H, W) float, 0..1."""
    return to_masks(mask, "mask")
