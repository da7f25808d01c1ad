"""A plan that is being made in a folder: which steps are done, and which one is next."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor

from ..batch.journal import FAILED, Journal, adopt, read_journal
from ..batch.run import sweep
from ..errors import IVGError, told_of
from ..media.files import atomic_write
from ..media.images import load_image, open_picture, save_png
from ..media.targets import check_folder, user_path
from ..rom.latent import fit
from ..sampling.noise import MAX_SEED
from ..settings import read_json
from .film import FinishedStep
from .plan import Plan, Step, read_plan, write_plan
from .takes import StepItem, Take, earlier_take, step_item, take_of

MADE = "made"  # subfolder of the steps' results: a batch's folder, with its journal and page
PLAN, PHOTO, TAKES = "plan.json", "photo.png", "takes.json"
#: Seeds from one take of a step to its next.
APART = 1_000_003

#: What becomes of a step when one before it was made again.
Later = Literal["make", "keep"]
LATER = get_args(Later)
Status = Literal["done", "kept", "stale", "failed", "waiting"]


@dataclass(frozen=True)
class StepState:
    """How far a step is.

    Attributes:
        number: from 1.
        step: of the plan.
        seed: with which it is made.
        status: "done"; "kept": made from a picture that is no longer that of the step before; "stale": made so, and to
            be made anew; "failed"; "waiting".
        item: what is made; None while the picture that it begins with is not there.
        take: what it became, if it is done or kept.
        reason: why it failed.
    """

    number: int
    step: Step
    seed: int
    status: Status
    item: StepItem | None
    take: Take | None
    reason: str = ""


@dataclass(frozen=True)
class HowTo:
    """A plan in its folder.

    Args:
        plan: its steps.
        folder: where it is made: `plan.json`, `photo.png`, the steps in `made`, and the film beside them.
        later: what becomes of steps when one before them is made again, of `LATER`.
        takes: step number -> how often it was made again with another seed.
    """

    plan: Plan
    folder: Path
    later: Later = "make"
    takes: tuple[tuple[int, int], ...] = ()

    @property
    def made(self) -> Path:
        """The folder of the steps' results."""
        return self.folder / MADE

    @property
    def seeds(self) -> list[int]:
        """The seed of each step's newest take."""
        again = dict(self.takes)
        return [(seed + APART * again.get(n, 0)) % (MAX_SEED + 1) for n, seed in enumerate(self.plan.seeds, 1)]

    def states(self) -> list[StepState]:
        """How far each step is, in order."""
        journal, found = read_journal(self.made), []
        start: Path | None = self.folder / PHOTO
        for number, (step, seed) in enumerate(zip(self.plan.steps, self.seeds, strict=True), 1):
            image = Path(step.image) if step.image else start
            item = step_item(number, step, seed, image or Path())
            take = take_of(item, self.made) if image else None
            status: Status = "done" if take else "waiting"
            reason = ""
            if not take and (earlier := earlier_take(item, self.made)):
                status = "stale"
                if self.later == "keep":
                    status, take = "kept", earlier
            if status == "waiting" and item.name in journal and journal[item.name].status == FAILED:
                status, reason = "failed", str(journal[item.name].last.get("error", ""))
            found.append(StepState(number, step, seed, status, item if image else None, take, reason))
            start = take.last if take else None
        return found

    def start_of(self, item: StepItem) -> Tensor:
        """The picture (H, W, 3) 0..1 that a step begins with.

        A photo of the step's own is brought to the size of the steps before it: cropped around its centre and resized.

        Raises:
            IVGError: it cannot be read.
        """
        with told_of(f"Step {item.number}"):
            picture = load_image(item.image)
            size = self._size() if item.step.image and item.number > 1 else None
            return picture if size is None else fit(picture, size)

    def finished(self) -> list[FinishedStep]:
        """The steps for a film, all of them.

        Raises:
            IVGError: one is not done.
        """
        states = self.states()
        missing = [state.number for state in states if not state.take]
        if missing:
            raise IVGError(f"Step {missing[0]} is not made yet, so there is no film: make it first.")
        return [FinishedStep(state.step.caption, state.take.clip) for state in states if state.take]

    def _size(self) -> tuple[int, int] | None:
        """(width, height) of the steps that are made."""
        take = next((state.take for state in self.states() if state.take), None)
        if take is None:
            return None
        with open_picture(take.last, "picture") as picture:
            return picture.size


def begin(plan: Plan, photo: Tensor, folder: str | Path, later: Later = "make") -> HowTo:
    """Begin to make a plan, or go on with it: what was made of the same steps and photo is found again.

    Args:
        plan: its steps.
        photo: (H, W, 3) 0..1, that the first step begins with.
        folder: where to.
        later: see `HowTo`.

    Raises:
        IVGError: the folder cannot be written to.
    """
    place = check_folder(user_path(folder))
    save_png(photo, place / PHOTO)
    _write(place / PLAN, write_plan(plan))
    return HowTo(plan, place, later, _takes(place))


def resume(folder: str | Path, later: Later = "make") -> HowTo:
    """Go on with the plan and photo that are in a folder.

    Raises:
        IVGError: there are none.
    """
    place = user_path(folder)
    for name in (PLAN, PHOTO):
        if not (place / name).is_file():
            raise IVGError(f"No how-to was begun in {place} (there is no {name}): give its photo and steps.")
    return HowTo(read_plan((place / PLAN).read_text(encoding="utf-8")), place, later, _takes(place))


def make_again(how_to: HowTo, numbers: Iterable[int]) -> HowTo:
    """Steps that are made get another seed, so that they are made again; what they were stays in the folder.

    Args:
        how_to: the plan.
        numbers: of the steps, from 1.

    Raises:
        IVGError: there is no such step.
    """
    states, takes = how_to.states(), dict(how_to.takes)
    for number in numbers:
        if not 1 <= number <= len(states):
            raise IVGError(f"There is no step {number} to make again: the plan has {len(states)}.")
        if states[number - 1].take:  # one that is not made will be anyway
            takes[number] = takes.get(number, 0) + 1
    _write(how_to.folder / TAKES, json.dumps(takes))
    return HowTo(how_to.plan, how_to.folder, how_to.later, _takes(how_to.folder))


def look_after(how_to: HowTo, journal: Journal) -> StepState | None:
    """What comes before a step is made: traces of killed runs are removed, and what they finished is noted.

    Args:
        how_to: the plan.
        journal: open, of its folder `made`.

    Returns:
        The first step that is to be made; None if all are done.
    """
    states = how_to.states()
    items = [state.item for state in states if state.item]
    sweep(how_to.made, items)
    adopt(journal, items)
    return next((state for state in states if not state.take), None)


def _takes(folder: Path) -> tuple[tuple[int, int], ...]:
    try:
        takes = read_json((folder / TAKES).read_bytes())
        return tuple(sorted((int(number), int(count)) for number, count in takes.items()))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise IVGError(f"{folder / TAKES} cannot be read ({error}): mend it, or remove it to begin anew.") from error


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
