"""The plan of an instruction video: what is done, step by step, and with what each step is made."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from ..errors import IVGError, told_of
from ..media.files import named_in
from ..media.targets import user_path
from ..media.text import plain
from ..sampling.noise import MAX_SEED
from ..settings import check_ranges, from_mapping, nearest, read_json
from .ask import Asked, ask_for_steps
from .lists import Listed, read_list
from .marks import marks_of, split_marks
from .sentences import sentences

MaskSource = Literal["predict", "find", "white"]
MASK_SOURCES = get_args(MaskSource)

MOST_STEPS = 100
MOST_WORDS = 100  # of a step; the video model reads about 60
MOST_LETTERS = 1_000  # of a step, or of a title
MOST_TEXT = 300_000  # letters of a whole plan
#: A Chinese or Japanese letter counts as a word.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
RANGES: dict[str, tuple[float, float]] = {"seconds": (0.1, 120), "seed": (0, MAX_SEED)}


@dataclass(frozen=True)
class Step:
    """One thing that is done; blanks in its texts are single ones."""

    action: str  # a sentence
    seconds: float | None = None  # how long it lasts, 0.1 to 120; None: as long as the model makes it
    seed: int | None = None  # None: one of the plan's
    mask: str = "predict"  # what gives its Region of Motion: one of MASK_SOURCES, or the path of a picture
    image: str = ""  # path of a photo that it begins with; "": it goes on where the step before ended
    title: str = ""  # what viewers read; "": the action

    def __post_init__(self) -> None:
        for key in ("action", "title"):
            object.__setattr__(self, key, " ".join(getattr(self, key).split()))

    @property
    def caption(self) -> str:
        """What viewers read."""
        return self.title or self.action


@dataclass(frozen=True)
class Plan:
    """Steps that are done one after the other.

    Args:
        steps: 1 to 100.
        title: of the whole; "" is none.
        seed: 0 to 2^64 - 1; those of the steps follow from it.

    Raises:
        IVGError: no steps or too many, or one that cannot be made; the message names it.
    """

    steps: tuple[Step, ...]
    title: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", " ".join(self.title.split()))
        _check_count(len(self.steps))
        check_ranges(self, {"seed": RANGES["seed"]}, "The plan's ")
        _check_text(self.title, "The plan's title")
        for number, step in enumerate(self.steps, 1):
            _check_step(step, f"Step {number}")

    @cached_property
    def seeds(self) -> list[int]:
        """The seed of each step: its own, or the plan's plus its place, from 0; such a one comes only once."""
        taken = {step.seed for step in self.steps}
        found: list[int] = []
        for place, step in enumerate(self.steps):
            seed = step.seed
            if seed is None:
                seed = (self.seed + place) % (MAX_SEED + 1)
                while seed in taken:
                    seed = (seed + len(self.steps)) % (MAX_SEED + 1)
                taken.add(seed)
            found.append(seed)
        return found


def read_plan(
    text: str, *, folder: str | Path | None = None, by: Asked | None = None, photo: Tensor | None = None
) -> Plan:
    """Read a plan from what people write.

    A ready list keeps its words and the number of its steps. It is numbered (1. 1) (1) Step 1: ① 第一步), has bullets,
    or has one step a line; in Markdown, its heading is the title. Free text becomes its sentences, or what a language
    model makes of it. At the end of a step may stand how long it lasts, and other fields of `Step`:
    `Peel the carrot (4 s) [seed 7] [mask find] [image peeled.png] [title Peeling]`; and `[seed 7]` behind the title.

    JSON is a list of steps or `{"title": …, "seed": …, "steps": […]}`, a step a text or an object with `Step`'s fields.

    Args:
        text: the plan.
        folder: that the paths of photos and masks begin at; None: the paths stay as they are.
        by: whom to ask about free text, such as `LocalModel` or `Server`; None: its sentences are the steps.
        photo: what the model is shown, (H, W, 3) 0..1.

    Raises:
        IVGError: there are no steps or too many, one is at fault, or a file of one is not there; the message names the
            step or line.
    """
    text = plain(text, "The plan").lstrip("\ufeff")
    if len(text) > MOST_TEXT:
        raise IVGError(f"The plan has {len(text):,} letters, and at most {MOST_TEXT:,} can be read: shorten it.")
    plan = _parsed(text, by, photo)
    return replace(plan, steps=tuple(_found(step, folder, f"Step {n}") for n, step in enumerate(plan.steps, 1)))


def write_plan(plan: Plan) -> str:
    """A plan as JSON that `read_plan` reads back as the same plan."""
    whole = {"title": plan.title, "seed": plan.seed, "steps": [_given(step) for step in plan.steps]}
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def write_list(plan: Plan) -> str:
    """A plan as a numbered list to edit, which `read_plan` reads back as the same plan.

    Raises:
        IVGError: words of it would be read as something else there, such as a step that ends in "(4 s)".
    """
    head = f"# {plan.title}".strip() + (marks_of({"seed": plan.seed}) if plan.seed else "")
    lines = [f"{n}. {step.action}{marks_of(_marked(step))}" for n, step in enumerate(plan.steps, 1)]
    text = "\n".join([*([head, ""] if head != "#" else []), *lines, ""])
    try:
        same = _parsed(text, None, None) == plan
    except IVGError:
        same = False
    if not same:
        raise IVGError("A text of the plan would be read as something else in a list: write the plan as JSON.")
    return text


def _parsed(text: str, by: Asked | None, photo: Tensor | None) -> Plan:
    fenced = re.fullmatch(r"\s*```\w*\s*\n(.*)\n\s*```\s*", text, re.DOTALL)
    text = fenced[1] if fenced else text
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return _from_values(read_json(text))
        except ValueError as error:
            if isinstance(error, IVGError):
                raise
            if re.match(r'\s*(\{|\[\s*["{\]])', text):
                raise IVGError(f"The plan is not JSON ({error}): mend it, or write a line for each step.") from error
    listed = read_list(text)
    if listed.prose and by is not None:
        listed = replace(ask_for_steps(listed.prose, by, photo, MOST_STEPS), title=listed.title)
    return _from_list(listed)


def _from_list(listed: Listed) -> Plan:
    entries = [(line.where, line.words, line.title) for line in listed.entries]
    entries = entries or [(f"Sentence {n}", words, "") for n, words in enumerate(sentences(listed.prose), 1)]
    _check_count(len(entries))
    steps = tuple(_from_words(*entry) for entry in entries)
    title, marks = split_marks(listed.title, "The title")
    if marks.keys() <= {"seed"}:
        return Plan(steps, title, **marks)
    return Plan(steps, listed.title)  # the words of a title that only look like marks: "Tea (20 seconds)"


def _from_words(where: str, words: str, title: str) -> Step:
    action, values = split_marks(words, where)
    if not action:
        raise IVGError(f"{where} says nothing that is done: write it, or leave the line out.")
    return Step(action, **{"title": title, **values})


def _from_values(values: Any) -> Plan:
    whole = {"steps": values} if isinstance(values, list) else values
    if not isinstance(whole, dict):
        raise IVGError('The plan is neither a list of steps nor an object such as {"steps": ["Peel the carrot"]}.')
    entries = whole.get("steps", [])
    if not isinstance(entries, list):
        raise IVGError("The plan's steps are no list: put them in [ ].")
    steps = [_from_entry(f"Step {n}", entry) for n, entry in enumerate(entries, 1)]
    return from_mapping(Plan, whole | {"steps": steps}, "The plan")


def _from_entry(where: str, entry: Any) -> Step:
    if isinstance(entry, str):
        return _from_words(where, entry, "")
    if not isinstance(entry, dict):
        raise IVGError(f'{where} is neither a text nor an object such as {{"action": "Peel the carrot"}}.')
    return from_mapping(Step, entry, where)


def _check_count(steps: int) -> None:
    if not steps:
        raise IVGError("The plan has no steps: write what is done, a line for each step.")
    if steps > MOST_STEPS:
        raise IVGError(f"The plan has {steps} steps, and at most {MOST_STEPS} can be made: part it into several.")


def _check_step(step: Step, where: str) -> None:
    if not any(letter.isalpha() for letter in step.action):
        raise IVGError(f"{where} says nothing that is done: write it, or leave the step out.")
    if (words := len(WORD.findall(step.action))) > MOST_WORDS:
        raise IVGError(
            f'{where} ("{step.action[:30]}…") has {words} words, and at most {MOST_WORDS} can be used: say it shorter, '
            "or make several steps of it."
        )
    _check_text(step.action, where)
    _check_text(step.title, f"{where}: title")
    check_ranges(step, RANGES, f"{where}: ")
    for key in ("mask", "image"):
        plain(getattr(step, key), f"{where}: {key}")
    if not step.mask:
        raise IVGError(f"{where}: mask is empty: choose of {', '.join(MASK_SOURCES)}, or give the path of a picture.")


def _check_text(text: str, what: str) -> None:
    if len(plain(text, what)) > MOST_LETTERS:
        raise IVGError(f"{what} has {len(text)} letters, and at most {MOST_LETTERS} can be used: say it shorter.")


def _found(step: Step, folder: str | Path | None, where: str) -> Step:
    """The step with the paths of its files, which are there."""
    with told_of(where):
        start = user_path(folder).absolute() if folder else Path()
        image = str(named_in(start, step.image)) if step.image else ""
        if image and not os.path.isfile(image):
            raise IVGError(f"there is no photo at {image}: check the path.")
        if step.mask in MASK_SOURCES:
            return replace(step, image=image)
        mask = str(named_in(start, step.mask))
        if not os.path.isfile(mask):
            end = nearest(step.mask, MASK_SOURCES)
            raise IVGError(f"there is no mask at {mask}{end} The path of a picture will do too.")
        return replace(step, image=image, mask=mask)


def _given(step: Step) -> dict[str, Any]:
    """The fields of a step that say something."""
    nothing = asdict(Step(""))
    return {key: value for key, value in asdict(step).items() if key == "action" or value != nothing[key]}


def _marked(step: Step) -> dict[str, Any]:
    return {key: value for key, value in _given(step).items() if key != "action"}
