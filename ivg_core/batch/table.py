"""What a batch makes: a folder, CSV, JSON or the released prompt.json becomes a list of items."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from ..errors import IVGError
from ..media.files import PICTURES, atomic_write

log = logging.getLogger("ivg")

TABLES = (".csv", ".json", ".jsonl")
#: Column of a table -> what it is called here. `target` stands in the released prompt.json and is not used.
COLUMNS = {
    "image": "image",
    "source": "image",
    "prompt": "prompt",
    "action": "prompt",
    "seed": "seed",
    "mask": "mask",
    "target": None,
}


@dataclass(frozen=True)
class Item:
    """One video to make."""

    image: Path
    prompt: str
    seed: int = 0
    mask: Path | None = None  # None: the mask is predicted

    @cached_property
    def key(self) -> str:
        """Ten characters that change with the photo's or the mask's bytes, the prompt, the seed or the photo's name.

        So an item stays the same one when its table is moved, sorted or added to.
        """
        parts = [self.image.stem, self.prompt, str(self.seed), _digest(self.image), _digest(self.mask)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:10]

    @property
    def name(self) -> str:
        """Of the result's files, without an ending."""
        return f"{self.image.stem}_s{self.seed}_{self.key}"


def read_table(
    table: str | Path,
    *,
    image_folder: str | Path | None = None,
    mask_folder: str | Path | None = None,
    prompts: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
) -> list[Item]:
    """Read what a batch makes: every photo with every one of its prompts and seeds.

    Args:
        table: a folder of photos (a text file of the same name beside a photo holds its prompts, one a line); a CSV
            with the columns image, prompt and, if wanted, seed and mask; a JSON list of objects with these keys, any of
            which may hold a list; or JSON lines as the released prompt.json (source, prompt).
        image_folder: what relative photo paths begin at; None is the table's own folder.
        mask_folder: masks for rows that name none: the picture with the photo's stem, where there is one.
        prompts: for photos that have none of their own.
        seeds: for rows that have none of their own.

    Returns:
        The items in the table's order, each once. Photos and masks need not exist: what is missing fails alone, later.

    Raises:
        IVGError: the table cannot be read, is empty, or a row has no photo, no prompt or an odd seed.
    """
    path = Path(table).expanduser()
    if path.is_dir():
        rows = _folder_rows(path)
    elif path.is_file():
        rows = _file_rows(path)
    else:
        raise IVGError(f"There is no table or folder of photos at {path}: check the path.")
    folder = Path(image_folder).expanduser() if image_folder else path if path.is_dir() else path.parent
    masks = Path(mask_folder).expanduser() if mask_folder else None
    if masks and not masks.is_dir():
        raise IVGError(f"There is no folder of masks at {masks}: check the path.")
    items: dict[Item, str] = {}
    for where, row in rows:
        for item in _items_of(where, row, folder, masks, prompts, seeds):
            if item in items:
                log.warning("%s asks for the same video as %s: it is made once.", where, items[item])
            items.setdefault(item, where)
    if not items:
        raise IVGError(f"{path} holds no photos to make videos of: add some, or choose another table.")
    return list(items)


def read_seeds(text: str) -> list[int]:
    """Seeds as people write them: "7", "1, 5, 9" or "0-9".

    Raises:
        IVGError: something else stands there.
    """
    seeds: list[int] = []
    for part in str(text).replace(";", ",").split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.strip().isdecimal()):
            raise IVGError(f'"{text}" is no list of seeds: write whole numbers such as 7, or 1, 5, 9, or 0-9.')
        seeds.extend(range(int(first), int(last if dash else first) + 1))
    return seeds


def write_table(items: Iterable[Item], path: str | Path) -> None:
    """Write items as a CSV that `read_table` reads back from anywhere."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "prompt", "seed", "mask"])
    for item in items:
        mask = item.mask.resolve() if item.mask else ""
        writer.writerow([item.image.resolve(), item.prompt, item.seed, mask])
    with atomic_write(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _items_of(
    where: str, row: dict[str, Any], folder: Path, masks: Path | None, prompts: Sequence[str], seeds: Sequence[int]
) -> list[Item]:
    images, own_masks = _several(row.get("image")), _several(row.get("mask"))
    wanted = _several(row.get("prompt")) or list(prompts)
    if not images:
        raise IVGError(f"{where} names no photo: give its path as image (or source).")
    if not wanted:
        raise IVGError(f"{where} has no prompt: say what is done, in the table or for all photos at once.")
    if len(own_masks) not in (0, 1, len(images)):
        raise IVGError(f"{where} has {len(own_masks)} masks for {len(images)} photos: give one for each.")
    own_seeds = _several(row.get("seed"))
    numbers = [seed for text in own_seeds for seed in read_seeds(text)] if own_seeds else list(seeds)
    pairs: list[tuple[Path, Path | None]] = []
    for index, image in enumerate(images):
        photo, mask = folder / Path(image).expanduser(), None
        if own_masks:
            mask = folder / Path(own_masks[min(index, len(own_masks) - 1)]).expanduser()
        elif masks:
            mask = _mask_beside(photo, masks)
        pairs.append((photo, mask))
    return [Item(photo, prompt, seed, mask) for (photo, mask), prompt, seed in product(pairs, wanted, numbers)]


def _folder_rows(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    rows = []
    for photo in sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES):
        text = photo.with_suffix(".txt")
        lines = text.read_text(encoding="utf-8-sig").splitlines() if text.is_file() else []
        rows.append((str(photo), {"image": photo.name, "prompt": [line.strip() for line in lines if line.strip()]}))
    return rows


def _file_rows(path: Path) -> list[tuple[str, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise IVGError(f"{path} cannot be read as text ({error}): save the table as UTF-8.") from error
    if path.suffix.lower() == ".csv":
        separator = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
        found = [(n, row) for n, row in enumerate(csv.DictReader(io.StringIO(text), delimiter=separator), 2)]
        rows = [(f"{path}, row {n}", row) for n, row in found if any(row.values())]
    elif path.suffix.lower() in TABLES:
        rows = _json_rows(path, text)
    else:
        raise IVGError(f"{path} is no table: give a folder of photos, a .csv, or a .json file.")
    return [(where, _known_columns(where, row)) for where, row in rows]


def _json_rows(path: Path, text: str) -> list[tuple[str, Any]]:
    try:
        whole = json.loads(text)
        return [(f"{path}, entry {n}", row) for n, row in enumerate(whole if isinstance(whole, list) else [whole], 1)]
    except ValueError:
        pass  # then it is JSON lines, as the released prompt.json
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if line.strip():
                rows.append((f"{path}, line {number}", json.loads(line)))
        except ValueError as error:
            raise IVGError(f"{path}, line {number}, is not JSON ({error}): mend the line.") from error
    return rows


def _known_columns(where: str, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise IVGError(f'{where} is not an object such as {{"image": "a.png", "prompt": "stir the pan"}}.')
    unknown = [str(name) for name in row if str(name).strip().lower() not in COLUMNS]
    if unknown:
        known = ", ".join(name for name, meaning in COLUMNS.items() if meaning == name)
        raise IVGError(f"{where} has a column {unknown[0]!r} that nothing reads: the columns are {known}.")
    return {meaning: row[name] for name in row if (meaning := COLUMNS[str(name).strip().lower()])}


def _several(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(value).strip() for value in values if value is not None and str(value).strip()]


def _mask_beside(photo: Path, masks: Path) -> Path | None:
    candidates = [masks / f"{photo.stem}{suffix}" for suffix in PICTURES]
    return next((path for path in candidates if path.is_file()), None)


def _digest(path: Path | None) -> str:
    try:
        state = path.stat() if path else None
        return _digest_as_of(path, state.st_mtime_ns, state.st_size) if path and state else ""
    except OSError:
        return f"missing {path}"


@lru_cache(maxsize=1 << 16)  # in ComfyUI the table is read anew for each of its items
def _digest_as_of(path: Path, time: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
