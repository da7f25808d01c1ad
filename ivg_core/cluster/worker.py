"""One worker of a pool, on its own machine."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .. import __version__
from ..errors import IVGError, reason_of


@dataclass(frozen=True)
class Driver:
    """What a worker is to have in common with the process that hands out the tasks."""

    version: str  # of this package
    folder: str  # in which paths that are not absolute begin
    threads: int  # with which torch computes: other numbers of them round otherwise


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """The warnings of this package in the block, each once: on another machine nobody would read them."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if (text := record.getMessage()) not in said:
                said.append(text)

    log, ear = logging.getLogger("ivg"), Ear(logging.WARNING)
    log.addHandler(ear)
    try:
        yield said
    finally:
        log.removeHandler(ear)


class Worker:
    """What a Ray actor does: it loads what the tasks need, then does one at a time."""

    def begin(self, driver: Driver, load: Callable[[], Callable[[Any], Any]]) -> tuple[str, list[str]]:
        """Get ready; gives why this cannot be, "" if it is, and what was warned of."""
        import torch

        try:
            if driver.version != __version__:
                raise IVGError(
                    f"comfy-ivg is {__version__} there and {driver.version} here: install the same version there."
                )
            with contextlib.suppress(OSError):  # whoever gives whole paths needs no such folder there
                os.chdir(driver.folder)
            torch.set_num_threads(driver.threads)
            with heard() as said:
                self._do = load()
        except Exception as error:
            return reason_of(error), []
        return "", said

    def do(self, task: Any) -> tuple[Any, str, float, list[str]]:
        """The result of a task, why it failed ("" if not), the seconds that it took, and what was warned of."""
        began = time.monotonic()
        result, error = None, ""
        with heard() as said:
            try:
                result = self._do(task)
            except Exception as failure:  # whatever it is: it must not end the worker
                error = reason_of(failure)
        return result, error, time.monotonic() - began, said
