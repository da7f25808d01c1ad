"""The JSON files of checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import IVGError
from ..settings import read_json


def read_config(path: Path) -> dict[str, Any]:
    """A JSON file of a checkpoint.

    Raises:
        IVGError: it is damaged.
    """
    try:
        return json_object(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise IVGError(f"{path} is half-downloaded or damaged ({error}): download it again.") from error


def json_object(text: str) -> dict[str, Any]:
    """A JSON object. Diffusers would take a string in its place for a repository's name, and ask the hub for it."""
    found = read_json(text)
    if not isinstance(found, dict):
        raise ValueError(f"it holds {type(found).__name__} where an object belongs")
    return found
