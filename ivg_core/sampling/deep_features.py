"""Reusing the deep layers' output over a few denoising steps: it changes slowly from one step to the next."""

from __future__ import annotations

from torch import Tensor


class DeepFeatures:
    """What entered the UNet's last layer when all layers were last computed; a run has its own, the network none.

    Args:
        every: the network is computed whole at every `every`-th call, at least 2; the other calls compute its first and
            its last layer only.

    Source: DeepCache (arXiv 2312.00858), its shallowest branch.
    """

    def __init__(self, every: int):
        self.every = every
        self.features: Tensor | None = None  # (B * F', C, H, W)
        self.age = 0

    def recall(self, x: Tensor) -> Tensor | None:
        """The features to reuse at this call, or None where the network is to be computed whole.

        Args:
            x: (B * F', C0, H, W), what the first layer gave; another batch, as where guidance begins, starts anew.
        """
        self.age += 1
        if self.features is None or self.age >= self.every or self.features.shape[0] != x.shape[0]:
            return None
        return self.features

    def exchange(self, x: Tensor, recalled: Tensor | None) -> Tensor:
        """What enters the last layer: the recalled features, or x, which is kept for the calls to come."""
        if recalled is not None:
            return recalled
        self.features, self.age = x, 0
        return x
