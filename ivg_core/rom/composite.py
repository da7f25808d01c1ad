"""Keeping the photo, or a source video, where nothing should change."""

from __future__ import annotations

import torch
from torch import Tensor

from .morphology import around, distance_to


def keep_first(frames: Tensor, photos: Tensor) -> Tensor:
    """Replace frame 0 by the photo.

    Args:
        frames: (B, F, H, W, 3) 0..1.
        photos: (B, H, W, 3) 0..1.

    Returns:
        (B, F, H, W, 3).
    """
    return torch.cat([photos[:, None], frames[:, 1:]], dim=1)


def composite_over(frames: Tensor, under: Tensor, masks: Tensor, feather: float) -> Tensor:
    """Lay the frames over a still photo, or over another video: theirs inside the mask, the pixels under them outside.

    Args:
        frames: (B, F, H, W, 3) 0..1.
        under: (B or 1, F or 1, H, W, 3) 0..1.
        masks: (B or 1, F or 1, H, W) 0..1.
        feather: width in pixels of the seam, which lies outside the mask's core (values of at least 0.5).

    Returns:
        (B, F, H, W, 3).
    """
    alpha = torch.stack([seam(mask, feather) for mask in masks.flatten(0, 1)])
    alpha = alpha.reshape(masks.shape)[..., None]  # (B or 1, F or 1, H, W, 1)
    rows, columns = around((alpha.amax((0, 1, 4)) > 0).byte().numpy())
    laid = torch.empty_like(frames, memory_format=torch.contiguous_format).copy_(under)
    over = frames[:, :, rows, columns]
    laid[:, :, rows, columns].lerp_(over, alpha[:, :, rows, columns].to(over).expand_as(over))
    return laid


def seam(mask: Tensor, feather: float) -> Tensor:
    """How much of the generated frames shows: 1 in the mask's core, falling to 0 over `feather` pixels around it.

    Args:
        mask: (H, W) 0..1; where its soft edge reaches further, that counts.
        feather: pixels.

    Returns:
        (H, W) 0..1.
    """
    core = (mask >= 0.5).byte().cpu().numpy()
    part = around(core, feather)
    near = torch.from_numpy(distance_to(core[part])).div_(-max(feather, 1e-6)).add_(1).clamp_(0, 1)
    near = near.square().mul_(near.mul(-2).add_(3))
    shows = mask.cpu().clone()
    shows[part] = torch.maximum(near, shows[part], out=near)
    return shows
