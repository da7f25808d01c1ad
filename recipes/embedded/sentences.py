"""Other ways to say what the synthetic scenes say, so that the embedded model understands more than one phrasing."""

from __future__ import annotations

import random
from collections.abc import Iterator

from ivg_core.synthetic.clips import CUTTING_VERBS
from ivg_core.synthetic.props import COLOURS, KINDS

SYNONYMS = {
    "pick up": ("pick up", "pick up", "take", "grab", "lift"),
    "push": ("push", "push", "slide", "move"),
    "stir the food in": ("stir the food in", "stir the soup in", "stir"),
    "wipe the counter with": ("wipe the counter with", "wipe the table with", "clean the counter with"),
    "point at": ("point at", "point at", "point to", "show"),
    "rotate": ("rotate", "rotate", "turn"),
}
OPENINGS = ("", "", "", "the person will ", "now ", "use your hand to ")


def paraphrase(text: str, rng: random.Random) -> str:
    """The same instruction in other words; the object, its colour, direction and hand are kept."""
    for phrase, others in SYNONYMS.items():
        if text.startswith(phrase):
            text = rng.choice(others) + text[len(phrase) :]
            break
    return rng.choice(OPENINGS) + text


def vocabulary_text() -> Iterator[str]:
    """Every word that scenes and paraphrases use, and common words of kitchen instructions."""
    words = {*CUTTING_VERBS, *COLOURS, *KINDS, "with", "the", "in", "to", "left", "right", "hand", "knife", "spoon"}
    for phrases in (*SYNONYMS.values(), OPENINGS):
        for phrase in phrases:
            words.update(phrase.split())
    words.update(
        "a an and person holds uses using of on from into board chopping cutting onion potato apple pepper bread "
        "pan pot bottle peel mix pour open close put wash his her both hands table piece small".split()
    )
    yield from sorted(words)
