"""Plain values from JSON and yaml, and into settings dataclasses; what does not fit is named, with where it stands."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import IVGError

T = TypeVar("T")

#: Values in a file of settings, each counted as often as the file refers to it.
MOST_VALUES = 100_000

#: What other trainers call settings of ours; behind a dot what stands in a section.
USUAL_NAMES = {
    "lr": "learning_rate",
    "max_steps": "steps",
    "max_train_steps": "steps",
    "num_steps": "steps",
    "iterations": "steps",
    "iters": "steps",
    "epochs": "steps",
    "bs": "batch_size",
    "train_batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation",
    "grad_accum": "accumulation",
    "lr_scheduler": "schedule",
    "scheduler": "schedule",
    "lr_warmup_steps": "warmup",
    "wd": "weight_decay",
    "max_grad_norm": "clip",
    "grad_clip": "clip",
    "mixed_precision": "precision",
    "dtype": "precision",
    "gradient_checkpointing": "checkpointing",
    "snr_gamma": "min_snr",
    "checkpointing_steps": "save_every",
    "save_steps": "save_every",
    "checkpoints_total_limit": "keep_last",
    "output_dir": "out",
    "pretrained_model_name_or_path": "model",
    "rank": "lora.spatial.rank",
    "network_dim": "lora.spatial.rank",
    "lora_rank": "lora.spatial.rank",
    "network_alpha": "lora.spatial.alpha",
    "lora_alpha": "lora.spatial.alpha",
    "validation_steps": "validation.every",
    "train_data_dir": "data.source",
    "n_frames": "data.frames",
    "n_sample_frames": "data.frames",
    "num_frames": "data.frames",
}


def read_json(text: str | bytes) -> Any:
    """The values of a JSON text.

    Raises:
        ValueError: it is none, or nested so deeply that nothing can read it.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_yaml(text: str) -> Any:
    """The values of a yaml text, without any that only make a program slow, large or run code.

    Raises:
        ValueError: it is none, or it unfolds to more than `MOST_VALUES` values; in one line.
    """
    import yaml

    try:
        values = yaml.safe_load(text)
        if _count(values, {}) > MOST_VALUES:
            raise ValueError(f"it unfolds to more than {MOST_VALUES} values")
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError("it is nested too deeply, or holds itself") from None
    return values


def _count(values: Any, known: dict[int, int]) -> int:
    if not isinstance(values, (dict, list)):
        return 1
    if id(values) not in known:
        parts = values.values() if isinstance(values, dict) else values
        known[id(values)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(values)]


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
            raise IVGError(f"{where}: there is no setting {_short(key)}{nearest(str(key), known)}")
    missing = [
        name
        for name, f in known.items()
        if f.default is MISSING and f.default_factory is MISSING and name not in values
    ]
    if missing:
        raise IVGError(f"{where}: {missing[0]} is missing: add it.")
    return cls(**{key: _convert(hints[key], value, f"{where}: {key}") for key, value in values.items()})


def check_ranges(settings: object, ranges: Mapping[str, tuple[float, float]], where: str = "") -> None:
    """Lets pass settings whose numbers can work.

    Args:
        settings: has an attribute for each range; one that is None is left aside, of a tuple each number counts.
        ranges: key -> the least and the most that is allowed.
        where: put before the key in a message.

    Raises:
        IVGError: one lies outside, or is NaN.
    """
    for key, (least, most) in ranges.items():
        value = getattr(settings, key)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not least <= number <= most:
                raise IVGError(f"{where}{key} is {_short(value)}: it must be at least {least:g} and at most {most:g}.")


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the known one that is meant or nearest, or all of them."""
    known = list(known)
    meant = USUAL_NAMES.get(word, "")
    if meant.partition(".")[0] in known:
        return f"; did you mean {meant!r}?"
    close = difflib.get_close_matches(word, known, n=1)
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
            known = ", ".join(str(option) for option in options if option != "")
            raise IVGError(f"{where} is {_short(value)}: choose of {known}.")
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            return value
        if not isinstance(value, Mapping):
            raise IVGError(f"{where} is {_short(value)}, but a section of settings belongs there.")
        return from_mapping(hint, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise IVGError(f"{where} is {_short(value)}, but a section of settings belongs there.")
        return {str(key): _convert(options[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            raise IVGError(f"{where} is {_short(value)}, but a list belongs there.")
        items = [_convert(options[0], item, where) for item in value]
        if origin is tuple and options[-1] is not Ellipsis and len(items) != len(options):
            raise IVGError(f"{where} has {len(items)} values, but {len(options)} belong there.")
        return origin(items)
    if hint is float and not isinstance(value, bool):
        try:
            number = float(value)  # yaml takes 1e-4 for a text
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    kind: Any = hint
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        kinds = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}
        raise IVGError(f"{where} is {_short(value)}, but {kinds.get(kind, kind)} belongs there.")
    return value


def _short(value: Any) -> str:
    """A value as a message shows it; a huge one, or one that may hold itself, is not written out."""
    try:
        text = f"a {type(value).__name__}" if isinstance(value, (dict, list)) else repr(value)
    except ValueError:  # Python does not write out a number of thousands of digits
        return "a huge number"
    return text if len(text) <= 100 else f"{text[:100]}…"
