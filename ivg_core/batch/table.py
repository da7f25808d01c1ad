"""What a batch makes: a folder, CSV, JSON or the released prompt.json becomes a list of items."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

from ..checkpoints.embedded import EMBEDDED_LORAS
from ..checkpoints.lora_choice import read_choice, read_strength, strengths_of
from ..errors import IVGError, told_of
from ..media.files import PICTURES, atomic_write, named_in, short_name
from ..media.targets import user_path
from ..media.text import plain
from ..sampling.noise import MAX_SEED
from ..sampling.prompts import PromptSchedule, read_schedule
from .rows import Row, file_rows, folder_rows

log = logging.getLogger("ivg")

MOST_VIDEOS = 100_000  # of a batch; more is a slip of the pen
STRENGTH = "lora_strength"
SEVERAL = " | "  # between the LoRAs of a row


@dataclass(frozen=True)
class Item:
    """One video to make."""

    image: Path
    prompt: str  # a sentence, or a schedule in one line
    seed: int = 0
    mask: Path | None = None  # None: the mask is predicted
    fault: str = ""  # why it cannot be made: what is wrong with its row
    loras: tuple[tuple[Path, float], ...] = ()  # on the model for this item, beside those of the whole batch
    boxes: Path | None = None  # a box track
    phrase: str = ""  # what is in its boxes, where it does not say
    scheduled: bool = False  # whether the prompt is a schedule of sentences

    @property
    def action(self) -> str | PromptSchedule:
        """What is done, as `generate` takes it."""
        return read_schedule(self.prompt) if self.scheduled else self.prompt

    @cached_property
    def key(self) -> str:
        """Ten characters that change with the bytes of photo, mask, LoRAs or box track, the strengths of LoRAs, the
        boxes' phrase, the prompt, what it is, the seed or the photo's name.

        So an item stays the same one when its table is moved, sorted or added to.
        """
        parts = [self.image.stem, self.prompt, str(self.seed)]
        parts += [self.fault] if self.fault else [digest_of(self.image), digest_of(self.mask)]
        if not self.fault:
            parts += [part for path, strength in self.loras for part in (digest_of(path), str(strength))]
        if self.boxes and not self.fault:
            parts += [digest_of(self.boxes), self.phrase]
        if self.scheduled:
            parts += ["scheduled"]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:10]

    @property
    def said_loras(self) -> dict[str, Any]:
        """What a table's columns lora and lora_strength say of its LoRAs; nothing if it has none."""
        if len(self.loras) == 1:
            ((path, strength),) = self.loras
            return {"lora": str(path), "lora_strength": strength}
        return {"lora": SEVERAL.join(f"{path}:{strength}" for path, strength in self.loras)} if self.loras else {}

    @property
    def name(self) -> str:
        """Of the result's files, without an ending."""
        end = f"_s{self.seed}_{self.key}"
        return short_name(self.image.stem, len(end)) + end


def read_table(
    table: str | Path,
    *,
    image_folder: str | Path | None = None,
    mask_folder: str | Path | None = None,
    prompts: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    keep_faulty: bool = False,
    find_lora: Callable[[str], Path] | None = None,
) -> list[Item]:
    """Read what a batch makes: every photo with every one of its prompts and seeds.

    Args:
        table: a folder of photos (a text file of the same name beside a photo holds its prompts, one a line); a CSV
            with the columns image, prompt or prompts (a schedule, see `read_schedule`) and, if wanted, seed, mask,
            lora (see `read_choice`; several with " | " between them), lora_strength, boxes (a box track) and phrase
            (what is in the boxes of a bbox.txt); a JSON list of objects with these keys, of which image, prompt, seed,
            mask, lora and lora_strength may hold a list; or JSON lines as the released prompt.json (source, prompt).
        image_folder: what relative paths begin at; None is the table's own folder.
        mask_folder: masks for rows that name none: the picture with the photo's stem, where there is one.
        prompts: for photos that have none of their own.
        seeds: for rows that have none of their own.
        keep_faulty: a row without a photo or prompt, with an odd seed or schedule and the like becomes an item with a
            `fault`, so that it fails alone; otherwise it is an error, as it is if all rows are such.
        find_lora: gives the file of a LoRA of a row, or raises an IVGError; None: it is found as photos are. Those of
            the embedded model go by their names.

    Returns:
        The items in the table's order, each once. Photos, masks and LoRAs need not exist: what is missing fails alone,
        later.

    Raises:
        IVGError: the table cannot be read, is empty or too long, or a row is at fault.
    """
    path = user_path(table)
    if os.path.isdir(path):
        rows, folder = folder_rows(path), path
    elif os.path.isfile(path):
        rows, folder = file_rows(path), path.parent
    else:
        raise IVGError(f"There is no table or folder of photos at {path}: check the path.")
    folder = user_path(image_folder) if image_folder else folder
    masks = user_path(mask_folder) if mask_folder else None
    if masks and not os.path.isdir(masks):
        raise IVGError(f"There is no folder of masks at {masks}: check the path.")
    prompts = [plain(prompt, "A prompt") for prompt in prompts]
    find_lora = find_lora or partial(named_in, folder)
    items: dict[Item, str] = {}
    for row in rows:
        try:
            more = {"loras": _loras_of(row, folder, find_lora)} | _boxes_of(row, folder)
            made = [replace(item, **more) for item in _items_of(row, folder, masks, prompts, seeds)]
        except IVGError as error:
            if not keep_faulty:
                raise
            made = [_faulty(row, str(error))]
        for item in made:
            if item in items:
                log.warning("%s asks for the same video as %s: it is made once.", row.where, items[item])
            items.setdefault(item, row.where)
        if len(items) > MOST_VIDEOS:
            raise IVGError(f"{path} asks for more than {MOST_VIDEOS:,} videos: make it shorter, or give fewer seeds.")
    if not items:
        raise IVGError(f"{path} holds no photos to make videos of: add some, or choose another table.")
    if all(item.fault for item in items):
        raise IVGError(next(iter(items)).fault)
    return list(items)


def read_seeds(text: str) -> list[int]:
    """Seeds as people and spreadsheets write them: "7", "3.0", "1, 5, 9" or "0-9".

    Raises:
        IVGError: something else stands there, or far too many.
    """
    seeds: list[int] = []
    for part in str(text).replace(";", ",").split(","):
        ends = re.fullmatch(r"\s*(\d{1,20})(?:\.0+)?\s*(?:-\s*(\d{1,20})(?:\.0+)?\s*)?", part)
        if not ends:
            raise IVGError(
                f"{str(text)[:40]!r} is no list of seeds: write whole numbers such as 7, or 1, 5, 9, or 0-9."
            )
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if not first <= last <= MAX_SEED:
            raise IVGError(f"{part.strip()!r} are no seeds: they count up, to {MAX_SEED} at most.")
        if len(seeds) + last - first >= MOST_VIDEOS:
            raise IVGError(f"{part.strip()!r} are more than {MOST_VIDEOS:,} seeds: give fewer.")
        seeds.extend(range(first, last + 1))
    return seeds


def write_table(items: Iterable[Item], path: str | Path) -> None:
    """Write items as a CSV that `read_table` reads back from anywhere."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "prompt", "seed", "mask", "lora", "lora_strength", "boxes", "phrase", "prompts"])
    for item in items:
        image, mask, boxes = (
            plain(str(path.resolve()), f"The name of {path}") if path else ""
            for path in (item.image, item.mask, item.boxes)
        )
        loras = replace(item, loras=tuple((path.resolve(), strength) for path, strength in item.loras)).said_loras
        lora, strength = plain(loras.get("lora", ""), "The name of a LoRA"), loras.get("lora_strength", "")
        prompt, prompts = ("", item.prompt) if item.scheduled else (item.prompt, "")
        writer.writerow([image, prompt, item.seed, mask, lora, strength, boxes, item.phrase, prompts])
    with atomic_write(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _items_of(row: Row, folder: Path, masks: Path | None, prompts: Sequence[str], seeds: Sequence[int]) -> list[Item]:
    where, given = row.where, row.values
    if row.fault:
        raise IVGError(row.fault)
    schedule = _schedule_of(row)
    images, own_masks = given.get("image"), given.get("mask", [])
    wanted = [str(schedule)] if schedule else given.get("prompt") or prompts
    if not images:
        raise IVGError(f"{where} names no photo: give its path as image (or source).")
    if not wanted:
        raise IVGError(f"{where} has no prompt: say what is done, in the table or for all photos at once.")
    if len(own_masks) not in (0, 1, len(images)):
        raise IVGError(f"{where} has {len(own_masks)} masks for {len(images)} photos: give one for each.")
    with told_of(where):
        numbers = [seed for text in given["seed"] for seed in read_seeds(text)] if "seed" in given else seeds
        photos = [named_in(folder, image) for image in images]
        beside = [named_in(folder, mask) for mask in own_masks]
    if (count := len(images) * len(wanted) * len(numbers)) > MOST_VIDEOS:
        raise IVGError(f"{where} asks for {count:,} videos: at most {MOST_VIDEOS:,} can be made.")
    pairs: list[tuple[Path, Path | None]] = []
    for index, photo in enumerate(photos):
        mask = beside[min(index, len(beside) - 1)] if beside else _mask_beside(photo, masks) if masks else None
        pairs.append((photo, mask))
    return [
        Item(photo, prompt, seed, mask, scheduled=schedule is not None)
        for (photo, mask), prompt, seed in product(pairs, wanted, numbers)
    ]


def _schedule_of(row: Row) -> PromptSchedule | None:
    if not (text := _one_of(row, "prompts")):
        return None
    if "prompt" in row.values:
        raise IVGError(f"{row.where} has both prompt and prompts: keep the sentence, or the schedule of several.")
    with told_of(row.where):
        return read_schedule(text)


def _loras_of(row: Row, folder: Path, find_lora: Callable[[str], Path]) -> tuple[tuple[Path, float], ...]:
    names = [] if row.fault else [name for text in row.values.get("lora", []) for name in text.split(SEVERAL.strip())]
    if not names:
        return ()
    with told_of(row.where):
        choices = [read_choice(name.strip(), lambda text: named_in(folder, text).exists()) for name in names]
        told = [
            read_strength(text, "lora_strength: write a number such as 0.8") for text in row.values.get(STRENGTH, [])
        ]
        paths = [EMBEDDED_LORAS.get(choice.file) or find_lora(choice.file) for choice in choices]
        return tuple(zip(paths, strengths_of(choices, told, STRENGTH), strict=True))


def _boxes_of(row: Row, folder: Path) -> dict[str, Any]:
    name = _one_of(row, "boxes")
    if not name:
        return {}
    with told_of(row.where):
        return {"boxes": named_in(folder, name), "phrase": _one_of(row, "phrase")}


def _one_of(row: Row, column: str) -> str:
    """The value of a column that has one; "" if it is empty."""
    texts = [] if row.fault else row.values.get(column, [])
    if len(texts) > 1:
        raise IVGError(f"{row.where} has {len(texts)} values as {column}: give one a row.")
    return texts[0] if texts else ""


def _faulty(row: Row, fault: str) -> Item:
    images, prompts = row.values.get("image"), row.values.get("prompt") or row.values.get("prompts")
    named = images[0] if images else row.where.rpartition(", ")[2]
    return Item(Path(named), prompts[0] if prompts else "", fault=fault)  # the photo is never read


def _mask_beside(photo: Path, masks: Path) -> Path | None:
    candidates = [masks / f"{photo.stem}{suffix}" for suffix in PICTURES]
    return next((path for path in candidates if os.path.isfile(path)), None)


def digest_of(path: Path | None) -> str:
    """Changes with the bytes of a file; "" for None, and for a file that is not there a text that says so."""
    try:
        state = path.stat() if path else None
        if path and state and stat.S_ISREG(state.st_mode):
            return _digest_as_of(path, state.st_mtime_ns, state.st_size)
    except OSError:
        pass
    return f"missing {path}" if path else ""


@lru_cache(maxsize=1 << 16)  # in ComfyUI the table is read anew for each of its items
def _digest_as_of(path: Path, time: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
