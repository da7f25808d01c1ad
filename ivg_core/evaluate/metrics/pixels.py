"""How far a clip is from the true one, pixel by pixel; nothing learnt."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import IVGError
from ...media.images import resize_image

WINDOW, SIGMA = 11, 1.5  # of SSIM, as its authors chose them
C1, C2 = 0.01**2, 0.03**2


def pixel_error(frames: Tensor, truth: Tensor) -> float:
    """Mean absolute difference of two clips (F, H, W, 3) of the same shape, 0..1; lower is better."""
    return float((frames - truth).abs().mean())


def psnr(frames: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio of two clips (F, H, W, 3) 0..1 in decibels, over all frames; infinite if equal."""
    error = float((frames - truth).double().square().mean())
    return -10 * math.log10(error) if error else math.inf


def ssim(frames: Tensor, truth: Tensor) -> float:
    """Structural similarity of two clips, the mean over frames; 1 if equal, higher is better.

    Args:
        frames, truth: (F, H, W, 3) 0..1, H and W at least 11.

    Source: Wang et al. 2004: a Gaussian window of 11 pixels with sigma 1.5.
    """
    line = torch.exp(-((torch.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    window = torch.outer(line, line)
    window = (window / window.sum()).to(frames.device)[None, None]

    def blur(x: Tensor) -> Tensor:  # (N, 1, H, W)
        return F.conv2d(x, window)

    scores = []
    for a, b in zip(frames.float(), truth.float(), strict=True):
        x, y = a.permute(2, 0, 1)[:, None], b.permute(2, 0, 1)[:, None]  # (3, 1, H, W)
        mean_x, mean_y = blur(x), blur(y)
        var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
        cov = blur(x * y) - mean_x * mean_y
        likeness = (2 * mean_x * mean_y + C1) * (2 * cov + C2)
        scores.append((likeness / ((mean_x**2 + mean_y**2 + C1) * (var_x + var_y + C2))).mean())
    return float(torch.stack(scores).mean())


def first_frame_fidelity(frames: Tensor, photo: Tensor) -> tuple[float, float]:
    """How true a clip's first frame is to the photo that it was made of: PSNR in decibels, and SSIM.

    Args:
        frames: (F, H, W, 3) 0..1, H and W at least 11.
        photo: (H', W', 3) 0..1; it is brought to the clip's size.

    Raises:
        IVGError: the frames are too small.
    """
    height, width = frames.shape[1:3]
    if min(height, width) < WINDOW:
        raise IVGError(f"Frames of {width} x {height} pixels are too small to compare: SSIM needs {WINDOW} a side.")
    true = resize_image(photo, (width, height))[None]
    return psnr(frames[:1], true), ssim(frames[:1], true)
