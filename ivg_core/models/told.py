"""What a network is told besides the noisy latents: the one list of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Told:
    """Everything that conditions a network, for B clips; None is not told.

    A new condition is one more field: slicing, joining and moving follow from the fields. A first axis of 1 holds for
    all clips. Of a field with a time axis (axis 2 of five), a length of 1 holds for all frames.
    """

    text: Tensor  # (B, 77, D) the action, or the negative prompt
    photo: Tensor | None = None  # (B, 4, 1, h, w) clean latent of the photo
    mask: Tensor | None = None  # (B, 1, 1, h, w) 0..1, 1 = may move
    motion: Tensor | None = None  # (B,) float32, about 0..20

    def rows(self, rows: slice) -> Told:
        """What some of the clips are told."""
        return self._each(lambda x: x if len(x) == 1 else x[rows])

    def frames(self, span: slice) -> Told:
        """What a window of the frames is told."""
        return self._each(lambda x: x[:, :, span] if x.ndim == 5 and x.shape[2] > 1 else x)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Told:
        """Moved and cast; the motion strength, which is embedded like a timestep, stays in float32."""
        moved = self._each(lambda x: x.to(device=device, dtype=dtype))
        return moved if self.motion is None else replace(moved, motion=self.motion.to(device))

    @staticmethod
    def cat(several: Sequence[Told]) -> Told:
        """One batch of several; what one of them is not told, none of them may be."""
        counts = [max(len(x) for x in told._tensors()) for told in several]

        def joined(name: str) -> Tensor | None:
            parts = [getattr(told, name) for told in several]
            if parts[0] is None:
                return None
            return torch.cat([x.expand(count, *x.shape[1:]) for x, count in zip(parts, counts, strict=True)])

        return Told(**{field.name: joined(field.name) for field in fields(Told)})  # type: ignore[arg-type]

    def _tensors(self) -> list[Tensor]:
        values = (getattr(self, field.name) for field in fields(self))
        return [value for value in values if value is not None]

    def _each(self, change: Callable[[Tensor], Tensor]) -> Told:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(x) for name, x in values.items() if x is not None})


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
