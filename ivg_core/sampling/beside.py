"""What stands beside the latents of an image model: a depth map, or a mask and the latents of the masked frames.

Source: Gen-L-Video (arXiv 2305.18264), tuning-free-mix.py and tuning-free-inpaint.py.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import IVGError
from ..finite import is_finite
from ..models.codec import Codec

#: Of the largest value: depths that lie closer together are one.
FLAT = 1e-6


def depth_beside(depth: Tensor, height: int, width: int) -> Tensor:
    """Depth maps as the network reads them.

    Args:
        depth: (F or 1, H, W) of any unit, the nearer the larger, as disparity has it.
        height, width: of the latents, in cells.

    Returns:
        (1, 1, F or 1, height, width), each frame from -1 (far) to 1 (near); 0 where a frame has one depth only.

    Raises:
        IVGError: they have another shape, or hold NaN or infinite values.

    Source: resized bicubically, then each frame by its own least and largest value.
    """
    if depth.ndim != 3 or not depth.numel():
        raise IVGError(f"The depth maps have shape {tuple(depth.shape)}: give (frames, height, width).")
    if not is_finite(depth):
        raise IVGError("The depth maps hold NaN or infinite values: look at the step that made them.")
    cells = interpolate(depth.float()[:, None], (height, width), mode="bicubic", align_corners=False)  # (F, 1, h, w)
    low, high = (kind(cells, dim=(1, 2, 3), keepdim=True) for kind in (torch.amin, torch.amax))
    flat = high - low <= FLAT * torch.maximum(low.abs(), high.abs())
    spread = torch.where(flat, torch.ones_like(low), high - low)
    return torch.where(flat, 0.0, 2 * (cells - low) / spread - 1).transpose(0, 1)[None]


def masked_beside(codec: Codec, frames: Tensor, masks: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A mask and the latents of the masked frames, as a network for inpainting reads them.

    Args:
        codec: of the model; its autoencoder has to be where it works.
        frames: (F, H, W, 3) 0..1, at the size of the video.
        masks: (F or 1, H', W') 0..1; what is at least 0.5 is painted.
        generator: the latents are drawn by it, as the reference does; None takes their mean.

    Returns:
        (1, 5, F, h, w), float32, where the autoencoder is.
    """
    height, width = frames.shape[1:3]
    hard = (masks >= 0.5).float().expand(len(frames), -1, -1)[:, None]  # (F, 1, H', W')
    covers = interpolate(hard, (height, width))[:, 0, :, :, None].to(frames)  # (F, H, W, 1)
    grid = codec.grid(len(frames), (width, height))
    noise = None
    if generator is not None:
        shape = (4, len(frames), grid.height, grid.width)
        noise = torch.randn(shape, generator=generator, device=generator.device)
    latents = codec.encode(torch.lerp(frames, torch.full_like(frames, 0.5), covers), noise)  # (4, F, h, w)
    cells = interpolate(hard, (grid.height, grid.width)).transpose(0, 1)  # (1, F, h, w)
    return torch.cat([cells.to(latents), latents])[None]
