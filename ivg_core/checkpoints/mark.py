"""Whether files of weights are still those that they were, told at a glance."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from .embedded import EMBEDDED, EMBEDDED_LORAS

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
PIECE = 256  # bytes at the beginning, in the middle and at the end of what is looked at


def weights_mark(places: Iterable[str | None]) -> str:
    """Twelve hexadecimal digits that change when one of these is trained further, merged anew or exchanged.

    Not all is read: of each tensor of a safetensors file three pieces, as training changes a tensor all over;
    of other files pieces at even distances.

    Args:
        places: checkpoints and LoRAs, files or folders, or names of what ships with the library. None and what is not
            there count as nothing.
    """
    digest = hashlib.sha256()
    for place in places:
        for path, name in _files(place) if place else ():
            digest.update(name.encode(errors="backslashreplace"))
            with open(path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                digest.update(str(size).encode())
                for start, end in _parts(path, size):
                    for at in (start, (start + end) // 2, end - PIECE):
                        file.seek(max(at, start))
                        digest.update(file.read(min(PIECE, end - start)))
    return digest.hexdigest()[:12]


def _files(place: str) -> Iterator[tuple[Path, str]]:
    known = {"embedded": EMBEDDED, **EMBEDDED_LORAS}
    path = known.get(place, Path(place))
    if path.is_file():
        yield path, path.suffix
    elif path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix in WEIGHTS and file.is_file())
        yield from ((file, file.relative_to(path).as_posix()) for file in found)


def _parts(path: Path, size: int) -> list[tuple[int, int]]:
    """Where in a file to look: its tensors, or stretches of it."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if path.suffix == ".safetensors" and length < size:
                told = json.loads(file.read(length))
                places = [one["data_offsets"] for name, one in told.items() if name != "__metadata__"]
                return sorted((8 + length + first, 8 + length + last) for first, last in places)
    except (ValueError, KeyError, TypeError):  # damaged: loading it says so
        pass
    step = max(size // 4096, 1)
    return [(at, min(at + step, size)) for at in range(0, size, step)]
