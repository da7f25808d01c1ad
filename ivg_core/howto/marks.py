"""What stands behind the words of a step in a line: `(4 s)`, `[seed 7]`, `[mask find]`."""

from __future__ import annotations

import re
from typing import Any

from ..errors import IVGError

_SECONDS = r"[(（]\s*(?P<seconds>\d{1,6}(?:\.\d{1,20})?)\s*(?:s|sec|secs|seconds?|秒)\s*[)）]"
_FIELD = r"\[(?P<key>seed|mask|image|title)\s+(?P<value>[^\[\]]+)\]"
#: At the end of a line, in any order; a full stop may follow and belongs to the words.
MARK = re.compile(rf"\s*(?:{_SECONDS}|{_FIELD})\s*(?P<stop>[.。]?)$", re.IGNORECASE)
#: Marks in the middle of a text, behind the end of their sentence.
BEHIND = re.sub(r"\?P<\w+>", "?:", rf"(?:\s*(?i:{_SECONDS}|{_FIELD})[.。]?)*")


def split_marks(words: str, where: str) -> tuple[str, dict[str, Any]]:
    """Part the words of a line from its marks.

    Args:
        words: of the line.
        where: it stands, for errors.

    Returns:
        The words without marks, and the values of the marks by the names of `Step`'s fields.

    Raises:
        IVGError: a mark that comes twice, or a seed that is no whole number.
    """
    values: dict[str, Any] = {}
    words = words.strip()
    while found := MARK.search(words, max(0, len(words) - 2000)):  # a path is shorter
        key = found["key"].lower() if found["key"] else "seconds"
        if key in values:
            raise IVGError(f"{where} has two marks for its {key}: keep one.")
        if key == "seed" and not re.fullmatch(r"\d{1,20}", found["value"].strip()):
            raise IVGError(f'{where} has "{found[0].strip()}": write a whole number such as [seed 7].')
        value = found["value"].strip() if found["key"] else float(found["seconds"])
        values[key] = int(value) if key == "seed" else value
        words = words[: found.start()] + (
            found["stop"] if words[found.start() - 1 : found.start()] not in ".。" else ""
        )
    return words, values


def marks_of(values: dict[str, Any]) -> str:
    """The marks of a step's values, as `split_marks` reads them."""
    seconds = repr(float(values["seconds"])).removesuffix(".0") if "seconds" in values else ""
    return "".join(f" ({seconds} s)" if key == "seconds" else f" [{key} {value}]" for key, value in values.items())
