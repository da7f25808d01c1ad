"""What a language model is asked, and what is kept of its answer."""

from __future__ import annotations

import logging
import re

from ..errors import IVGError

log = logging.getLogger("ivg")

MOST_WORDS = 60  # the video model's text encoder reads 77 tokens
EXAMPLE = (
    "The person holds a carrot on the chopping board with the left hand and uses a knife in the right hand to julienne "
    "the carrot."
)
INSTRUCTION = (
    "You are shown a photo, or only told about it, and a short action that the person in it is about to do. Write one "
    "English sentence that says what each hand does: what the left hand holds and where, what the right hand holds, "
    "and what for. Name only things that can be seen or that the action needs. Answer with the sentence alone.\n"
    f"Action: julienne carrot\nSentence: {EXAMPLE}"
)


def question(action: str) -> str:
    """What is asked for one action."""
    return f"Action: {action}\nSentence:"


def without_thoughts(answer: str) -> str:
    """What a model says once it has thought."""
    return re.sub(r"<think>.*?(</think>|\Z)", " ", answer, flags=re.DOTALL)


def sentence_in(answer: str, who: str) -> str:
    """The sentence in a model's answer.

    Args:
        answer: as the model gave it: perhaps with thoughts before it, a label, quotes, or further sentences.
        who: gave it, for the error.

    Returns:
        One sentence, of at most 60 words (a warning says when it was longer).

    Raises:
        IVGError: there is no sentence in it.
    """
    text = re.sub(r"[*`]+", "", without_thoughts(answer))  # Markdown
    lines = [line.strip(" \t\"'“”") for line in text.splitlines()]
    lines = [re.sub(r"^(sentence|answer|assistant)\s*:\s*", "", line, flags=re.IGNORECASE) for line in lines]
    spoken = [line.strip(" \"'“”") for line in lines if len(re.findall(r"[^\W\d_]{2,}", line)) >= 3]
    if not spoken:
        shown = " ".join(answer.split())[:80]
        raise IVGError(f'{who} gave no sentence but "{shown}": try another model, or write the sentence yourself.')
    sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z])", spoken[0])[0]
    words = sentence.split()
    if len(words) > MOST_WORDS:
        log.warning("The sentence had %d words, and about %d are read: the rest is cut off.", len(words), MOST_WORDS)
        sentence = " ".join(words[:MOST_WORDS])
    return sentence if sentence[-1] in ".!?" else sentence + "."
