"""Classifier-free guidance: how strongly the sentence is followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import IVGError
from ..finite import is_finite, overflow
from ..models.told import Told

if TYPE_CHECKING:
    from ..models.backbone import Predictor, UNetBackbone
    from ..models.unet import KeptFeatures


class Guided:
    """Predicts a step along a ladder of what the network is told: each rung moves the prediction away from the last.

    With rungs (1, negative) and (g, positive) that is plain guidance, `n + g (p - n)`; a rung more separates what two
    conditions add. All rungs come from one pass over a larger batch; one whose scale is also the next one's cancels out
    and is not computed. Steps without guidance take the last rung only.

    Args:
        backbone: the network of the stage.
        ladder: (scale, what is told), from the least to the most; the first scale is 1.
        interval: (first, last) part of the steps that are guided, fractions 0..1 of all steps.
        features: what is kept of deep layers from call to call; None = all is computed.

    Source: arXiv 2207.12598; intervals: arXiv 2404.07724.
    """

    def __init__(
        self,
        backbone: Predictor,
        ladder: Sequence[tuple[float, Told]],
        interval: tuple[float, float] = (0.0, 1.0),
        features: KeptFeatures | None = None,
    ):
        self.backbone, self.interval, self.features = backbone, interval, features
        after = [*[scale for scale, _ in ladder[1:]], None]
        rungs = [rung for rung, above in zip(ladder, after, strict=True) if rung[0] != above]
        self.scales, self.last = [scale for scale, _ in rungs], ladder[-1][1]
        self.rungs = Told.cat([told for _, told in rungs]) if len(rungs) > 1 else self.last

    def __call__(self, latents: Tensor, timestep: Tensor, progress: float) -> Tensor:
        """The guided prediction for one step.

        Args:
            latents: (B, 4, F, h, w) float32.
            timestep: scalar.
            progress: steps done, as a fraction of all, 0 <= progress < 1.

        Returns:
            (B, 4, F, h, w) float32.
        """
        first, last = self.interval
        if len(self.scales) == 1 or not first <= progress < last:
            return self._predict(latents, timestep, self.last)
        several = torch.cat([latents] * len(self.scales))
        outputs = self._predict(several, timestep, self.rungs).chunk(len(self.scales))
        guided = outputs[0]
        for scale, below, output in zip(self.scales[1:], outputs, outputs[1:], strict=False):
            guided = guided + scale * (output - below)
        return guided

    def _predict(self, latents: Tensor, timestep: Tensor, told: Told) -> Tensor:
        return self.backbone(latents.to(told.text.dtype), timestep, told, self.features).float()


class AsCoded(Guided):
    """SMCD's released guidance by the photo, for comparing with it: a second prediction is added whole, not shared out.

    Args:
        backbone, ladder: see `Guided`; steps are all guided.
        without: what is told where the photo is left out beside the frames, and is still seen by the gates.
        photo_scale: of what the photo adds to that.
    """

    def __init__(self, backbone: Predictor, ladder: Sequence[tuple[float, Told]], without: Told, photo_scale: float):
        super().__init__(backbone, ladder)
        self.without, self.photo_scale = without, photo_scale

    def __call__(self, latents: Tensor, timestep: Tensor, progress: float) -> Tensor:
        """See `Guided`."""
        whole, less = (self._predict(latents, timestep, told) for told in (self.last, self.without))
        return super().__call__(latents, timestep, progress) + less + self.photo_scale * (whole - less)


def what_overflowed(backbone: UNetBackbone, ladder: Sequence[tuple[float, Told]]) -> IVGError:
    """The error of the first part whose numbers are none, where the network's are none."""
    model, unet = backbone.model, backbone.network
    if not all(told.photo is None or is_finite(told.photo) for _, told in ladder):
        return overflow(model.vae, "The autoencoder", model.vae.dtype)
    if not all(is_finite(told.text) for _, told in ladder):
        return overflow(model.text_encoder, "The text encoder", model.text_encoder.dtype)
    return overflow(unet, "The network", unet.dtype)
