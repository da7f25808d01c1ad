"""The course of a run: what its journal, its page and its summary are told of each item, whoever makes it."""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any

from .journal import DONE, FAILED, STARTED, Journal
from .page import write_page
from .table import Item

log = logging.getLogger("ivg")

PAGE_EVERY = 10  # items; so that one can look before the end
PAGE_SHARE = 0.05  # of the time, at most: pages of thousands of items take long, and here machines may wait


@dataclasses.dataclass(frozen=True)
class Summary:
    """What one run of a batch did; counts of items."""

    done: int
    failed: int
    skipped: int  # were done before


class Course:
    """Notes what becomes of the items of a run.

    Args:
        journal: of this process.
        skipped: how many items were done before.
    """

    def __init__(self, journal: Journal, skipped: int):
        self._journal, self._skipped = journal, skipped
        self._done = self._failed = 0
        self._next_page = 0.0  # when it may be written again

    def start(self, item: Item, **facts: Any) -> None:
        """An item is begun; `facts` go into the journal, here and below."""
        self._journal.write(item, STARTED, **facts)

    def done(self, item: Item, **facts: Any) -> None:
        """An item is made, and lies in the folder."""
        self._done += 1
        self._journal.write(item, DONE, **facts)
        self._show()

    def fail(self, item: Item, reason: str, **facts: Any) -> None:
        """An item cannot be made."""
        self._failed += 1
        log.warning("%s failed: %s", item.name, reason)
        self._journal.write(item, FAILED, error=reason, **facts)
        self._show()

    def end(self) -> Summary:
        """All have ended."""
        write_page(self._journal.path.parent)
        return Summary(self._done, self._failed, self._skipped)

    def _show(self) -> None:
        began = time.monotonic()
        if (self._done + self._failed) % PAGE_EVERY == 0 and began >= self._next_page:
            write_page(self._journal.path.parent)
            ended = time.monotonic()
            self._next_page = ended + (ended - began) / PAGE_SHARE
