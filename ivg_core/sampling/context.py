"""Context windows: which stretches of a long video a network sees at once, as ComfyUI calls them.

`crop.Windows` are of space, these are of time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from ..errors import IVGError
from .settings import check_count

Weights = Literal["pyramid", "flat", "overlap-linear"]
WindowSchedule = Literal["static", "uniform", "isolated"]
WindowNoise = Literal["independent", "freenoise"]
WEIGHTS, WINDOW_SCHEDULES, WINDOW_NOISES = get_args(Weights), get_args(WindowSchedule), get_args(WindowNoise)


@dataclass(frozen=True)
class ContextWindows:
    """How a video that is longer than what a model was made for is sampled: in windows of time that overlap.

    At every step each window is predicted by itself, and where windows overlap, their predictions are averaged. A video
    that fits into one window is sampled as without windows, bit for bit. The photo is told to every window.

    Args:
        length: frames of a window; None takes what the model was made for.
        stride: frames from one window to the next, at most `length`; None is half of it; of a model tuned to one video,
            that of its clips. The time that a video takes is about length / stride times that of clips by themselves.
        weights: of a window's frames where windows overlap. "pyramid": the more, the nearer to its middle. "flat": all
            the same. "overlap-linear": rising and falling over the overlaps.
        schedule: "static": the same windows at every step. "uniform": they shift from step to step, which hides their
            borders. "isolated": windows side by side, for comparing; the last one overlaps where they do not come out
            even.
        batch: windows computed at once; more of them take more memory. The numbers stay the same but for rounding. With
            `Sampling.cache_every` or `cache_tolerance` the deep features of all windows are kept as well, and the
            memory grows with them.
        noise: "independent", or "freenoise": that of the first window again and again, shuffled, so that windows look
            more alike.
        smooth: in the first 25 steps each frame is drawn a little to the one before it.
        devices: further devices, such as "cuda:1", each of which gets a copy of the network and its share of the
            windows.

    Raises:
        IVGError: a value that cannot work.

    Source: Gen-L-Video (arXiv 2305.18264): flat, static, smooth; AnimateDiff-Evolved and ComfyUI: weights and uniform;
        FreeNoise (arXiv 2310.15169).
    """

    length: int | None = None
    stride: int | None = None
    weights: Weights = "pyramid"
    schedule: WindowSchedule = "static"
    batch: int = 1
    noise: WindowNoise = "independent"
    smooth: bool = False
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("length", "stride", "batch"):
            check_count(f"The window's {name}", getattr(self, name))
        for name, known in (("weights", WEIGHTS), ("schedule", WINDOW_SCHEDULES), ("noise", WINDOW_NOISES)):
            if getattr(self, name) not in known:
                raise IVGError(f"There is no {name} {getattr(self, name)!r} of windows: choose {', '.join(known)}.")
        if self.batch is None:
            raise IVGError("The window's batch is None: give a whole number of at least 1.")
        if self.schedule == "isolated" and self.stride not in (None, self.length):
            raise IVGError("Isolated windows lie side by side: leave the stride out.")
        if self.length is not None:
            self.lengths(self.length)

    def lengths(self, own: int) -> tuple[int, int]:
        """Length and stride in frames, for a model that was made for `own` frames.

        Raises:
            IVGError: the stride is longer than the window.
        """
        length = self.length or own
        stride = length if self.schedule == "isolated" else self.stride or max(1, length // 2)
        if stride > length:
            raise IVGError(
                f"The stride of {stride} frames is longer than the window of {length}, which would leave frames out: "
                f"give 1 to {length}."
            )
        return length, stride

    def at_once(self, frames: int, own: int) -> int:
        """How many frames of a video of so many are computed at once; their number decides the memory it takes."""
        return min(frames, self.lengths(own)[0] * self.batch)

    def spans(self, frames: int, own: int, step: int = 0) -> list[slice]:
        """The windows of a step, see `spans`.

        Args:
            frames: T of the video.
            own: frames that the model was made for.
            step: of the sampler, from 0.
        """
        length, stride = self.lengths(own)
        shift = int(bit_reversed(step) * stride) if self.schedule == "uniform" else 0
        return spans(frames, length, stride, shift)


def spans(frames: int, length: int, stride: int, shift: int = 0) -> list[slice]:
    """Windows that cover a video, from its first frame to its last; the last one is moved back to end with it.

    Args:
        frames: T >= 1.
        length: frames of a window.
        stride: frames from one window to the next, 1 to `length`.
        shift: all windows but the first and the last begin so much later, 0 to stride - 1.

    Returns:
        The windows in order, all of one length: `length`, or T where the video is shorter.
    """
    last = frames - length
    if last <= 0:
        return [slice(0, frames)]
    starts = sorted({0, *range(shift, last, stride), last})
    return [slice(start, start + length) for start in starts]


def middle(window: slice) -> int:
    """The middle frame of a window; the earlier one of two."""
    return (window.start + window.stop - 1) // 2


def bit_reversed(number: int) -> float:
    """A fraction 0..1 whose binary digits are the number's in reverse: 0, 1/2, 1/4, 3/4, 1/8, …

    Successive numbers lie far apart, and any few of them are spread evenly.
    """
    fraction, place = 0.0, 0.5
    while number:
        number, digit = divmod(number, 2)
        fraction, place = fraction + digit * place, place / 2
    return fraction


def frame_weights(windows: list[slice], kind: Weights) -> list[list[float]]:
    """How much each frame of each window counts, above 0.

    Args:
        windows: in order, of one length.
        kind: see `ContextWindows`.

    Returns:
        A list for each window, with a number for each of its frames.
    """
    length = windows[0].stop - windows[0].start
    if kind == "flat":
        return [[1.0] * length for _ in windows]
    if kind == "pyramid":
        return [[float(min(j + 1, length - j)) for j in range(length)] for _ in windows]
    befores = [0, *(max(0, one.stop - two.start) for one, two in pairwise(windows))]
    afters = [*befores[1:], 0]
    return [
        [min(1.0, (j + 1) / (before + 1), (length - j) / (after + 1)) for j in range(length)]
        for before, after in zip(befores, afters, strict=True)
    ]
