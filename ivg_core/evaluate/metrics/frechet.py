"""The Fréchet distance between two sets of features, which FID and FVD are."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import IVGError


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Squared Fréchet distance between the Gaussians that fit two sets of features; 0 if they are the same.

    With few rows it comes out too large: for FID take thousands of frames, and never compare sets of different sizes.

    Args:
        first: (N, D), N >= 2.
        second: (M, D), M >= 2.

    Returns:
        |mean difference|² + tr(A + B - 2 (A B)^½), A and B being the unbiased covariances.

    Raises:
        IVGError: fewer than two rows, or different widths.

    Source: Heusel et al. 2017. As A = X'X/(N-1) and B = Y'Y/(M-1) for centred X and Y, the trace of (A B)^½ is the sum
        of the singular values of X Y'; so no matrix square root is taken, and few rows of wide features are quick.
    """
    if min(len(first), len(second)) < 2 or first.shape[1:] != second.shape[1:] or first.ndim != 2:
        raise IVGError(
            f"No Fréchet distance between features of shape {tuple(first.shape)} and {tuple(second.shape)}: "
            "it needs at least two rows of the same width on either side."
        )
    first, second = first.double(), second.double()
    shift = (first.mean(0) - second.mean(0)).square().sum()
    x, y = _spread(first), _spread(second)
    cross = torch.linalg.svdvals(x @ y.T).sum()
    return float((shift + x.square().sum() + y.square().sum() - 2 * cross).clamp(min=0))


def _spread(features: Tensor) -> Tensor:
    """R (min(N, D), D) with R'R the covariance."""
    centred = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R
