"""Which LoRAs in training are heard in a forward pass, and again where it is recomputed in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import NamedTuple


class Voices(NamedTuple):
    """The roles of LoRA layers in one pass; roles in neither are silent."""

    learns: frozenset[str]  # added, with gradient
    sounds: frozenset[str]  # added, as they are
    clips: tuple[int, ...] = ()  # whose LoRA is heard, for each item of the batch, of roles that have one a clip


#: None: all learn, but for roles that have a LoRA a clip. Of the pass and not of the network, since several passes can
#: wait for one backward pass.
VOICES: ContextVar[Voices | None] = ContextVar("VOICES", default=None)


@contextmanager
def heard(voices: Voices | None) -> Iterator[None]:
    """Inside the `with` block these are heard."""
    token = VOICES.set(voices)
    try:
        yield
    finally:
        VOICES.reset(token)


def heard_again() -> tuple[AbstractContextManager, AbstractContextManager]:
    """The contexts of a checkpointed layer's forward pass and of its recomputation, for `torch.utils.checkpoint`."""
    return nullcontext(), heard(VOICES.get())
