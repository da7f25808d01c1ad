"""What was made of a clip, kept on disk under a key of everything that shaped it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..settings import read_json
from .files import atomic_write

FORMAT = 1  # raised when what is kept changes its meaning


def user_cache(subject: str) -> Path:
    """The folder in which things of one kind are kept when nobody says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "comfy-ivg" / subject


class Cache:
    """A folder of tensors.

    Args:
        folder: made when something is kept.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, kind: str, shaped_by: Mapping[str, Any]) -> Path:
        """Where the thing with this description lies, or would."""
        text = json.dumps({"format": FORMAT, **shaped_by}, sort_keys=True, default=str)
        return self.folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"

    @staticmethod
    def write(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Keeps tensors and what is to be said of them, whole or not at all.

        Raises:
            IVGError: the disk is full or may not be written to.
        """
        whole = save({key: value.cpu().contiguous() for key, value in tensors.items()}, {"about": json.dumps(about)})
        with atomic_write(path) as temporary:
            temporary.write_bytes(whole)

    @staticmethod
    def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was kept; None where nothing was, or where it is damaged and has to be made anew."""
        try:
            with safe_open(path, "pt") as file:
                about = read_json(file.metadata()["about"])
                return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None

    @staticmethod
    def about(path: Path) -> dict[str, Any] | None:
        """Only what is to be said of it."""
        try:
            with safe_open(path, "pt") as file:
                return read_json(file.metadata()["about"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
