"""Measure the clips of several methods: one table for all clips, and one for those with much motion."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..cluster.shard import WHOLE, Shard
from ..errors import IVGError
from ..media.files import sha256_of
from .bootstrap import Estimate, estimate_distance, estimate_mean
from .clips import ClipFiles, mask_area
from .families import METRICS, Features, Values
from .kept import Kept
from .tasks import Measurer, OnClip, Refused, Task, Work, in_turn, lacking, network_files, plan

if TYPE_CHECKING:
    from ..cluster.spread import Spread

ALL, INTENSIVE = "all clips", "motion-intensive"
INTENSIVE_SHARE = 0.1
#: Folder beside a report for what was measured of each clip.
MEASURED = "measured"
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
        left: title of a family of metrics -> clips that other processes have still to measure. Where there are any,
            nothing else is told yet.
        networks: file -> its SHA-256, of all networks that figures were measured through.
    """

    methods: dict[str, list[ClipFiles]]
    subsets: dict[str, list[str]] = field(default_factory=dict)
    table: dict[str, dict[str, dict[str, Estimate]]] = field(default_factory=dict)
    values: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)


def evaluate_methods(
    methods: Mapping[str, Sequence[ClipFiles]],
    weights: Path | None = None,
    device: str = "cpu",
    on_clip: OnClip | None = None,
    *,
    folder: Path | None = None,
    shard: Shard = WHOLE,
    spread: Spread[Task, Values | Refused] | None = None,
) -> Evaluation:
    """Measure all that can be measured; what cannot is named with its reason.

    Every family of metrics goes over all clips before the next one is loaded, so one network is in memory at a time.

    Args:
        methods: name of each -> its clips.
        weights: folder of the networks, see `metrics/weights.py`.
        device: where they run.
        on_clip: called with number, total and what is done, before each clip that is measured here.
        folder: keeps what is measured, for later runs and other processes; a clip is measured anew once it, its true
            clip, mask or sentence, a network or a metric has changed. None keeps nothing.
        shard: which of the scenes this process measures, where several share the folder.
        spread: measures elsewhere, by `Measurer`; None: here, one clip after the other.

    Returns:
        See `Evaluation`.

    Raises:
        IVGError: there is nothing to measure, a clip cannot be read, the folder cannot be written to, or another
            process of the same number is at work in it.
    """
    result = Evaluation({name: list(clips) for name, clips in methods.items()})
    if not any(result.methods.values()):
        raise IVGError("There are no clips to measure: give a folder of generated clips.")
    works = plan(result.methods, weights, device)
    with Kept(folder, shard.number) as kept:

        def done(task: Task, outcome: Values | Refused) -> None:
            if isinstance(outcome, Refused) and outcome.of_machine:
                works[task.family].reason = outcome.why
            else:
                kept.keep(task, outcome)

        tasks = _left(works, kept, shard)
        if spread:
            spread(tasks, done)
        else:
            in_turn(Measurer(weights, device), on_clip, tasks, done)
        kept.read()
        measured = _gather(result, works, kept)
    if result.left:
        return result
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
    for work in works:
        if found & {*work.family.keys}:
            published = {os.path.relpath(file, weights): file for file in network_files(work.family, weights)}
            ours = {file.name: file for file in work.family.shipped}
            result.networks |= {name: sha256_of(file) for name, file in (published | ours).items()}
    return result


def _left(works: list[Work], kept: Kept, shard: Shard) -> list[Task]:
    """What this process has to measure. All methods' clips of a scene are one process's, as they share the true one."""
    mine = set(shard.of(sorted({task.files.name for work in works for task in work.tasks})))
    left: dict[str, Task] = {}
    for work in works:
        for task in work.tasks if not work.reason else ():
            state = kept.state(task.key)
            if state == "refused":
                break  # the family has no figures
            if not state and task.files.name in mine:
                left.setdefault(task.key, task)
    return list(left.values())


def _gather(result: Evaluation, works: list[Work], kept: Kept) -> dict[str, dict[str, Values]]:
    """Method, scene -> all that was measured. Notes what is missing, and what is left."""
    measured: dict[str, dict[str, Values]] = {name: {} for name in result.methods}
    for work in works:
        reason, left, found = work.reason, 0, []
        for task in work.tasks if not reason else ():
            outcome = kept.outcome(task.key)
            if isinstance(outcome, Refused):
                reason = outcome.why
                break
            left += outcome is None
            found.append((task, outcome or {}))
        if left:
            result.left[work.family.title] = left
        elif not reason:
            for task, values in found:
                measured[task.method].setdefault(task.files.name, {}).update(values)
        for key in work.family.keys:
            if why := [*filter(None, [reason]), *lacking(key, result.methods)]:
                result.missing[key] = "; ".join(why)
    return measured


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
