"""The one exception that carries a sentence for the user, and the one that any work may end in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class IVGError(ValueError):
    """A mistake that the user can mend: the message says what is wrong, where, and what to do next."""

    def __str__(self) -> str:
        # A path may hold half a character, which can be neither printed nor sent: ComfyUI's worker would die of it.
        return super().__str__().encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def told_of(where: str) -> Iterator[None]:
    """Errors within name a place: a row of a table, a step of a plan."""
    try:
        yield
    except IVGError as error:
        raise IVGError(f"{where}: {error}") from error


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory; torch has a type of its own for GPUs only."""
    said = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or "out of memory" in said
        or "not enough memory" in said
        or "can't allocate memory" in said
    )


def shortly(error: BaseException, most: int = 200) -> str:
    """What another library's error says, in one line of at most so many letters; its kind where it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def reason_of(error: Exception) -> str:
    """Why one of many things failed, in one line for a journal."""
    return str(error) if isinstance(error, IVGError) else f"{type(error).__name__}: {error}"
