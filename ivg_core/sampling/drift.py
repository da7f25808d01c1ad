"""Colours that wandered: how a generated clip differs from its photo where nothing should have changed."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..errors import IVGError

ENOUGH = 0.01  # share of the picture that must lie outside the mask for its colours to be judged
FLAT = 2 / 255  # a spread below this says nothing about contrast
STEADY = 12 / 255  # what is left after the correction when the camera stood still


@dataclasses.dataclass(frozen=True)
class Drift:
    """How the colours outside the mask changed; a pixel of the photo became about `gain * photo + offset`.

    Attributes:
        gain: (F, 3).
        offset: (F, 3), 0..1.
        before: (F,), mean absolute difference from the photo outside the mask, 0..1.
        after: (F,), the same once it is corrected.
    """

    gain: Tensor
    offset: Tensor
    before: Tensor
    after: Tensor

    def report(self, corrected: bool = True) -> str:
        """What was found, in sentences for the user; levels are of 255."""
        worst = int(self.before.argmax())
        shift = self.offset[worst] + (self.gain[worst] - 1) / 2  # of a middle grey
        channel = int(shift.abs().argmax())
        text = (
            f"Outside the mask the colours differ by {255 * self.before.mean():.1f} levels of 255 on average, most in "
            f"frame {worst + 1} ({255 * self.before[worst]:.1f}; {('red', 'green', 'blue')[channel]} "
            f"{255 * shift[channel]:+.1f})."
        )
        left = f"{255 * self.after.mean():.1f}"
        text += f" Corrected, {left} are left." if corrected else f" Not corrected; a correction would leave {left}."
        if self.after.mean() > STEADY:
            text += " That is much: the camera moved, or things changed outside the mask, and the seam may show."
        return text


def measure_drift(frames: Tensor, photo: Tensor, outside: Tensor) -> Drift | None:
    """Measure how each frame's colours differ from the photo's outside the mask.

    Pixels that changed quite unlike most others do not count: a shadow or a sleeve that reaches over the edge.

    Args:
        frames: (F, H, W, 3), 0..1.
        photo: (H, W, 3), 0..1.
        outside: (H, W) bool, True where nothing should have changed.

    Returns:
        The drift; None where less than 1 % of the picture lies outside.

    Raises:
        IVGError: the sizes differ.
    """
    if frames.shape[1:] != photo.shape or outside.shape != photo.shape[:2]:
        raise IVGError(
            f"The frames are {tuple(frames.shape[1:])}, the photo {tuple(photo.shape)} and the mask "
            f"{tuple(outside.shape)}: give all of them the same height and width."
        )
    if outside.float().mean() < ENOUGH:
        return None
    were = photo[outside]  # (N, 3)
    gains, offsets, before, after = [], [], [], []
    for frame in frames:  # one by one: a long clip would take its memory again
        are = frame[outside]
        gain, offset = _colour_change(were, are)
        gains.append(gain)
        offsets.append(offset)
        before.append((are - were).abs().mean())
        after.append(((are - offset) / gain - were).abs().mean())
    return Drift(torch.stack(gains), torch.stack(offsets), torch.stack(before), torch.stack(after))


def correct_drift(frames: Tensor, drift: Drift) -> Tensor:
    """The frames (F, H, W, 3) with the drift taken out, also inside the mask; 0..1."""
    return ((frames - drift.offset[:, None, None]) / drift.gain[:, None, None]).clamp(0, 1)


def _colour_change(were: Tensor, are: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and offset (3,) that take most of the pixels (N, 3) from what they were to what they are."""
    change = are - were
    strange = (change - change.median(dim=0).values).abs().amax(1)  # (N,)
    most = strange <= 3 * strange.median() + 1 / 255
    were, are = were[most], are[most]
    spread, spread_now = were.std(dim=0), are.std(dim=0)
    gain = torch.where((spread > FLAT) & (spread_now > FLAT), spread_now / spread.clamp(min=FLAT), 1.0).clamp(0.5, 2)
    return gain, are.mean(dim=0) - gain * were.mean(dim=0)
