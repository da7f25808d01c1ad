"""The things that a sentence names, as a prompt for a segmenter that reads text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import IVGError

DETERMINERS = frozenset("a an the some his her their its my your this that these those both another two three".split())
#: Words that end the name of a thing.
ENDS = frozenset(
    "and or but while which that who to of in into onto on from with using under over for at by inside near beside "
    "between as is are be then when it them he she they not until through off out up down away toward towards against "
    "around held placed cut standing ready continues so back together apart".split()
)
#: Hands are found by other means.
BODY = frozenset("person hand hands left right finger fingers thumb palm arm arms man woman people cook user".split())
#: An -ing word of at most so many letters is a thing ("ring"), a longer one ends its name ("the sink providing …").
SHORT_ING = 5


def named_things(sentence: str) -> list[str]:
    """The things that an English sentence names: what follows "a", "the", "some" …

    Args:
        sentence: what is done. Few words without articles ("julienne carrot") name nothing: enrich them first.

    Returns:
        Names as they stand there, in lower case, each once; without body parts.
    """
    words = re.findall(r"[a-z'-]+|[,.;]", sentence.lower())
    found: list[str] = []
    index = 0
    while index < len(words):
        if words[index] not in DETERMINERS:
            index += 1
            continue
        name, index = _name(words, index + 1)
        if name and index + 1 < len(words) and words[index] == "of" and words[index + 1] not in DETERMINERS:
            rest, index = _name(words, index + 1)
            name += ["of", *rest]
        if name and not BODY & set(name) and " ".join(name) not in found:
            found.append(" ".join(name))
    return found


def segmenter_prompt(names: Sequence[str], each: int = 2, hands: int = 0) -> str:
    """Names as the prompt of SAM3: "hand:4, carrot:2, knife:2" finds up to four hands, two carrots and two knives.

    Args:
        names: of things.
        each: how many of each are looked for, at least 1.
        hands: how many hands are looked for; 0 leaves them out.

    Raises:
        IVGError: a count below its range.

    Source: ComfyUI 0.33, comfy/text_encoders/sam3_clip.py: commas part the names, `:N` is the most of one.
    """
    if each < 1 or hands < 0:
        raise IVGError(f"{each} of each thing and {hands} hands are to be found: at least 1 and 0 can be.")
    return ", ".join([f"hand:{hands}"] * (hands > 0) + [f"{name}:{each}" for name in names])


def _name(words: list[str], start: int) -> tuple[list[str], int]:
    """The words of a name, and the index after it; a verb ends it ("the man holds a …")."""
    end = start
    while end < len(words) and words[end] not in ENDS | DETERMINERS and words[end][0].isalpha():
        word, following = words[end], words[end + 1 : end + 2]
        verb = word.endswith("s") and bool(DETERMINERS & set(following))
        if end > start and (verb or (word.endswith("ing") and len(word) > SHORT_ING)):
            break
        end += 1
    return words[start:end], end
