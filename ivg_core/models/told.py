"""What a network is told besides the noisy latents: the one list of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import IVGError

#: The axis that is time, of those fields that have one.
TIME = {"photo": 2, "mask": 2, "boxes": 1, "phrases": 1, "said": 1, "beside": 2, "control": 2}


@dataclass(frozen=True)
class Told:
    """Everything that conditions a network, for B clips; None is not told.

    A new condition is one more field: slicing, joining and moving follow from the fields. A first axis of 1 holds for
    all clips. Of a field with a time axis (see `TIME`), a length of 1 holds for all frames.
    """

    text: Tensor  # (B, 77, D) the action, or the negative prompt; (B, S, 77, D) several, see `said`
    photo: Tensor | None = None  # (B, 4, 1, h, w) clean latent of the photo
    mask: Tensor | None = None  # (B, 1, 1 or T, h, w) 0..1, 1 = may move; a network takes one a clip
    motion: Tensor | None = None  # (B,) float32, about 0..20
    boxes: Tensor | None = None  # (B, F, N, 5) float32, x1, y1, x2, y2 in 0..1, and 1 = is there; None: no gates
    phrases: Tensor | None = None  # (B, F or 1, N, D) what is in the boxes
    photo_boxes: Tensor | None = None  # (B, 1, N, 5) boxes in the photo, where these are not those of the first frame
    seen: Tensor | None = None  # (B, 4, 1, h, w) what the gates see of the photo, where it is not `photo`
    said: Tensor | None = None  # (B, T, S) float32, share of each of several sentences in each frame; for windows
    beside: Tensor | None = None  # (B, C, 1 or T, h, w) further channels beside the latents, see `inflated.BESIDE`
    control: Tensor | None = None  # (B, 3, 1 or T, H, W) 0..1 pixels of what a ControlNet follows
    begins: Tensor | None = None  # (B,) int64, frame of its video at which it begins, from 0; -1 is not told
    also: Mapping[str, Any] | None = None  # what other programs' networks are told, by their names; tensors (B, …)

    def rows(self, rows: slice) -> Told:
        """What some of the clips are told."""
        return self._each(lambda x: x if len(x) == 1 else x[rows])

    def frames(self, span: slice) -> Told:
        """What a window of the frames is told."""
        cut: dict[str, Any] = {
            name: x.movedim(axis, 0)[span].movedim(0, axis) for name, axis, x in self._timed() if x.shape[axis] > 1
        }
        return replace(self, **cut)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Told:
        """Moved and cast; what is turned into waves, shares and counts keep their own dtype."""
        waves = ("motion", "boxes", "photo_boxes", "said", "begins", "also")
        exact: dict[str, Any] = {
            name: _changed(x, lambda x: x.to(device)) for name in waves if (x := getattr(self, name)) is not None
        }
        return replace(self._each(lambda x: x.to(device=device, dtype=dtype)), **exact)

    @staticmethod
    def cat(several: Sequence[Told]) -> Told:
        """One batch of several; what one of them is not told, none of them may be.

        Raises:
            IVGError: something in `also` that is no tensor differs, or a tensor has another shape.
        """
        counts = [max(len(x) for x in told._tensors()) for told in several]

        def joined(name: str, parts: list[Any]) -> Any:
            if isinstance(parts[0], Mapping):
                return {key: joined(key, [part[key] for part in parts]) for key in parts[0]}
            if isinstance(parts[0], Tensor):
                if len({part.shape[1:] for part in parts}) > 1:
                    raise IVGError(f"These clips differ in the length of their {name}: set batch_size to 1.")
                return torch.cat([x.expand(count, *x.shape[1:]) for x, count in zip(parts, counts, strict=True)])
            if parts[0] is not None and any(part is not parts[0] and part != parts[0] for part in parts):
                raise IVGError(f"These clips differ in {name}, which one batch is told as one: set batch_size to 1.")
            return parts[0]

        return Told(
            **{
                field.name: joined(field.name, [getattr(told, field.name) for told in several])
                for field in fields(Told)
            }
        )

    def _timed(self) -> list[tuple[str, int, Tensor]]:
        values = ((name, axis, getattr(self, name)) for name, axis in TIME.items())
        return [(name, axis, x) for name, axis, x in values if x is not None]

    def _tensors(self) -> list[Tensor]:
        values = (getattr(self, field.name) for field in fields(self))
        return [value for value in values if isinstance(value, Tensor)]

    def _each(self, change: Callable[[Tensor], Tensor]) -> Told:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: _changed(x, change) for name, x in values.items() if x is not None})


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A tensor changed, or those in a mapping."""
    if isinstance(value, Mapping):
        return {key: change(x) if isinstance(x, Tensor) else x for key, x in value.items()}
    return change(value)


def latent_motion_score(latents: Tensor) -> Tensor:
    """How much a clip moves: ten times the mean change from frame to frame, summed over the channels.

    Args:
        latents: (B, 4, F, h, w).

    Returns:
        (B,), about 0..20; 0 for a clip of one frame.

    Source: the released code's calculate_latent_motion_score.
    """
    if latents.shape[2] == 1:
        return latents.new_zeros(latents.shape[0])
    change = (latents[:, :, 1:] - latents[:, :, :-1]).abs()  # (B, 4, F - 1, h, w)
    return 10 * change.mean(dim=(2, 3, 4)).sum(dim=1)
