"""Stand-in for ComfyUI's `comfy_execution.utils`."""

import contextlib
import contextvars
from typing import NamedTuple


class ExecutionContext(NamedTuple):
    prompt_id: str
    node_id: str
    list_index: int | None


_context = contextvars.ContextVar("context", default=None)


def get_executing_context():
    return _context.get()


@contextlib.contextmanager
def CurrentNodeContext(prompt_id, node_id, list_index=None):
    token = _context.set(ExecutionContext(prompt_id, node_id, list_index))
    try:
        yield
    finally:
        _context.reset(token)
