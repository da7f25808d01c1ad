"""A sound that goes with a film."""

from __future__ import annotations

import logging
import math
import wave
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import IVGError
from .files import atomic_write

log = logging.getLogger("ivg")

MOST_CHANNELS = 8
RATES = (1_000, 384_000)  # samples a second


@dataclass(frozen=True)
class Sound:
    """A sound in memory.

    Args:
        samples: (channels, N), -1..1; at most 8 channels. What is louder is cut off when it is written.
        rate: samples a second, 1,000 to 384,000.

    Raises:
        IVGError: another shape, no samples, some that are no numbers, or another rate.
    """

    samples: Tensor
    rate: int

    def __post_init__(self) -> None:
        shape = tuple(self.samples.shape)
        if len(shape) != 2 or not 1 <= shape[0] <= MOST_CHANNELS or not shape[1]:
            raise IVGError(
                f"The sound has the shape {shape}: it must be (channels, samples), with 1 to {MOST_CHANNELS} channels."
            )
        if not self.samples.isfinite().all():
            raise IVGError("The sound holds what is no number, such as NaN: look at what made it.")
        if not RATES[0] <= self.rate <= RATES[1]:
            raise IVGError(f"The sound has {self.rate} samples a second: {RATES[0]:,} to {RATES[1]:,} can be written.")

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.samples.shape[1] / self.rate

    def within(self, seconds: float) -> Sound:
        """What is heard of it in a film; a warning says what is not, or from when on the film is silent."""
        if self.seconds > seconds:
            log.warning(
                "The sound lasts %.1f s and the film %.1f s: what is longer is left out.", self.seconds, seconds
            )
            return Sound(self.samples[:, : max(1, math.floor(seconds * self.rate))], self.rate)
        if self.seconds < seconds - 0.05:
            log.warning("The sound ends after %.1f s of %.1f: the film is silent from there on.", self.seconds, seconds)
        return self


def write_wav(sound: Sound, path: Path) -> None:
    """Write a sound as WAV of 16 bits, whole or not at all.

    Raises:
        IVGError: the place cannot be written to.
    """
    whole = (sound.samples.detach().cpu().float().clamp(-1, 1) * 32767).round().to(torch.int16)
    with atomic_write(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(len(whole))
        file.setsampwidth(2)
        file.setframerate(sound.rate)
        file.writeframes(whole.T.contiguous().numpy().astype("<i2").tobytes())
