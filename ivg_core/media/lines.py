"""Breaking a text into lines, also one without spaces."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

#: What may not begin a line of Chinese or Japanese, and what may not end one.
NOT_FIRST = set("、。，．,.・：；:;？！?!）)］]｝}」』】〉》〕”’％%ー々…‥ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ")
NOT_LAST = set("（([［{｛「『【〈《〔“‘")


def wrapped(text: str, width_of: Callable[[str], float], most: float) -> list[str]:
    """Break a text into lines: at spaces, and beside Chinese and Japanese letters where their rules allow it.

    Args:
        text: without line breaks.
        width_of: measures a piece of it.
        most: a line may measure; a longer word is broken anywhere.
    """
    lines = [""]
    for space, piece in _pieces(text):
        if lines[-1] and width_of(lines[-1] + space + piece) <= most:
            lines[-1] += space + piece
            continue
        if lines[-1]:
            lines.append("")
        for letter in piece:
            if lines[-1] and width_of(lines[-1] + letter) > most:
                lines.append("")
            lines[-1] += letter
    return lines


def columns(text: str) -> int:
    """How wide a text is where all letters are equally wide and Chinese and Japanese ones twice so."""
    return sum(0 if unicodedata.combining(letter) else 1 + _is_wide(letter) for letter in text)


def _pieces(text: str) -> list[tuple[str, str]]:
    """What stays together, each with the space before it."""
    pieces: list[tuple[str, str]] = []
    space = ""
    for i, letter in enumerate(text):
        if letter == " ":
            space = " "
            continue
        before = text[i - 1] if i else " "
        if before == " " or _may_part(before, letter):
            pieces.append((space, letter))
        else:
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + letter)
        space = ""
    return pieces


def _may_part(before: str, after: str) -> bool:
    return (
        (_is_wide(before) or _is_wide(after))
        and before not in NOT_LAST
        and after not in NOT_FIRST
        and not unicodedata.combining(after)
    )


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"
