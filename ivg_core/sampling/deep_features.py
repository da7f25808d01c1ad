"""Reusing the deep layers' output over a few denoising steps: it changes slowly from one step to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from ..models.unet import KeptFeatures
    from .settings import Sampling

SEEN = 4  # of the first layer's output every so many columns and rows are compared: keeping all of it takes memory
GOES_ON = 0.5  # of the last change; chosen on drawn scenes, where 1 overshoots at few steps


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

    def fresh(self) -> DeepFeatures:
        """The same rule, with nothing kept yet."""
        return DeepFeatures(self.every)

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


class AdaptiveFeatures:
    """Deep features that are computed anew where the run has come too far since they last were.

    How far is told by what the first layer gave, as a share of what it gave then. In between, part of what last changed
    in the deep features is taken to go on, as far as the run has come. The clips of a batch decide together.

    Args:
        tolerance: how far is too far, > 0; with 0.3 drawn scenes are computed whole at 2 of 8 steps.

    Source: step by step as in TeaCache (arXiv 2411.19108) and EasyCache (arXiv 2507.02860), of DeepCache's features.
    """

    def __init__(self, tolerance: float):
        self.tolerance = tolerance
        self.features: Tensor | None = None  # (B * F', C, H, W)
        self.last_change: Tensor | None = None  # of the features
        self.seen: Tensor | None = None  # (B * F', C0, H / SEEN, W / SEEN), with the features
        self.now: Tensor | None = None  # the same of this call
        self.shape: tuple[int, ...] = ()  # of what the first layer gave
        self.way = 0.0  # from what was seen to now
        self.last_way = 0.0  # on which the features last changed

    def fresh(self) -> AdaptiveFeatures:
        """See `DeepFeatures`."""
        return AdaptiveFeatures(self.tolerance)

    def recall(self, x: Tensor) -> Tensor | None:
        """See `DeepFeatures`."""
        self.now = x[..., ::SEEN, ::SEEN].float()
        if self.seen is None or self.features is None or self.shape != x.shape:
            self.shape, self.features, self.last_change = tuple(x.shape), None, None
            return None
        self.way = float((self.now - self.seen).norm() / self.seen.norm())
        if not self.way <= self.tolerance:
            return None
        if self.last_change is None:
            return self.features
        return self.features + GOES_ON * self.way / self.last_way * self.last_change

    def exchange(self, x: Tensor, recalled: Tensor | None) -> Tensor:
        """See `DeepFeatures`."""
        if recalled is not None:
            return recalled
        if self.features is not None:
            self.last_change, self.last_way = x - self.features, self.way
        self.features, self.seen = x, self.now
        return x


def kept_features(how: Sampling) -> KeptFeatures | None:
    """What a run keeps of deep layers: None where all is computed at every step."""
    if how.cache_tolerance > 0:
        return AdaptiveFeatures(how.cache_tolerance)
    return DeepFeatures(how.cache_every) if how.cache_every > 1 else None
