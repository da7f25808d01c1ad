"""Free text to steps by a language model."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ..enrich.answer import without_thoughts
from ..errors import IVGError, told_of
from .lists import Listed, read_list

MOST_TOKENS = 4096  # of an answer, thoughts included
INSTRUCTION = (
    "You are shown a photo, or only told about it, and a text that says how something is done there. Write the steps "
    "as a numbered list, at most {most}, in their order: one short English sentence each, which says the one thing "
    "that the person does with the hands and names the things. Leave out lists of ingredients, waiting and advice. "
    "Answer with the list alone."
)


class Asked(Protocol):
    """A language model that can be asked anything, such as `LocalModel` or `Server`."""

    def ask(self, instruction: str, question: str, image: Tensor | None, tokens: int) -> str: ...


def ask_for_steps(text: str, by: Asked, photo: Tensor | None, most: int) -> Listed:
    """The steps that a model finds in a text.

    Args:
        text: free text.
        by: whom to ask.
        photo: what it is shown, (H, W, 3) 0..1; None shows nothing.
        most: steps that are asked for.

    Raises:
        IVGError: it cannot be asked, or answers with no list.
    """
    answer = without_thoughts(by.ask(INSTRUCTION.format(most=most), f"Text: {text}\nSteps:", photo, MOST_TOKENS))
    with told_of("The language model's answer"):
        listed = read_list(answer)
        if not listed.entries:
            shown = " ".join(answer.split())[:80]
            raise IVGError(f'"{shown}" is no list of steps: try another model, or write a line for each step.')
    return listed
