"""Settings of trainings and checkpoints, from yaml and from a command line."""

from __future__ import annotations

import math
import random
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from ivg_core.checkpoints.layout import read_layout
from ivg_core.settings import from_mapping
from ivg_core.training.config import TrainConfig, presets, read_config
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.data.sources import find_training_clips

from . import odd
from .case import Case, kind
from .texts import photo_in


def _keys(cls: type, before: str = "") -> list[str]:
    return [before + field.name for field in fields(cls)]  # type: ignore[arg-type]


TRAIN_KEYS = [
    *_keys(TrainConfig), "lora.spatial.rank", "lora.spatial.alpha", "lora.spatial.dropout", "lora.text.learning_rate",
    "validation.every", "validation.draws", "validation.samples", "validation.sample_steps", "losses.noise",
    "losses.motion", "losses.noise.weight", "losses.noise.inside", "losses.hands.weight",
]  # fmt: skip
SETTING_VALUES = (
    ".nan", ".inf", "-.inf", "-1", "-0.5", "0", "1e30", "1e308", "10000000000", "99999999999999999999", "0.5", "2",
    "true",
    "null", "[]", "{}", "text", "''", "[1, 2, 3]", "[.nan, .inf]", "[-1, 5]", "{rank: 4}", "2001-01-01", "0x10",
    "1_000",
    "!!python/object/apply:os.system ['touch canary']", "!!binary aGk=", "&a [*a]", "\"\\ud800\"", "nan", "inf",
    "1e-400",
)  # fmt: skip
#: Settings that may lie below 0.
BELOW_ZERO = {"seed", "noise_offset"}


def odd_settings(found: Any, where: str = "") -> str:
    """What cannot be meant in settings: NaN, infinity, numbers beyond every training."""
    values = vars(found) if hasattr(found, "__dataclass_fields__") else found if isinstance(found, dict) else None
    if values is not None:
        return next((odd for key, one in values.items() if (odd := odd_settings(one, str(key)))), "")
    if isinstance(found, (list, tuple)):
        return next((odd for one in found if (odd := odd_settings(one, where))), "")
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return ""
    if not math.isfinite(found):
        return f"{where} = {found} is taken"
    if found < 0 and where not in BELOW_ZERO:
        return f"{where} = {found} is taken"
    return f"{where} = {found} is taken" if abs(found) > 1e12 and where != "seed" else ""


@kind("library", 220)
def settings_of_trainings(rng: random.Random, folder: Path) -> Case:
    """A yaml with an odd value: refused with its key, or a value that a training can use."""
    key, value, way = rng.choice(TRAIN_KEYS), rng.choice(SETTING_VALUES), rng.choice(("yaml", "yaml", "set"))
    path = folder / "train.yaml"
    lines, parts = [], key.split(".")
    for depth, part in enumerate(parts):
        lines.append("  " * depth + part + ":" + (f" {value}" if depth == len(parts) - 1 else ""))
    text = "\n".join(lines) + "\n"
    path.write_text(text if way == "yaml" else "steps: 3\n")
    assignments = [(key, value)] if way == "set" else []
    return Case(f"{way} {key}: {value}", lambda: read_config(path, {}, assignments), odd_settings)


@kind("library", 120)
def settings_of_data(rng: random.Random, folder: Path) -> Case:
    """The same for the data side of a training."""
    keys = list(get_type_hints(DataSettings))
    key, value = (
        rng.choice(keys),
        rng.choice((odd.value(rng), *map(yaml.safe_load, ("1e30", ".nan", ".inf", "10000000000", "-8")))),
    )
    values = {"source": str(folder), key: value}

    def call():
        settings = from_mapping(DataSettings, values, "data")
        photo_in(folder)
        return settings, find_training_clips(settings)

    return Case(f"data: {key} = {value!r:.80}", call, lambda found: odd_settings(found[0]))


def _bomb(levels: int = 9) -> str:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{k}: &a{k} [{','.join([f'*a{k - 1}'] * 9)}]" for k in range(1, levels)]
    return "\n".join(lines) + f"\nlosses: *a{levels - 1}\nvalidation_data: *a{levels - 1}\nlicence: *a{levels - 1}\n"


HOSTILE_YAML = {
    "an alias bomb": lambda: _bomb(),
    "deep lists": lambda: "steps: " + "[" * 3000 + "]" * 3000,
    "deep mappings": lambda: "\n".join(" " * k + "a:" for k in range(1500)),
    "an anchor to itself": lambda: "losses: &a {a: *a}",
    "a tag of Python": lambda: "steps: !!python/object/apply:subprocess.check_output [[touch, canary]]",
    "another tag of Python": lambda: "out: !!python/object/new:exec [\"open('canary', 'w')\"]",
    "a tag of our own": lambda: "steps: !steps 3",
    "a merge key": lambda: "<<: {steps: 5}\nsteps: 6",
    "the same key twice": lambda: "steps: 5\nsteps: 700\n",
    "a key that is a list": lambda: "? [a, b]\n: 3",
    "a key that is a number": lambda: "5: 3",
    "tabs": lambda: "steps:\t5\n\tseed: 3",
    "two documents": lambda: "steps: 5\n---\nsteps: 6",
    "a number of 100000 digits": lambda: "steps: " + "9" * 100_000,
    "sexagesimal": lambda: "steps: " + "1:" * 3000 + "1",
    "bytes": lambda: "\0\0\0",
    "a byte order mark": lambda: "\ufeffsteps: 5",
    "nothing": lambda: "",
    "a list": lambda: "- steps: 5",
    "a line": lambda: "steps",
}


@kind("library", 60)
def hostile_yaml(rng: random.Random, folder: Path) -> Case:
    """In a training's settings and in a checkpoint's config.yaml."""
    name, where = rng.choice(list(HOSTILE_YAML)), rng.choice(("train", "checkpoint"))
    text, encoding = HOSTILE_YAML[name](), rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "cp1252"))
    if where == "checkpoint":
        (folder / "unet").mkdir()
    path = folder / "config.yaml"
    path.write_bytes(text.encode(encoding, "replace"))
    call = (lambda: read_config(path)) if where == "train" else (lambda: read_layout(folder).defaults)
    return Case(f"{where}'s yaml with {name}, {encoding}", call, odd_settings)


@kind("library", 30)
def presets_with_odd_assignments(rng: random.Random, folder: Path) -> Case:
    """`--set` on top of every preset."""
    key = rng.choice(
        (
            *TRAIN_KEYS,
            "",
            ".",
            "a.b.c",
            "lora",
            "lora.",
            ".lora",
            "losses.x",
            "steps.x",
            "__class__",
            "lora.spatial.__init__",
        )
    )
    assignment, preset = (key, rng.choice(SETTING_VALUES)), rng.choice(presets())
    return Case(f"{preset} --set {'='.join(assignment)}", lambda: read_config(preset, {}, [assignment]), odd_settings)
