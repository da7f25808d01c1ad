"""Safetensors files whose bytes follow from what is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def save_tensors(tensors: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str]) -> None:
    """Write tensors, contiguous and on the CPU, with texts in the header.

    The library orders the texts anew in every run; here they are in the order of their names, so that the same work
    gives the same file.
    """
    save_file(dict(tensors), path, dict(metadata))
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        texts = {"__metadata__": dict(sorted(header.pop("__metadata__").items()))}
        ordered = json.dumps(texts | header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(ordered) <= length:  # a text may be written shorter, never longer; spaces fill up
            file.seek(8)
            file.write(ordered.ljust(length))
