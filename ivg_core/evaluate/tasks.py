"""What is to be measured, clip by clip and family by family, here or on another machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import torch

from ..errors import IVGError
from ..media.clips import file_identity
from ..plugins import load_plugins
from .clips import ClipFiles, load_clip
from .families import FAMILIES, INPUTS, METRICS, Family, Measure, Values

OnClip = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Task:
    """One clip to be measured by one family of metrics.

    Attributes:
        family: its place in `FAMILIES`.
        method: that made the clip.
        files: of the clip.
        key: another one once anything has changed that the figures follow from.
    """

    family: int
    method: str
    files: ClipFiles
    key: str

    def __str__(self) -> str:
        return f"{FAMILIES[self.family].title}: {self.method}, {self.files.name}"


@dataclass(frozen=True)
class Refused:
    """Why a family has no figures: it cannot be loaded on this machine, or one clip is not of its kind."""

    why: str
    of_machine: bool = False


@dataclass
class Work:
    """What one family has to do.

    Attributes:
        family: it.
        tasks: every clip that has what one of its metrics needs.
        reason: why it cannot be loaded here, if it cannot.
    """

    family: Family
    tasks: list[Task]
    reason: str = ""


class Measurer:
    """Measures clips with one family's networks in memory at a time.

    Args:
        weights: folder of the networks, see `metrics/weights.py`.
        device: where they run.
        plugins: files that register metrics, where this process has not run them yet.
    """

    def __init__(self, weights: Path | None = None, device: str = "cpu", plugins: Sequence[Path] = ()):
        load_plugins(plugins)
        self.weights, self.device = weights, device
        self._loaded: dict[int, Measure | Refused] = {}

    @torch.no_grad()
    def __call__(self, task: Task) -> Values | Refused:
        """The figures of a clip.

        Raises:
            IVGError: the clip cannot be read.
        """
        if task.family not in self._loaded:
            self._loaded.clear()  # first, so that there are never two families in memory
            self._loaded[task.family] = self._load(FAMILIES[task.family])
        measure = self._loaded[task.family]
        if isinstance(measure, Refused):
            return measure
        clip = load_clip(task.files)
        try:
            return measure(clip)
        except IVGError as error:
            return Refused(str(error), of_machine=FAMILIES[task.family].own)

    def _load(self, family: Family) -> Measure | Refused:
        try:
            return family.load(self.weights, self.device)
        except IVGError as error:
            return Refused(str(error), of_machine=True)


def plan(methods: Mapping[str, Sequence[ClipFiles]], weights: Path | None, device: str) -> list[Work]:
    """What each family has to do, in the order of `FAMILIES`; see `evaluate_methods` for the arguments."""
    works, known = [], cache(file_identity)  # a clip is asked for by every family
    for number, family in enumerate(FAMILIES):
        networks, reason = _identity(family, weights), ""
        wanted = dict.fromkeys(pair for key in family.keys for pair in clips_with(key, methods))
        if networks is None or not wanted:
            reason = _why_not(family, weights, device)
        tasks = [Task(number, name, files, _key(family, files, networks or [], known)) for name, files in wanted]
        works.append(Work(family, tasks, reason))
    return works


def in_turn(
    measurer: Measurer, on_clip: OnClip | None, tasks: Sequence[Task], done: Callable[[Task, Values | Refused], None]
) -> None:
    """Measure clips one after the other; a family that refuses one is asked no more."""
    for _, of_family in groupby(tasks, key=lambda task: task.family):
        clips = list(of_family)
        for number, task in enumerate(clips, 1):
            if on_clip:
                on_clip(number, len(clips), str(task))
            outcome = measurer(task)
            done(task, outcome)
            if isinstance(outcome, Refused):
                break


def clips_with(key: str, methods: Mapping[str, Sequence[ClipFiles]]) -> list[tuple[str, ClipFiles]]:
    """The clips, each with its method, that have what a metric needs."""
    needs = METRICS[key].needs.split()
    pairs = [(name, files) for name, clips in methods.items() for files in clips]
    return [(name, files) for name, files in pairs if all(has(files, need) for need in needs)]


def has(files: ClipFiles, need: str) -> bool:
    """Whether there is a file, or text, for what a metric needs of a clip."""
    if need == "own_mask":
        return bool(files.own_mask and files.mask)
    if need == "mask":
        return bool(files.own_mask or files.mask)
    return getattr(files, need) is not None


def lacking(key: str, methods: Mapping[str, Sequence[ClipFiles]]) -> list[str]:
    """How the user gives what a metric needs, where no clip has all of it."""
    if clips_with(key, methods):
        return []
    needs, clips = METRICS[key].needs.split(), [files for clips in methods.values() for files in clips]
    nowhere = [need for need in needs if not any(has(files, need) for files in clips)]
    return [INPUTS[need] for need in nowhere or needs]


def network_files(family: Family, weights: Path | None) -> list[Path]:
    """The files of a family's networks in the folder of weights.

    Raises:
        IVGError: one is missing.
    """
    places = [network.find(weights) for network in family.networks]
    files = [file for place in places for file in (sorted(place.rglob("*")) if place.is_dir() else [place])]
    return [file for file in files if file.is_file()]


def _identity(family: Family, weights: Path | None) -> list[str] | None:
    """Texts that differ once a network of the family was changed; None where one is missing."""
    try:
        return [file_identity(file) for file in network_files(family, weights)]
    except IVGError:
        return None


def _why_not(family: Family, weights: Path | None, device: str) -> str:
    try:
        family.load(weights, device)
    except IVGError as error:
        return str(error)
    return ""


def _key(family: Family, files: ClipFiles, networks: list[str], identity: Callable[[Path], str]) -> str:
    needs = {need for key in family.keys for need in METRICS[key].needs.split()}
    seen = [files.video, files.truth]  # the true clip says which frames are compared
    if needs & {"mask", "own_mask"}:
        seen += [files.mask, files.own_mask]
    shaped_by = {
        "metrics": family.keys,
        "version": family.version,
        "networks": networks,
        "files": [file and identity(file) for file in seen],
        "prompt": files.prompt if "prompt" in needs else None,
    }
    return hashlib.sha256(json.dumps(shaped_by).encode()).hexdigest()[:32]
