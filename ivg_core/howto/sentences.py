"""Free text to sentences, by rule."""

from __future__ import annotations

import re

from .marks import BEHIND

#: Before their full stop no sentence ends.
NEVER = set("e.g i.e mr mrs ms dr prof st no nr fig vs cf ca approx z.b d.h p.ej".split())
#: Before theirs one ends only if the next word has a capital letter.
SELDOM = set(
    "etc min mins sec secs hr hrs h tbsp tsp tbs oz lb lbs pt qt gal cm mm in ft g kg mg ml l dl deg temp incl max pkg"
    .split()
)  # fmt: skip
CLOSING = "\"'”’»)）\\]」』】〉》"
END = re.compile(rf"(?:[.!?…]+[{CLOSING}]*{BEHIND}(?=\s|$)|[。！？｡．]+[{CLOSING}]*{BEHIND})")
EAST_ASIAN = r"\u3000-\u30ff\u3400-\u9fff\uff00-\uffef"


def sentences(text: str) -> list[str]:
    """The sentences of a text; a line break ends one.

    What stays whole: decimals, "e.g.", "approx.", "5 min." before a small letter, and what stands in brackets.
    Chinese and Japanese ones need no space between them.
    """
    return [sentence for line in text.splitlines() for sentence in _of_line(line.strip()) if sentence]


def ends_sentence(words: str) -> bool:
    """Whether the last of the words ends a sentence."""
    return bool(re.search(rf"[.!?…。！？｡．][{CLOSING}]*{BEHIND}$", words))


def join(one: str, two: str) -> str:
    """Two lines as one; between Chinese or Japanese letters without a space."""
    close = re.search(rf"[{EAST_ASIAN}]$", one) and re.match(rf"[{EAST_ASIAN}]", two)
    return f"{one}{'' if close or not one else ' '}{two}"


def _of_line(line: str) -> list[str]:
    found: list[str] = []
    start = opened = looked = 0
    closed = max(line.rfind(sign) for sign in ")）")
    for end in END.finditer(line):
        opened += _opened(line[looked : end.end()])
        looked = end.end()
        within = opened > 0 and closed >= looked  # a bracket that is never closed holds nothing
        if within or not _ends(line[max(start, looked - 30) : looked], line[looked : looked + 30]):
            continue
        found.append(line[start:looked].strip())
        start, opened = looked, 0
    return [*found, line[start:].strip()]


def _opened(part: str) -> int:
    return sum(part.count(sign) for sign in "(（") - sum(part.count(sign) for sign in ")）")


def _ends(sentence: str, rest: str) -> bool:
    """Whether a sentence ends at its end mark."""
    following = rest.lstrip(" \t\"'“‘«(（「『")[:1]
    small = following.islower()
    if sentence.endswith(("...", "…")):
        return not small
    if not sentence.endswith("."):
        return sentence[-1] not in CLOSING or not (small or following in ("と", "っ"))  # 「よし。」と言う is one
    word = re.split(r"[\s(（]", sentence.rstrip(".").lower())[-1]
    if word in NEVER or (
        len(word) == 1 and word.isascii() and word.isalpha() and not small and word not in SELDOM
    ):  # initials
        return False
    return not (small and word.lstrip("0123456789,./½¼¾") in SELDOM)
