"""What was measured, on the disk: figures as lines of JSON, a file for each process, and features beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from ..media.cache import Cache
from ..media.records import Records, read_records
from .families import Features, Values
from .tasks import Refused, Task


class Kept:
    """The figures of clips by the keys of their tasks, of all processes that share a folder.

    Args:
        folder: made if need be; None keeps them in memory alone.
        process: number of this process.

    Raises:
        IVGError: the folder cannot be written to, or another process of this number is at work in it.
    """

    def __init__(self, folder: Path | None, process: int = 0):
        self._folder = folder
        self._records = Records(folder / f"values-{process}.jsonl", "evaluation") if folder else None
        self._lines: dict[str, dict[str, Any]] = {}
        self._memory: dict[str, Values | Refused] = {}
        self.read()

    def read(self) -> None:
        """Take in what other processes have measured meanwhile."""
        for path in sorted(self._folder.glob("values-*.jsonl")) if self._folder else []:
            self._lines |= {record["key"]: record for record in read_records(path) if _is_whole(record)}

    def state(self, key: str) -> Literal["", "measured", "refused"]:
        """What is known of a task, without reading its features."""
        if key in self._memory:
            return "refused" if isinstance(self._memory[key], Refused) else "measured"
        line = self._lines.get(key, {})
        if "refused" in line:
            return "refused"
        whole = line and (not line["features"] or Cache.about(self._features(key)) is not None)
        return "measured" if whole else ""

    def outcome(self, key: str) -> Values | Refused | None:
        """The outcome of a task; None where it is not known, or its features are damaged."""
        if key in self._memory or key not in self._lines:
            return self._memory.get(key)
        line = self._lines[key]
        if "refused" in line:
            return Refused(line["refused"])
        values: Values = dict(line["values"])
        if line["features"]:
            read = Cache.read(self._features(key))
            try:
                tensors = read[0] if read else {}
                values |= {n: Features(tensors[f"{n}.generated"], tensors[f"{n}.true"]) for n in line["features"]}
            except KeyError:
                return None
        return values

    def keep(self, task: Task, outcome: Values | Refused) -> None:
        """Note the outcome of a task.

        Raises:
            IVGError: the disk is full or gone.
        """
        if self._records is None:
            self._memory[task.key] = outcome
            return
        line: dict[str, Any] = {"key": task.key, "method": task.method, "clip": task.files.name}
        if isinstance(outcome, Refused):
            line["refused"] = outcome.why
        else:
            features = {name: value for name, value in outcome.items() if isinstance(value, Features)}
            line["values"] = {name: value for name, value in outcome.items() if name not in features}
            line["features"] = list(features)
            if features:
                tensors = {f"{name}.generated": value.generated for name, value in features.items()}
                tensors |= {f"{name}.true": value.true for name, value in features.items()}
                Cache.write(self._features(task.key), tensors, {"method": task.method, "clip": task.files.name})
        self._records.append(line)  # after the features: where it is, they are
        self._lines[task.key] = line

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_) -> None:
        if self._records:
            self._records.close()

    def _features(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{key}.safetensors"


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether this is an outcome as `Kept` writes it."""
    if not isinstance(record.get("key"), str):
        return False
    values, features = record.get("values"), record.get("features")
    measured = isinstance(values, dict) and all(isinstance(value, float) for value in values.values())
    named = isinstance(features, list) and all(isinstance(name, str) for name in features)
    return isinstance(record.get("refused"), str) or (measured and named)
