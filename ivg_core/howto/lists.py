"""The steps in a text that lists them, by rule: their words and their number stay."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ..errors import IVGError
from .lines import Line, broken_up, read_lines
from .sentences import ends_sentence, join, sentences

log = logging.getLogger("ivg")

#: Headings above what is no step, and above the steps.
BESIDE = set(
    "ingredients|you need|you will need|what you need|materials|tools|equipment|notes|tips|servings|nutrition|"
    "材料|食材|用料|配料|工具|道具|小贴士|ポイント|コツ".split("|")
)
STEPS = set(
    "steps|the steps|method|instructions|directions|preparation|procedure|how to|"
    "步骤|步驟|做法|制作步骤|作り方|手順|つくりかた".split("|")
)
MOST_NAMED = 5  # lines in one warning


@dataclass(frozen=True)
class Listed:
    """What was found in a text."""

    title: str
    entries: list[Line]  # the steps, if it lists them
    prose: str  # paragraphs of free text, if it does not


def read_list(text: str) -> Listed:
    """Find the steps that a text lists: numbered ones, else those with bullets, else one a line.

    Lines that go on with a step belong to it. A heading before the steps is the title, and so is a line before them
    that stands alone. A list of ingredients or tools is set aside, and a warning names each line that is left out.

    Args:
        text: as people write it, see `read_plan`.

    Returns:
        The steps; or, where lines hold several sentences or sentences go over lines, the free text.

    Raises:
        IVGError: numbers that come twice, or out of order.
    """
    lines = read_lines(broken_up(text))
    within, beside = _parted(lines)
    for kind in ("number", "bullet"):
        marked = [line for line in within if line.kind == kind]
        if marked:
            return _of_marked(marked, within, beside)
    title, rest = _title_above([line for line in within if not _is_signpost(line)])
    if _is_prose(rest):
        _say_left_out(beside)
        return Listed(title, [], _paragraphs(rest))
    entries = [line for line in rest if line.kind == "plain"]
    _say_left_out([*beside, *(line for line in rest if line.kind != "plain")])
    return Listed(title, entries, "")


def _heads(line: Line) -> str:
    """The words of a line that may stand above others, for comparing; "" if it does not."""
    if line.kind == "heading" or (line.kind == "plain" and (line.words[-1:] in (":", "：") or len(line.words) < 20)):
        return line.words.rstrip(":： ").lower()
    return ""


def _is_signpost(line: Line) -> bool:
    return _heads(line) in BESIDE | STEPS


def _parted(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """The lines that steps may stand in, and those under a heading such as "Ingredients"."""
    within: list[Line] = []
    beside: list[Line] = []
    aside, items = False, ""  # items: of which kind the lines under such a heading are
    for line in lines:
        heads = _heads(line)
        if heads in BESIDE:
            aside, items = True, ""
        elif heads in STEPS or line.kind == "heading":
            aside = False
        elif aside:
            items = items or line.kind
            other = line.kind != items and (line.apart or line.kind == "number")
            aside = not other and not (line.apart and ends_sentence(line.words))
        (beside if aside else within).append(line)
    return (within, beside) if within else (beside, within)


def _of_marked(marked: list[Line], within: list[Line], beside: list[Line]) -> Listed:
    """The steps of lines with numbers or bullets, with what goes on with each."""
    kind, indent = marked[0].kind, marked[0].indent
    entries: list[Line] = []
    before: list[Line] = []
    left = list(beside)
    for line in within:
        last = entries[-1] if entries else line
        goes_on = entries and (not line.apart or line.indent > last.indent or not last.words or last.heads)
        if line.kind == kind and line.indent <= indent + 1:
            entries.append(line)
        elif goes_on and line.kind != "heading" and not _is_signpost(line):
            entries[-1] = _with(last, line)
        elif not _is_signpost(line):
            (left if entries else before).append(line)
    if kind == "number":
        _check_numbers(entries)
    headings = [line for line in before if line.kind == "heading"]
    above = headings[:1] or (before if len(before) == 1 else [])
    title = _as_title(above[0]) if above else ""
    _say_left_out([*left, *(line for line in before if line not in above)])
    return Listed(title, entries, "")


def _with(step: Line, line: Line) -> Line:
    """A step with a line that goes on with it."""
    if step.heads:
        return replace(step, heads=False, title=step.words, words=line.words)
    if (line.apart or line.kind == "bullet") and step.words[-1:].isalnum():
        return replace(step, words=f"{step.words}{',' if line.kind == 'bullet' else '.'} {line.words}")
    return replace(step, words=join(step.words, line.words))


def _check_numbers(entries: Sequence[Line]) -> None:
    """Refuse numbers of which nobody knows what they mean; warn of a gap, in which the order is still known."""
    seen: dict[int, Line] = {}
    for line in entries:
        if twin := seen.get(line.number):
            raise IVGError(
                f"Line {twin.at} and line {line.at} both have the number {line.number}: number the steps 1, 2, 3, or "
                "begin each with a dash."
            )
        seen[line.number] = line
    last = entries[0]
    for line in entries[1:]:
        if line.number < last.number:
            raise IVGError(
                f"Line {line.at} has the number {line.number} and stands after {last.number}: put the steps in order."
            )
        if line.number > last.number + 1:
            gap = f"number {last.number + 1}" if line.number == last.number + 2 else (
                f"numbers {last.number + 1} to {line.number - 1}"
            )  # fmt: skip
            log.warning("The list has no %s, between line %d and line %d: is a step lost?", gap, last.at, line.at)
        last = line


def _title_above(lines: list[Line]) -> tuple[str, list[Line]]:
    """The title of lines without numbers: a heading; or what ends in a colon, or no sentence above sentences."""
    if len(lines) < 2:
        return "", lines
    first, second = lines[0], lines[1]
    over_prose = second.apart and not ends_sentence(first.words) and len(sentences(second.words)) > 1
    if first.kind == "heading" or first.words[-1:] in (":", "：") or over_prose:
        return _as_title(first), lines[1:]
    return "", lines


def _as_title(line: Line) -> str:
    return line.words if line.kind == "heading" else line.words.rstrip(":： ")


def _is_prose(lines: Sequence[Line]) -> bool:
    """Whether sentences do not keep to their lines: several stand in most of them, or one goes over two."""
    several = sum(len(sentences(line.words)) > 1 for line in lines)
    goes_over = any(
        not line.apart and not ends_sentence(before.words) and re.match("[a-z]", line.words)
        for before, line in pairwise(lines)
    )
    return len(lines) == 1 or 2 * several >= max(len(lines), 1) or (several > 0 and goes_over)


def _paragraphs(lines: Sequence[Line]) -> str:
    """Lines joined to paragraphs, one a line."""
    paragraphs: list[str] = []
    for line in lines:
        if line.kind != "plain":
            continue
        if paragraphs and not line.apart:
            paragraphs[-1] = join(paragraphs[-1], line.words)
        else:
            paragraphs.append(line.words)
    return "\n".join(paragraphs)


def _say_left_out(lines: Sequence[Line]) -> None:
    told = [f'line {line.at} ("{line.words[:40]}")' for line in lines if not _is_signpost(line)]
    if told:
        more = [f"and {len(told) - MOST_NAMED} more"] if len(told) > MOST_NAMED else []
        log.warning("Left out, as they are no steps: %s.", ", ".join([*told[:MOST_NAMED], *more]))
