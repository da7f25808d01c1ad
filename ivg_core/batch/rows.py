"""What stands in a folder of photos, a CSV or a JSON file: rows of plain texts, each with a name for its errors."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import IVGError
from ..media.files import PICTURES, UNREADABLE, entries_in
from ..media.text import plain, read_text
from ..settings import read_json

log = logging.getLogger("ivg")

TABLES = (".csv", ".json", ".jsonl")
#: Column of a table -> what it is called here. `target` stands in the released prompt.json and is not used.
COLUMNS = {
    "image": "image",
    "source": "image",
    "prompt": "prompt",
    "action": "prompt",
    "prompts": "prompts",
    "seed": "seed",
    "mask": "mask",
    "lora": "lora",
    "lora_strength": "lora_strength",
    "boxes": "boxes",
    "phrase": "phrase",
    "target": None,
}
NUMBERS = ("seed", "lora_strength")  # columns in which JSON may have a number for a text
MOST_NAMED = 20  # files in one warning


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    where: str  # file and row, for errors
    values: dict[str, list[str]] = field(default_factory=dict)  # as COLUMNS has them; what is empty is not there
    fault: str = ""  # why nothing can be made of it


def folder_rows(folder: Path) -> list[Row]:
    """The photos of a folder, each with the prompts of the text file beside it; a warning names what is left out."""
    entries = entries_in(folder)
    photos = [path for path in entries if path.suffix.lower() in PICTURES]
    unreadable = [path for path in entries if path.suffix.lower() in UNREADABLE]
    known = {path.stem for path in (*photos, *unreadable)}
    lonely = [path for path in entries if path.suffix == ".txt" and path.stem not in known]
    for left, why in ((unreadable, "pictures of a kind that cannot be read here"), (lonely, "prompts without a photo")):
        if left:
            more = [f"and {len(left) - MOST_NAMED} more"] if len(left) > MOST_NAMED else []
            names = ", ".join([*(path.name for path in left[:MOST_NAMED]), *more])
            log.warning("%s: left out are %s: %s.", folder, why, names)
    return [_of_photo(photo) for photo in photos]


def file_rows(path: Path) -> list[Row]:
    """The rows of a CSV or JSON file.

    Raises:
        IVGError: it is none of these, or damaged as a whole.
    """
    kind = path.suffix.lower()
    if kind not in TABLES:
        raise IVGError(f"{path} is no table: give a folder of photos, a .csv, or a .json file.")
    text = read_text(path)
    return _csv_rows(path, text) if kind == ".csv" else _json_rows(path, text)


def _of_photo(photo: Path) -> Row:
    beside, prompts, fault = photo.with_suffix(".txt"), [], ""
    try:
        if beside.is_file():
            prompts = [line.strip() for line in read_text(beside).split("\n") if line.strip()]
    except IVGError as error:
        fault = str(error)
    return Row(str(photo), {"image": [photo.name], "prompt": prompts}, fault)


def _csv_rows(path: Path, text: str) -> list[Row]:
    first, _, rest = text.partition("\n")
    if said := re.fullmatch(r'"?sep=(.)"?', first):  # a line of Excel's
        separator, text = said[1], rest
    else:
        separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        header, *lines = list(reader) or [[]]
    except csv.Error as error:
        raise IVGError(f"{path}, line {reader.line_num}, cannot be read ({error}): look at its quotes.") from error
    names = [name.strip() for name in header]
    while names and not names[-1]:
        names.pop()
    for name in names:
        if name:
            _meaning(f"{path}, row 1,", name)
    return [_of_cells(f"{path}, row {n}", names, cells) for n, cells in enumerate(lines, 2) if any(cells)]


def _of_cells(where: str, names: list[str], cells: list[str]) -> Row:
    if any(cell.strip() for cell in cells[len(names) :]):
        return Row(where, fault=f"{where} has more cells than columns: put quotes around a prompt with a comma.")
    pairs = list(zip(names, cells, strict=False))
    if any(cell.strip() for name, cell in pairs if not name):
        return Row(where, fault=f"{where} has a cell in a column without a name: name the column, or empty it.")
    return _row(where, [(name, cell) for name, cell in pairs if name])


def _json_rows(path: Path, text: str) -> list[Row]:
    try:
        whole = read_json(text)
    except ValueError as error:
        if text.lstrip().startswith("["):
            raise IVGError(f"{path} is not JSON ({error}): mend it.") from error
    else:
        entries = whole if isinstance(whole, list) else [whole]
        return [_of_entry(f"{path}, entry {n}", entry) for n, entry in enumerate(entries, 1)]
    # JSON lines, as the released prompt.json
    return [_of_line(f"{path}, line {n}", line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]


def _of_line(where: str, line: str) -> Row:
    try:
        return _of_entry(where, read_json(line))
    except ValueError as error:
        return Row(where, fault=f"{where}, is not JSON ({error}): mend the line.")


def _of_entry(where: str, entry: Any) -> Row:
    if not isinstance(entry, dict):
        return Row(where, fault=f'{where} is not an object such as {{"image": "a.png", "prompt": "stir the pan"}}.')
    return _row(where, entry.items())


def _row(where: str, cells: Iterable[tuple[str, Any]]) -> Row:
    values: dict[str, list[str]] = {}
    named: dict[str, str] = {}
    try:
        for name, value in cells:
            meaning, texts = _meaning(where, name), _texts(where, name, value)
            if not meaning or not texts:
                continue
            if meaning in values:
                raise IVGError(f"{where} has both {named[meaning]} and {name}, which mean the same: keep one.")
            values[meaning], named[meaning] = texts, name
    except IVGError as error:
        return Row(where, values, str(error))
    return Row(where, values)


def _meaning(where: str, name: str) -> str | None:
    column = name.strip().lower()
    if column not in COLUMNS:
        known = ", ".join(name for name, meaning in COLUMNS.items() if meaning == name)
        raise IVGError(f"{where} has a column {name[:40]!r} that nothing reads: the columns are {known}.")
    return COLUMNS[column]


def _texts(where: str, name: str, value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if name.strip().lower() in NUMBERS:
        values = [str(value) if isinstance(value, (int, float)) else value for value in values]
    texts = [plain(value, f"{where}: {name}").strip() for value in values if value is not None]
    return [text for text in texts if text]
