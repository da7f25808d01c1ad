"""A network made for few frames, called on many: each window of time by itself, the predictions merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..models.backbone import Predictor
from ..models.told import Told
from .context import ContextWindows, frame_weights, middle

if TYPE_CHECKING:
    from ..models.unet import KeptFeatures

SMOOTHED_STEPS, SMOOTHINGS, SMOOTHING = 25, 5, 1e-3


class Windowed:
    """A `Backbone` that computes a video window by window, for `Guided`: as guidance is linear, it stays outside.

    Args:
        backbone: that computes a window.
        context: the windows.
        own: frames that the model was made for.
        timesteps: (N,) of the solver; they tell which step a call belongs to.
        replicas: copies of the backbone on other devices; a step's windows are spread over all of them.
    """

    def __init__(
        self,
        backbone: Predictor,
        context: ContextWindows,
        own: int,
        timesteps: Tensor,
        replicas: Sequence[Predictor] = (),
    ):
        self.backbones: list[Any] = [backbone, *replicas]
        self.context, self.own, self.timesteps = context, own, timesteps.cpu()
        self.kept: dict[int, KeptFeatures] = {}  # of each group of windows

    @property
    def network(self) -> Any:
        """Of the backbone itself, not of its replicas."""
        return self.backbones[0].network

    def through(self, change: Callable[[Any], Any]) -> Windowed:
        """The same windows through other backbones: what `change` makes of each."""
        first, *others = map(change, self.backbones)
        return Windowed(first, self.context, self.own, self.timesteps, others)

    def __call__(self, noisy: Tensor, level: Tensor, told: Told, features: KeptFeatures | None = None) -> Tensor:
        """See `Backbone`; merged predictions are in float32."""
        step = 0
        if self.context.schedule == "uniform":
            step = int((self.timesteps == level.reshape(-1)[0].cpu()).nonzero()[0])
        windows = self.context.spans(noisy.shape[2], self.own, step)
        if len(windows) == 1:
            return self.backbones[0](noisy, level, told_in(told, windows[0]), features)
        groups = [
            range(i, min(i + self.context.batch, len(windows))) for i in range(0, len(windows), self.context.batch)
        ]

        def predict(backbone: Predictor, group: range, device: torch.device) -> tuple[Tensor, ...]:
            several = torch.cat([noisy[:, :, windows[i]] for i in group])
            levels = level.repeat(len(group)) if level.numel() > 1 else level
            tolds = Told.cat([told_in(told, windows[i]) for i in group])
            kept = self.kept.setdefault(group.start, features.fresh()) if features else None
            out = backbone(several.to(device), levels.to(device), tolds.to(device), kept)
            return out.to(noisy.device).chunk(len(group))

        weights = [noisy.new_tensor(row, dtype=torch.float32) for row in frame_weights(windows, self.context.weights)]
        total = torch.zeros_like(noisy, dtype=torch.float32)
        share = total.new_zeros(noisy.shape[2])
        for group, outputs in self._spread(groups, predict, noisy.device):
            for i, output in zip(group, outputs, strict=True):
                total[:, :, windows[i]] += weights[i][:, None, None] * output
                share[windows[i]] += weights[i]
        return total / share[:, None, None]

    def _spread(
        self, groups: list[range], predict: Callable[..., tuple[Tensor, ...]], device: torch.device
    ) -> Iterator[tuple[range, tuple[Tensor, ...]]]:
        """Each group with what is predicted for it, in order; every backbone takes its turn with the groups."""
        if (count := len(self.backbones)) == 1:
            yield from ((group, predict(self.backbones[0], group, device)) for group in groups)
            return
        grad = torch.is_grad_enabled()  # each thread has its own

        def turn(i: int) -> list[tuple[Tensor, ...]]:
            place = device if i == 0 else self.backbones[i].network.device
            with torch.set_grad_enabled(grad):
                return [predict(self.backbones[i], group, place) for group in groups[i::count]]

        with ThreadPoolExecutor(count) as pool:
            turns = list(pool.map(turn, range(count)))
        yield from ((group, turns[i % count][i // count]) for i, group in enumerate(groups))


def told_in(told: Told, window: slice) -> Told:
    """What a window is told: its part of what changes in time, and what a network takes once a clip for the window.

    Args:
        told: of the whole video.
        window: of its frames.

    Returns:
        The sentence and the mask of the window's middle frame, its boxes, and where it begins. What things are carried
        from is where they are in the photo, which is not the window's first frame.
    """
    if told.boxes is not None and told.photo_boxes is None:
        told = replace(told, photo_boxes=told.boxes[:, :1])
    if told.said is not None:
        shares = told.said[:, middle(window)].to(told.text)  # (B, S)
        told = replace(told, text=torch.einsum("bs,bsld->bld", shares, told.text), said=None)
    if told.mask is not None and told.mask.shape[2] > 1:
        told = replace(told, mask=told.mask[:, :, middle(window), None])
    if told.begins is not None:
        told = replace(told, begins=torch.where(told.begins < 0, told.begins, told.begins + window.start))
    return told.frames(window)


class Stacked:
    """The released code's form: each window makes its own step, and what they step to is averaged.

    A video is a batch of its windows here, (n * B, C, w, h, w), so that a loop over steps knows of no windows.

    Args:
        windows: of every step.
        smooth: see `ContextWindows`.

    Source: Gen-L-Video (arXiv 2305.18264) and its released code.
    """

    def __init__(self, windows: list[slice], smooth: bool = False):
        self.windows, self.smooth = windows, smooth

    def cut(self, video: Tensor) -> Tensor:
        """The windows of (B, C, T, h, w)."""
        return torch.cat([video[:, :, window] for window in self.windows])

    def join(self, stacked: Tensor) -> Tensor:
        """The video of the windows, by their mean."""
        parts = stacked.chunk(len(self.windows))
        shape = list(parts[0].shape)
        shape[2] = self.windows[-1].stop
        total, count = stacked.new_zeros(shape), stacked.new_zeros(shape[2])
        for window, part in zip(self.windows, parts, strict=True):
            total[:, :, window] += part
            count[window] += 1
        return total / count[:, None, None]

    def told(self, told: Told) -> Told:
        """What all windows are told."""
        return Told.cat([told_in(told, window) for window in self.windows])

    def __call__(self, stacked: Tensor, step: int) -> Tensor:
        """What stands between two steps: windows agree on the frames that they share."""
        if self.smooth:
            stacked = smoothed(stacked, step)
        return self.cut(self.join(stacked))


def smoothed(video: Tensor, step: int) -> Tensor:
    """Latents (B, C, T, h, w) after a step, in the first ones with each frame drawn to the one before it.

    Source: `use_l2` of Gen-L-Video's released code, which draws within each window; see `Stacked`.
    """
    if step < SMOOTHED_STEPS:
        for _ in range(SMOOTHINGS):
            drawn = video[:, :, 1:] + SMOOTHING * (video[:, :, :-1] - video[:, :, 1:])
            video = torch.cat([video[:, :, :1], drawn], dim=2)
    return video
