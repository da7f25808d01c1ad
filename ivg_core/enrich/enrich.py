"""`enrich_action`: one call for all the ways to enrich an action, with a cache on disk."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Protocol

from torch import Tensor

from ..errors import IVGError
from ..media.cache import user_cache
from ..media.files import atomic_write
from ..media.images import to_pil
from ..media.targets import user_path
from ..settings import read_json
from .answer import INSTRUCTION
from .template import fill_template


class Enricher(Protocol):
    """A language model that can be asked, such as `LocalModel` or `Server`."""

    @property
    def name(self) -> str: ...

    def __call__(self, action: str, image: Tensor | None) -> str: ...


def enrich_action(
    action: str, image: Tensor | None = None, enricher: Enricher | None = None, cache: str | Path | None = None
) -> str:
    """Turn "julienne carrot" into a sentence that says what each hand holds and does.

    Args:
        action: a few words.
        image: the photo, (H, W, 3) 0..1, for models that can see.
        enricher: whom to ask; None fills a template, which needs no model and no photo.
        cache: folder that keeps the answers; the same question to the same model is asked once.

    Returns:
        One sentence.

    Raises:
        IVGError: there is no action, or the model cannot be asked.

    Source: paper Fig. 2d.
    """
    action = " ".join(action.split())
    if not action:
        raise IVGError('There is no action to enrich: write what is done, such as "julienne carrot".')
    if enricher is None:
        return fill_template(action)
    path = user_path(cache) / f"{_key(action, image, enricher)}.json" if cache else None
    if path and (known := _read(path)):
        return known
    sentence = enricher(action, image)
    if path:
        entry = {"action": action, "sentence": sentence, "by": enricher.name, "date": time.strftime("%Y-%m-%d")}
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(entry, ensure_ascii=False, indent=1), encoding="utf-8")
    return sentence


def default_cache() -> Path:
    """Where answers are kept when nobody says otherwise."""
    return user_cache("enrich")


def _key(action: str, image: Tensor | None, enricher: Enricher) -> str:
    seen = hashlib.sha256(to_pil(image).tobytes()).hexdigest() if image is not None else ""
    return hashlib.sha256(json.dumps([INSTRUCTION, action, enricher.name, seen]).encode()).hexdigest()[:32]


def _read(path: Path) -> str:
    try:
        return str(read_json(path.read_text(encoding="utf-8"))["sentence"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
