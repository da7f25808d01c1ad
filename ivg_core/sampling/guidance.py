"""Classifier-free guidance: how strongly the sentence is followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import IVGError

if TYPE_CHECKING:
    from ..models.unet import IVGUNet


@dataclass(frozen=True)
class Condition:
    """What the network is told besides the noisy latents, for B clips, in the network's dtype and on its device."""

    text: Tensor  # (B, 77, D) the action
    negative: Tensor | None  # (B, 77, D) the negative prompt; None where nothing is guided
    latent: Tensor  # (B, 4, 1, h, w) the photo
    mask: Tensor | None  # (B, 1, 1, h, w)
    motion: Tensor | None  # (B,) float32


class GuidedNoise:
    """Predicts the noise of a step, pushed away from the negative prompt: `eps_u + g (eps_c - eps_u)`.

    Both predictions come from one pass over a batch of twice the size. Steps without guidance take half the work.

    Args:
        unet: the network of the stage.
        condition: what it is told.
        scale: g; at most 1 means no guidance: a single pass, and the negative prompt is not used.
        interval: (first, last) part of the steps that are guided, fractions 0..1 of all steps; the others use scale 1.

    Raises:
        IVGError: an interval outside 0..1 or the wrong way round.

    Source: arXiv 2207.12598; intervals: arXiv 2404.07724.
    """

    def __init__(self, unet: IVGUNet, condition: Condition, scale: float, interval: tuple[float, float] = (0.0, 1.0)):
        first, last = interval
        if not 0 <= first <= last <= 1:
            raise IVGError(f"The guidance interval is {first} to {last}: give 0 <= first <= last <= 1.")
        self.unet, self.condition, self.scale, self.interval = unet, condition, scale, interval
        self.doubled = _doubled(condition) if scale > 1 and condition.negative is not None else None

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
        if self.doubled is None or not first <= progress < last:
            return self._predict(latents, timestep, self.condition)
        negative, positive = self._predict(torch.cat([latents, latents]), timestep, self.doubled).chunk(2)
        return negative + self.scale * (positive - negative)

    def _predict(self, latents: Tensor, timestep: Tensor, told: Condition) -> Tensor:
        noise_pred = self.unet(
            latents.to(told.latent.dtype),
            timestep,
            told.text,
            condition_latent=told.latent,
            mask=told.mask,
            motion=told.motion,
        )
        return noise_pred.float()


def _doubled(condition: Condition) -> Condition:
    def twice(x: Tensor | None) -> Tensor | None:
        return None if x is None else torch.cat([x, x])

    assert condition.negative is not None
    text = torch.cat([condition.negative, condition.text])
    return Condition(text, None, torch.cat([condition.latent] * 2), twice(condition.mask), twice(condition.motion))
