"""A batch on the machines of a Ray cluster: they make the items, and this process keeps the journal and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..cluster.pool import Outcome, run_on_ray
from ..errors import IVGError
from ..media.targets import user_path
from .course import Course, Summary
from .item_lora import ItemLoRA
from .journal import Journal, result_of
from .run import SETTINGS, BatchSettings, begin, check_masks, make_item, sweep
from .table import Item

if TYPE_CHECKING:
    from ..models.bundle import IVGModel

#: number (from 1, in the order in which items are first begun), count, item, machine, workers
OnHandedOut = Callable[[int, int, Item, str, int], None]


def run_batch_on_ray(
    load: Callable[[], IVGModel],
    items: Sequence[Item],
    folder: str | Path,
    settings: BatchSettings,
    *,
    address: str,
    device: str,
    on_item: OnHandedOut | None = None,
) -> Summary:
    """Make every item that is not made yet, as `run_batch` does, on all machines of a Ray cluster.

    Args:
        load: gives the model; called once in each worker, see `run_on_ray`.
        items: see `read_table`.
        folder: as for `run_batch`, which may go on with it, as this may go on with one of `run_batch`; all machines
            see it and the files of the items at the same paths.
        settings: must be the same every time.
        address, device: see `run_on_ray`.
        on_item: called before an item is handed out.

    Returns:
        What was done.

    Raises:
        IVGError: as `run_batch` and `run_on_ray`.
    """
    if settings.how.context and settings.how.context.devices:
        raise IVGError("A worker of Ray has one GPU and no further devices for windows: leave them out.")
    folder = user_path(folder).absolute()
    with Journal(folder) as journal:
        left = begin(journal, items, settings)
        course = Course(journal, len(items) - len(left))
        numbers: dict[Item, int] = {}

        def on_start(item: Item, machine: str, workers: int) -> None:
            number = numbers.setdefault(item, len(numbers) + 1)
            if on_item:
                on_item(number, len(left), item, machine, workers)
            course.start(item, machine=machine)

        def on_done(item: Item, outcome: Outcome[dict[str, str]]) -> None:
            outcome.warn(item.name)
            about = {"machine": outcome.machine, "seconds": round(outcome.seconds, 2)}
            if outcome.error:
                course.fail(item, item.fault or f"{outcome.error} (on {outcome.machine})", **about)
            elif outcome.result:
                course.done(item, **outcome.result, **about)
            elif result := result_of(item, folder):
                course.done(item, file=result.name, machine=outcome.machine, recovered=True)

        run_on_ray(
            left,
            partial(_maker, load, folder, settings, [item for item in left if not item.mask and not item.fault][:1]),
            on_start=on_start,
            on_done=on_done,
            finished=lambda item: result_of(item, folder) is not None,
            address=address,
            device=device,
        )
        sweep(folder, left)  # what workers that died left behind
        return course.end()


def _maker(
    load: Callable[[], IVGModel], folder: Path, settings: BatchSettings, unmasked: Sequence[Item]
) -> Callable[[Item], dict[str, str]]:
    """In a worker: what makes an item."""
    if not (folder / SETTINGS).is_file():
        raise IVGError(f"{folder} is not to be seen there: put it on a file system that all machines share.")
    model = load()
    check_masks(model, unmasked, settings)
    lora = ItemLoRA(model)
    return lambda item: make_item(lora, item, folder, settings)
