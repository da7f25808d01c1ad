"""What the user should know about a result, shown on the node itself and not only in the server's console.

The library logs warnings as any library does. A node whose `execute` stands under `noted` shows those that were logged
while it ran, what it says itself by `say`, and the sentence with which it stopped.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from comfy_execution.utils import get_executing_context

from ..ivg_core.errors import IVGError
from ._checks import check_values

_lines: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("ivg_notes", default=None)
#: Nodes that show something: an old note must go when there is none any more, and no text would leave it there.
_shown: set[str] = set()
NOTHING = "No notes on this run."
REAL_PHOTO = "For your own photo open the workflow ivg_01_real_photo."


class _Listener(logging.Handler):
    """Collects the warnings of one thread."""

    def __init__(self, lines: list[str]):
        super().__init__(logging.WARNING)
        self.lines, self.thread_id = lines, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread_id:
            if getattr(record, "unfamiliar", False):  # before all else, or it would be below the node's edge
                self.lines[:0] = [record.getMessage(), REAL_PHOTO]
            else:
                self.lines.append(record.getMessage())


class _Told(IVGError):
    """An IVGError as ComfyUI is told it.

    ComfyUI prints an error's module before its sentence, but for a built-in: ours would be a path on the disk.
    """

    __module__, __qualname__ = "builtins", "IVGError"


def noted(execute: Callable) -> Callable:
    """For a node's `execute`, below `@classmethod`: its values are checked, and its warnings are shown on the node."""
    signature = inspect.signature(execute)

    @functools.wraps(execute)
    def run(cls, *args, **kwargs):
        with warnings_shown() as lines:
            token = _lines.set(lines)
            try:
                check_values(cls, signature.bind(cls, *args, **kwargs).arguments)
                return execute(cls, *args, **kwargs)
            except IVGError as error:  # newer interfaces hide the sentence behind a button
                lines.append(str(error))
                raise _plain(error) from None
            finally:
                _lines.reset(token)

    return run


@contextmanager
def warnings_shown() -> Iterator[list[str]]:
    """Shows the library's warnings of the block on the node that is running, whosoever it is.

    Yields:
        The sentences so far, to which others may be added.
    """
    lines: list[str] = []
    listener, log = _Listener(lines), logging.getLogger("ivg")
    log.addHandler(listener)
    try:
        yield lines
    finally:
        log.removeHandler(listener)
        show(list(dict.fromkeys(lines)))  # a batch of photos would say the same for each


def say(text: str) -> None:
    """Show a sentence on the node that is running under `noted`."""
    lines = _lines.get()
    if lines is not None:
        lines.append(text)


def _plain(error: IVGError) -> IVGError:
    return _Told(str(error)).with_traceback(error.__traceback__)


@contextmanager
def told_plainly() -> Iterator[None]:
    """For what runs inside another node: an IVGError reaches ComfyUI as from one of ours."""
    try:
        yield
    except IVGError as error:
        raise _plain(error) from None


def show(lines: list[str]) -> None:
    """Show sentences on the node that is running, whosoever it is; none take an earlier one away."""
    # not at the top: where nodes are loaded without ComfyUI's main.py, its `utils` may not be found yet
    from server import PromptServer

    context = get_executing_context()
    server = getattr(PromptServer, "instance", None)
    if context is None or server is None:
        return
    if lines or context.node_id in _shown:
        text = "\n".join(lines).encode(errors="backslashreplace").decode()  # a file's name may hold half a letter
        server.send_progress_text(text or NOTHING, context.node_id, server.client_id)
        _shown.add(context.node_id)
