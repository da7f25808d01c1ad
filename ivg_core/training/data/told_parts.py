"""What a network of another program is told, kept in a file: a sentence's part and a clip's part, and both together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import IVGError
from ...models.told import Told

#: Before the names of fields of `Told`, of what is in its `also`, and of what is there no tensor but plain JSON.
FIELD, ALSO, PLAIN = "told.", "told.also.", "told.plain."


def flatten(parts: Mapping[str, Any]) -> dict[str, Tensor]:
    """Fields of a `Told` as tensors of a file.

    Args:
        parts: names of fields -> tensors; `also` -> a mapping of tensors and of what JSON can say. None is left out.

    Raises:
        IVGError: something in `also` is neither.
    """
    found: dict[str, Tensor] = {}
    for name, value in parts.items():
        if isinstance(value, Tensor):
            found[FIELD + name] = value
    for name, value in (parts.get("also") or {}).items():
        if isinstance(value, Tensor):
            found[ALSO + name] = value
        elif value is not None:
            found[PLAIN + name] = _plain(name, value)
    return found


def _plain(name: str, value: Any) -> Tensor:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError) as error:
        raise IVGError(
            f"The text encoder gives {name} ({type(value).__name__}), which cannot be kept in a file: this model "
            "cannot be trained with it."
        ) from error
    return torch.from_numpy(np.frombuffer(text.encode(), np.uint8).copy())


def told_in(tensors: Mapping[str, Tensor]) -> Told | None:
    """What `flatten` made of the parts of one clip and of its sentence; None where there is nothing of it."""
    fields: dict[str, Any] = {}
    also: dict[str, Any] = {}
    for name, value in tensors.items():
        if name.startswith(ALSO):
            also[name.removeprefix(ALSO)] = value
        elif name.startswith(PLAIN):
            also[name.removeprefix(PLAIN)] = json.loads(value.numpy().tobytes())
        elif name.startswith(FIELD):
            fields[name.removeprefix(FIELD)] = value
    return Told(**fields, also=also) if fields else None
