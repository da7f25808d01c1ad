"""Measure the clips of several methods: one table for all clips, and one for those with much motion."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..errors import IVGError
from .bootstrap import Estimate, estimate_distance, estimate_mean
from .clips import ClipFiles, load_clip, mask_area
from .families import FAMILIES, INPUTS, METRICS, Family, Features, Values

ALL, INTENSIVE = "all clips", "motion-intensive"
INTENSIVE_SHARE = 0.1
#: Below so many frames FID is so biased that it says little; its authors advise ten thousand.
FEW_FRAMES = 2048


@dataclass
class Evaluation:
    """What was measured.

    Attributes:
        methods: name -> its clips.
        subsets: name -> scenes.
        table: subset, method, metric -> figure.
        values: method, scene, metric -> figure of a single clip.
        missing: metric -> why it was computed for no method.
        notes: what a reader should know.
    """

    methods: dict[str, list[ClipFiles]]
    subsets: dict[str, list[str]] = field(default_factory=dict)
    table: dict[str, dict[str, dict[str, Estimate]]] = field(default_factory=dict)
    values: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


OnClip = Callable[[int, int, str], None]


@torch.no_grad()
def evaluate(
    methods: Mapping[str, Sequence[ClipFiles]],
    weights: Path | None = None,
    device: str = "cpu",
    on_clip: OnClip | None = None,
) -> Evaluation:
    """Measure all that can be measured; what cannot is named with its reason.

    Every family of metrics goes over all clips before the next one is loaded, so one network is in memory at a time.

    Args:
        methods: name of each -> its clips.
        weights: folder of the networks, see `metrics/weights.py`.
        device: where they run.
        on_clip: called with number, total and what is done, before each clip.

    Returns:
        See `Evaluation`.

    Raises:
        IVGError: there is nothing to measure, or a clip cannot be read.
    """
    result = Evaluation({name: list(clips) for name, clips in methods.items()})
    if not any(result.methods.values()):
        raise IVGError("There are no clips to measure: give a folder of generated clips.")
    measured: dict[str, dict[str, Values]] = {name: {} for name in result.methods}
    for family in FAMILIES:
        lacking = {key: INPUTS[METRICS[key].needs] for key in family.keys if not _clips_with(key, result.methods)}
        result.missing.update(lacking)
        if reason := _measure(family, result.methods, measured, weights, device, on_clip):
            result.missing.update({key: "; ".join(filter(None, [reason, lacking.get(key)])) for key in family.keys})
    result.subsets = _subsets(result.methods)
    for subset, scenes in result.subsets.items():
        reasons = result.missing if subset == ALL else {}
        result.table[subset] = {name: _row(measured[name], scenes, reasons) for name in result.methods}
    found = {key for row in result.table[ALL].values() for key in row}
    result.missing = {key: reason for key, reason in result.missing.items() if key not in found}
    result.values = {
        name: {
            scene: {key: value for key, value in values.items() if isinstance(value, float)}
            for scene, values in clips.items()
        }
        for name, clips in measured.items()
    }
    result.notes = _notes(result, measured)
    return result


def _measure(
    family: Family,
    methods: dict[str, list[ClipFiles]],
    measured: dict[str, dict[str, Values]],
    weights: Path | None,
    device: str,
    on_clip: OnClip | None,
) -> str:
    """Add what one family measures; "" or the reason why it cannot."""
    wanted = list(dict.fromkeys(pair for key in family.keys for pair in _clips_with(key, methods)))
    found: list[tuple[str, str, Values]] = []
    try:
        measure = family.load(weights, device)
    except IVGError as error:
        return str(error)
    for number, (name, files) in enumerate(wanted, 1):
        if on_clip:
            on_clip(number, len(wanted), f"{METRICS[family.keys[0]].title}: {name}, {files.name}")
        clip = load_clip(files)
        try:
            found.append((name, files.name, measure(clip)))
        except IVGError as error:
            return str(error)
    for name, scene, values in found:
        measured[name].setdefault(scene, {}).update(values)
    return ""


def _clips_with(key: str, methods: dict[str, list[ClipFiles]]) -> list[tuple[str, ClipFiles]]:
    """The clips, each with its method, that have what a metric needs."""
    need = METRICS[key].needs

    def has(files: ClipFiles) -> bool:
        if need == "own_mask":
            return bool(files.own_mask and files.mask)
        if need == "mask":
            return bool(files.own_mask or files.mask)
        return not need or getattr(files, need) is not None

    return [(name, files) for name, clips in methods.items() for files in clips if has(files)]


def _row(clips: dict[str, Values], scenes: list[str], reasons: dict[str, str]) -> dict[str, Estimate]:
    row = {}
    for key in METRICS:
        found = [clips[scene][key] for scene in scenes if key in clips.get(scene, {})]
        if not found:
            continue
        features = [value for value in found if isinstance(value, Features)]
        try:
            row[key] = estimate_distance(features) if features else estimate_mean(found)  # type: ignore[arg-type]
        except IVGError as error:
            reasons.setdefault(key, str(error))
    return row


def _subsets(methods: dict[str, list[ClipFiles]]) -> dict[str, list[str]]:
    """All scenes, and the tenth of them (at least one) with the largest true Regions of Motion."""
    scenes = {files.name: files for clips in methods.values() for files in clips}
    areas = {name: area for name, files in scenes.items() if (area := mask_area(files)) is not None}
    subsets = {ALL: sorted(scenes)}
    if len(areas) > 1:
        count = math.ceil(INTENSIVE_SHARE * len(areas))
        subsets[INTENSIVE] = sorted(sorted(areas, key=lambda name: -areas[name])[:count])
    return subsets


def _notes(result: Evaluation, measured: dict[str, dict[str, Values]]) -> list[str]:
    notes = []
    scenes = {name: {files.name for files in clips} for name, clips in result.methods.items()}
    if any(names != next(iter(scenes.values())) for names in scenes.values()):
        notes.append("The methods have not the same scenes, so their figures do not compare.")
    rows = []
    for measures in measured.values():
        features = [values.get("fid") for values in measures.values()]
        rows.append(sum(len(f.generated) for f in features if isinstance(f, Features)))
    if any(0 < count < FEW_FRAMES for count in rows):
        notes.append(f"FID is over {min(rows)} frames: it is biased upwards when there are few.")
    found = {key for row in result.table[ALL].values() for key in row}
    for name, row in result.table[ALL].items():
        count = len(result.methods[name])
        clips = {key: row[key].clips if key in row else 0 for key in METRICS if key in found}
        if few := [f"{METRICS[key].title} ({number})" for key, number in clips.items() if number < count]:
            notes.append(f"{name}: not all {count} clips have a value for {', '.join(few)}.")
    if any(files.mask is None and files.own_mask for clips in result.methods.values() for files in clips):
        notes.append("Some clips have no true Region of Motion: their own mask stands for it in motion precision.")
    return notes
