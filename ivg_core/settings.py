"""Plain values into settings dataclasses; what does not fit is named, with where it stands and what would."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import IVGError

T = TypeVar("T")


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Makes a settings dataclass from plain values.

    Args:
        cls: the dataclass.
        values: key -> value, nested as the dataclass is.
        where: for messages: file, and key of a section.

    Raises:
        IVGError: an unknown key, with the nearest that exists; a missing one; a value of the wrong kind.
    """
    hints = get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise IVGError(f"{where}: there is no setting {key!r}{nearest(str(key), known)}")
    missing = [
        name
        for name, f in known.items()
        if f.default is MISSING and f.default_factory is MISSING and name not in values
    ]
    if missing:
        raise IVGError(f"{where}: {missing[0]} is missing: add it.")
    return cls(**{key: _convert(hints[key], value, f"{where}: {key}") for key, value in values.items()})


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f": choose of {', '.join(sorted(known))}."


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, options = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in options:
            return None
        return _convert(next(option for option in options if option is not NoneType), value, where)
    if origin is Literal:
        if value not in options or isinstance(value, bool):
            raise IVGError(f"{where} is {value!r}: choose of {', '.join(str(option) for option in options)}.")
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            return value
        if not isinstance(value, Mapping):
            raise IVGError(f"{where} is {value!r}, but a section of settings belongs there.")
        return from_mapping(hint, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise IVGError(f"{where} is {value!r}, but a section of settings belongs there.")
        return {str(key): _convert(options[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            raise IVGError(f"{where} is {value!r}, but a list belongs there.")
        items = [_convert(options[0], item, where) for item in value]
        if origin is tuple and len(items) != len(options):
            raise IVGError(f"{where} has {len(items)} values, but {len(options)} belong there.")
        return origin(items)
    if hint is float and not isinstance(value, bool):
        try:
            return float(value)  # yaml takes 1e-4 for a text
        except (TypeError, ValueError):
            pass
    kind: Any = hint
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        kinds = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
        raise IVGError(f"{where} is {value!r}, but {kinds.get(kind, kind)} belongs there.")
    return value
