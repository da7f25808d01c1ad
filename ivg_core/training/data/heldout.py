"""Which clips are not trained on, but measured with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ...errors import IVGError


def choose_heldout(names: Sequence[str], count: int) -> set[str]:
    """The names of `count` clips to measure with; which they are follows from the names alone.

    Several captions of one clip, and the parts that it is cut into, stay together, so more than `count` may be held
    out.

    Raises:
        IVGError: nothing would be left to train on.
    """
    clips = sorted({_clip_of(name) for name in names}, key=_digest)
    if count and count >= len(clips):
        raise IVGError(
            f"data: heldout is {count} of {len(clips)} clips, so none is left: hold out fewer, or give more."
        )
    return {name for name in names if _clip_of(name) in clips[:count]}


def _clip_of(name: str) -> str:
    return name.partition(" #")[0]


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode(errors="backslashreplace")).digest()  # a file's name may hold half a letter
