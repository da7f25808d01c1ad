"""One line of a list as people and programs write it: its number or bullet, and its words without Markdown."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "bullet", "heading", "plain"]

RULE = re.compile(r"[-*_=~\s]{3,}|```\w*")  # a line across the page, and the fence around code
HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*")
BULLET = re.compile(r"(?:[-*+–—](?=\s)|[•·‣▪●○◦])\s*(?:\[[ xX]\]\s+)?")
NUMBER = re.compile(
    r"(?:step|步骤|步驟|ステップ|手順)\s*(?P<named>\d{1,4})(?![a-z\d])\s*[-–—:：.．)）、]*\s*"  # Step 1: …
    r"|第\s*(?P<nth>\d{1,4}|[一二两三四五六七八九十]{1,3})\s*步\s*[:：、，,.．]?\s*"  # 第一步：…
    r"|[(（\[]?(?P<bare>\d{1,4})(?:[.．)）\]、:：](?!\d)|\ufe0f?\u20e3)\s*"  # 1. … 1) … (1) … and the picture of a key
    r"|(?P<ring>[①-⑳㉑-㉟㊱-㊿])\s*[.．、:：]?\s*",
    re.IGNORECASE,
)
#: Markdown's link, bold, and italics or code within a line. The counts keep a hostile line from taking minutes.
INLINE = (
    (re.compile(r"\[([^\[\]]+)\]\([^()\s]*[/#][^()\s]*\)"), r"\1"),
    (re.compile(r"(\*\*|__)(?=\S)(.{1,300}?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*])([*`])(?=[^\s*`])([^*`]{1,300}?)(?<=\S)\1(?![\w*])"), r"\2"),
)
CHINESE = {digit: value for value, digit in enumerate("一二三四五六七八九", 1)} | {"两": 2}


@dataclass(frozen=True)
class Line:
    """A line with words, or with a number alone."""

    at: int  # which of the text, from 1
    kind: Kind
    words: str  # without number, bullet, hashes, stars
    number: int = 0  # of kind "number"
    indent: int = 0  # letters before it
    apart: bool = False  # whether an empty line stands before it
    heads: bool = False  # whether it is a numbered heading, above the words of its step
    title: str = ""  # such a heading, once the words below it are its own

    @property
    def where(self) -> str:
        """What it is called in an error."""
        return f"Line {self.at}"


def read_lines(text: str) -> list[Line]:
    """The lines of a text that are not empty."""
    lines: list[Line] = []
    apart = False
    for at, raw in enumerate(text.expandtabs(4).splitlines(), 1):
        words = " ".join(raw.split())
        if not words or RULE.fullmatch(words):
            apart = True
            continue
        lines.append(_line(at, words, len(raw) - len(raw.lstrip()), apart))
        apart = False
    return lines


def broken_up(text: str) -> str:
    """A numbered list that lost its line breaks, with them: "1. Peel it. 2. Cut it."; any other text as it is."""
    whole = text.strip()
    first = NUMBER.match(whole)
    if not first or len(whole.splitlines()) > 1:
        return text
    parts, start, number = [], 0, _number(first)
    for found in NUMBER.finditer(whole, first.end()):
        alike = found.lastgroup == first.lastgroup and _form(found) == _form(first)
        stands = found.lastgroup != "bare" or whole[found.start() - 1].isspace()
        if alike and stands and _number(found) == number + 1:
            parts.append(whole[start : found.start()])
            start, number = found.start(), number + 1
    return "\n".join([*parts, whole[start:]])


def _line(at: int, words: str, indent: int, apart: bool) -> Line:
    kind: Kind = "plain"
    if heading := HEADING.fullmatch(words):
        kind, words = "heading", heading[1]
    elif bullet := BULLET.match(words):
        kind, words = "bullet", words[bullet.end() :]
    for pattern, kept in INLINE:
        words = pattern.sub(kept, words)
    if found := NUMBER.match(words):
        return Line(at, "number", words[found.end() :].strip(), _number(found), indent, apart, kind == "heading")
    return Line(at, kind, words.strip(), 0, indent, apart)


def _form(found: re.Match) -> str:
    """What two numbers of one list share: their signs, or the first letter."""
    if found["ring"]:
        return ""
    return found[0].strip().replace(found["bare"], "") if found["bare"] else found[0][0]


def _number(found: re.Match) -> int:
    if found["ring"]:
        return int(unicodedata.numeric(found["ring"]))
    written = found["named"] or found["nth"] or found["bare"]
    if written.isdecimal():
        return int(written)
    tens, ten, ones = written.rpartition("十")
    return (CHINESE.get(tens, 1) * 10 if ten else 0) + CHINESE.get(ones, 0)
