"""What the frames of a clip see of each other in an image model's network; they stand in the batch as images.

Source: Gen-L-Video (arXiv 2305.18264) and its released code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from einops import rearrange
from torch import Tensor

#: Frames of each clip in a pass. Of the pass and not of the network, since two threads may be in it.
FRAMES: ContextVar[int] = ContextVar("FRAMES")


@contextmanager
def seen_together(frames: int) -> Iterator[None]:
    """Inside the `with` block a batch of images is clips of so many frames each."""
    token = FRAMES.set(frames)
    try:
        yield
    finally:
        FRAMES.reset(token)


def pooled(norm: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """A group norm of images (B * F, C, h, w) with the statistics of all frames of a clip; see `seen_together`."""
    if (frames := FRAMES.get()) == 1:
        return norm(images)
    normed = norm(rearrange(images, "(b f) c h w -> b c f h w", f=frames))
    return rearrange(normed, "b c f h w -> (b f) c h w")


def seen_by_each(states: Tensor, first: bool = False) -> Tensor:
    """What each frame of a clip attends to: one frame of the clip, and the neighbour on the way there.

    Args:
        states: (B * F, n, C).
        first: that one frame is the first; otherwise the middle one.

    Returns:
        (B * F, 2 n, C); of a clip of one frame that frame alone, (B, n, C).
    """
    if (frames := FRAMES.get()) == 1:
        return states
    one = 0 if first else frames // 2
    near = [i + (i < one) - (i > one) for i in range(frames)]
    clips = rearrange(states, "(b f) n c -> b f n c", f=frames)
    return torch.cat([clips[:, [one] * frames], clips[:, near]], dim=2).flatten(0, 1)
