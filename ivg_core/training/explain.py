"""What every setting of a training means: read from the docstrings of its classes, their one home."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..media.targets import user_path
from ..media.text import read_text
from ..settings import read_yaml
from . import losses
from .config import (
    LORA_RANGES,
    MANY,
    PRESETS,
    RANGES,
    VALIDATION_RANGES,
    LoRASettings,
    TrainConfig,
    TrainingPath,
    ValidationSettings,
    presets,
    read_config,
)
from .data.settings import RANGES as DATA_RANGES
from .data.settings import DataSettings

KINDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}
#: Sections of a training's yaml: name -> class and ranges.
SECTIONS: dict[str, tuple[type, Mapping[str, tuple[float, float]]]] = {
    "": (TrainConfig, RANGES),
    "data": (DataSettings, DATA_RANGES),
    "lora.<role>": (LoRASettings, LORA_RANGES),
    "paths": (TrainingPath, {}),
    "validation": (ValidationSettings, VALIDATION_RANGES),
}


@dataclass(frozen=True)
class Setting:
    """One key of a yaml.

    Attributes:
        name: of the key, within its section.
        kind: what may stand there, in words.
        default: as a yaml writes it; "" where one must be given.
        meaning: one or a few sentences.
    """

    name: str
    kind: str
    default: str
    meaning: str


def settings_of(cls: type, ranges: Mapping[str, tuple[float, float]] | None = None) -> list[Setting]:
    """The settings of a dataclass, in its order.

    Args:
        cls: a dataclass whose docstring explains its fields under `Args:`.
        ranges: key -> the least and the most that is allowed.
    """
    meanings, hints = _meanings(cls), get_type_hints(cls)
    return [
        Setting(f.name, _kind(hints[f.name], (ranges or {}).get(f.name)), _default(f), meanings.get(f.name, ""))
        for f in fields(cls)
    ]


PRESETS_ARE = """\
## Presets

`train --preset NAME`. `train --show NAME` prints one, and behind it every other setting with its meaning: a yaml to
begin with (`train --show NAME > my.yaml`, then `train --config my.yaml`)."""
SETTINGS_ARE = """\
## Every setting

The keys of a yaml, and of `--set KEY=VALUE`, where a section's stand behind a dot: `--set data.frames=8`."""


def reference() -> str:
    """Presets and every setting of a training in Markdown: a table for each section of a yaml, and for each loss."""
    rows = [f"| `{name}` | {_head(name)} |" for name in presets()]
    parts = [PRESETS_ARE, "\n".join(["| preset | what it is for |", "|---|---|", *rows]), SETTINGS_ARE]
    for name, (cls, ranges) in SECTIONS.items():
        heading = f"`{name}`" if name else "At the top"
        parts.append(f"### {heading}\n\n{_summary(cls)}\n\n{_table(settings_of(cls, ranges))}")
    for name, kind in losses.LOSSES.items():
        settings = settings_of(kind.cls, {**losses.WEIGHT, **kind.ranges})
        parts.append(f"### `losses.{name}`\n\n{_summary(kind.cls)}\n\n{_table(settings)}")
    return "\n\n".join(parts) + "\n"


def show(preset: str | Path, plugins: Sequence[str | Path] = ()) -> str:
    """A preset or a yaml of settings, and behind it every setting that it leaves at its default, with its meaning.

    Args:
        preset: its name, or a yaml file.
        plugins: see `read_config`.

    Returns:
        The text of a yaml that means the same: what is added is comments.

    Raises:
        IVGError: there is no such file, or it holds other things than settings of a training.
    """
    config = read_config(preset, plugins=plugins)
    text = read_text(PRESETS / f"{preset}.yaml" if str(preset) in presets() else user_path(preset))
    given = read_yaml(text)
    lines = [*_left(TrainConfig, given, "", RANGES), *_left(DataSettings, given.get("data"), "data.", DATA_RANGES)]
    if config.method == "lora":
        for role in config.lora:
            told = (given.get("lora") or {}).get(role)
            lines += _left(LoRASettings, told, f"lora.{role}.", LORA_RANGES)
    lines += _left(ValidationSettings, given.get("validation"), "validation.", VALIDATION_RANGES)
    for name, term in config.losses.items():
        told = term if isinstance(term, Mapping) else {"weight": term}
        lines += _left(losses.LOSSES[name].cls, told, f"losses.{name}.", losses.LOSSES[name].ranges)
    return f"{text.rstrip()}\n\n# Left at its default; --set KEY=VALUE changes it:\n" + "\n".join(lines) + "\n"


def _left(cls: type, given: Mapping[str, Any] | None, prefix: str, ranges) -> Iterator[str]:
    sections = {name for name in SECTIONS if name} | {"lora", "losses"}
    for setting in settings_of(cls, ranges):
        if setting.name not in (given or {}) and not (prefix == "" and setting.name in sections):
            assigned = f"{prefix}{setting.name}={setting.default or '…'}"
            yield textwrap.fill(
                f"{setting.meaning} ({setting.kind})",
                width=118,
                initial_indent=f"#   {assigned:32} ",
                subsequent_indent="#" + " " * 36,
                break_long_words=False,
                break_on_hyphens=False,
            )


def _head(preset: str) -> str:
    text = read_text(PRESETS / f"{preset}.yaml")
    return text[: text.index("\n")].removeprefix("# ").rstrip(":")


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _table(settings: list[Setting]) -> str:
    rows = ["| setting | default | what may stand there | meaning |", "|---|---|---|---|"]
    for one in settings:
        cells = (f"`{one.name}`", f"`{one.default}`" if one.default else "must be given", one.kind, one.meaning)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _meanings(cls: type) -> dict[str, str]:
    text = inspect.cleandoc(cls.__doc__ or "")
    body = re.search(r"^Args:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \S)", body[1].rstrip()) if body else []:
        names, _, meaning = entry.strip().partition(": ")
        found |= dict.fromkeys(names.split(", "), " ".join(meaning.split()).replace("None", "null"))
    return found


def _default(f: Field) -> str:
    value: Any = f.default
    if f.default_factory is not MISSING:
        value = f.default_factory()
    return "" if value is MISSING else _plain(value)


def _plain(value: Any) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        mine, usual = asdict(value), asdict(type(value)())
        return _plain({key: item for key, item in mine.items() if item != usual[key]})
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    words = {None: "null", True: "true", False: "false", "": '""'}
    return words[value] if value is None or isinstance(value, bool) or value == "" else str(value)


def _kind(hint: Any, limits: tuple[float, float] | None) -> str:
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        inner = [_kind(option, limits) for option in options if option is not NoneType]
        return " or ".join([*inner, *(["null"] if NoneType in options else [])])
    if origin is Literal:
        return ", ".join(str(option) for option in options)
    if origin in (list, tuple):
        return f"list of {_kind(options[0], limits)}"
    if origin is dict or is_dataclass(hint):
        return "section"
    kind = KINDS.get(hint, "anything")
    return f"{kind}, {limits[0]:g} to {limits[1]:g}" if limits and limits[1] < MANY else kind
