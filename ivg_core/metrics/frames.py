"""Frames as image networks want them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def prepared(
    frames: Tensor,
    side: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    mode: str = "bicubic",
    crop: bool = True,
) -> Tensor:
    """Square, normalised frames.

    Args:
        frames: (F, H, W, 3) 0..1.
        side: of the square, in pixels.
        mean, std: of each channel.
        mode: of the resizing, which averages where it shrinks.
        crop: resize the shorter side and cut out the middle; False squeezes the whole frame.

    Returns:
        (F, 3, side, side), where the frames are.
    """
    x = frames.permute(0, 3, 1, 2).float()
    height, width = x.shape[-2:]
    scale = side / min(height, width)
    # rounded down, as torchvision and transformers do
    size = (max(side, int(height * scale)), max(side, int(width * scale))) if crop else (side, side)
    x = F.interpolate(x, size, mode=mode, antialias=True, align_corners=False).clamp(0, 1)
    if crop:
        top, left = (size[0] - side) // 2, (size[1] - side) // 2
        x = x[..., top : top + side, left : left + side]
    shape = (1, 3, 1, 1)
    return (x - torch.tensor(mean).to(x).view(shape)) / torch.tensor(std).to(x).view(shape)
