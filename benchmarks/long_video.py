"""Long videos of drawn scenes that were never trained on: seams, motion, drift, and two actions in one video.

Scenes are of the embedded model's own kind, with exact Regions of Motion. Nothing is composited where seams and drift
are measured, so that faults show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from statistics import fmean

import torch
from torch import Tensor

from benchmarks.long_video_cost import bench_cost
from benchmarks.long_video_measures import borders, changes, drift, follows, looks, seam, worst_seam
from benchmarks.rom import HeldOut, held_out_scenes
from ivg_core.errors import IVGError
from ivg_core.evaluate.metrics.motion import motion_outside_ratio
from ivg_core.hands.tracker import HandTracker
from ivg_core.models.bundle import IVGModel
from ivg_core.rom.refine import refine_mask
from ivg_core.sampling.chain import generate_chain, predict_regions
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.generate import Generated, generate
from ivg_core.sampling.prompts import PromptSchedule, Stretch
from ivg_core.sampling.settings import RAW, Sampling

#: Scenes for choosing begin at the first held-out seed; those that are told begin so many later.
TOLD = 7000
GROW = 4  # pixels, as the command line does with predicted masks
PARTS = ("actions", "seams", "drift", "embedded", "published")
KINDS = {
    "isolated": ContextWindows(schedule="isolated"),
    "default": ContextWindows(),
    "freenoise": ContextWindows(noise="freenoise"),
    "uniform": ContextWindows(schedule="uniform"),
}


def bench_long_video(
    model: IVGModel,
    scenes: int = 12,
    parts: Sequence[str] = PARTS,
    choose: bool = False,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Measure long videos in windows of time.

    Args:
        model: the embedded one, which has weights for both stages.
        scenes: of which seams and two actions are measured; drift, which takes long videos, of a third of them.
        parts: of `PARTS`, what is measured; the last two are the cost of networks.
        choose: on the scenes for choosing settings.
        log: receives progress.

    Returns:
        Flat figures, see `bench_actions`, `bench_seams`, `bench_drift` and `bench_cost`.
    """
    size = model.defaults
    first = 0 if choose else TOLD
    items = held_out_scenes(scenes, size.width, size.height, size.num_frames, first)
    figures: dict[str, float] = {"scenes": float(scenes)} if {"actions", "seams"} & set(parts) else {}
    if "actions" in parts:
        figures |= bench_actions(model, list(islice(telling_scenes(model, first), scenes)), log)
    if "seams" in parts:
        figures |= bench_seams(model, items, log)
    if "drift" in parts:
        figures |= bench_drift(model, items[: max(1, scenes // 3)], 20 * size.num_frames, log)
    for name in ("embedded", "published"):
        if name in parts:
            figures |= bench_cost(name, log=log)
    return figures


def bench_seams(model: IVGModel, items: list[HeldOut], log: Callable[[str], None] = print) -> dict[str, float]:
    """Jumps between the windows of videos of four windows' length, in the exact Region of Motion.

    Returns:
        `seam_*` of each kind, the mean over scenes of what changes at a border over what changes elsewhere; a border is
        where another window begins to weigh most (of uniform windows, where it is in the first step).
        `motion_kept_*`: what changes elsewhere, over what does in a video of one window. `worst_seam`: of the default,
        wherever in a window it is largest. `outside_moved`: of the default, what moves outside the region over inside.
    """
    own = model.defaults.num_frames
    rows: dict[str, list[float]] = {}
    changed_default: list[Tensor] = []

    def keep(name: str, value: float) -> None:
        rows.setdefault(name, []).append(value)

    for number, item in enumerate(items):
        made = {"mask": item.truths[0], "seed": number}
        still = changes(generate(model, item.photo, item.tasks[0].text, how=RAW, **made).frames, item.truths[0]).mean()
        for kind, context in KINDS.items():
            how = replace(RAW, context=context)
            video = generate(model, item.photo, item.tasks[0].text, num_frames=4 * own, how=how, **made).frames
            changed = changes(video, item.truths[0])
            jump, inside = seam(changed, borders(context.spans(4 * own, own), context.weights))
            keep(f"seam_{kind}", jump)
            keep(f"motion_kept_{kind}", inside / float(still))
            if kind == "default":
                changed_default.append(changed / changed.mean())
                keep("outside_moved", motion_outside_ratio(video, item.truths[0]))
        log(f"seams {number + 1}/{len(items)}: " + ", ".join(f"{name} {row[-1]:.2f}" for name, row in rows.items()))
    figures = {name: fmean(row) for name, row in rows.items()}
    figures["motion_kept"] = figures.pop("motion_kept_default")
    length, stride = KINDS["default"].lengths(own)
    return figures | {"worst_seam": worst_seam(torch.stack(changed_default).mean(0), stride, length)}


def bench_drift(
    model: IVGModel, items: list[HeldOut], frames: int, log: Callable[[str], None] = print
) -> dict[str, float]:
    """How much the last tenth of a long video differs from its first tenth, in windows and as a chain of last frames.

    Returns:
        `drift_windows_*` and `drift_chain_*` of each of the `looks`, means over scenes; `drift_windows`, `drift_chain`,
        the means of these; `drift_ratio` of the two; and of how many scenes.
    """
    tracker, part = HandTracker(), frames // 10
    rows: dict[str, list[float]] = {}
    for number, item in enumerate(items):
        sentence, made = item.tasks[0].text, {"mask": item.truths[0], "seed": number, "num_frames": frames}
        how = replace(RAW, context=ContextWindows())
        videos = {
            "windows": generate(model, item.photo, sentence, how=how, **made).frames,
            "chain": generate_chain(model, item.photo, sentence, how=RAW, **made),
        }
        for name, video in videos.items():
            found = drift(looks(video[:part], tracker), looks(video[-part:], tracker))
            for look, value in found.items():
                rows.setdefault(f"drift_{name}_{look}", []).append(value)
            said = ", ".join(f"{look} {value:.2f}" for look, value in found.items())
            log(f"drift {number + 1}/{len(items)}, {name}: {said}")
    figures = {name: fmean(row) for name, row in rows.items()}
    for name in ("windows", "chain"):
        figures[f"drift_{name}"] = fmean(v for key, v in figures.items() if key.startswith(f"drift_{name}_"))
    ratio = figures["drift_windows"] / figures["drift_chain"]
    return figures | {"drift_ratio": ratio, "scenes_drift": float(len(items))}


def telling_scenes(model: IVGModel, first: int) -> Iterator[HeldOut]:
    """Scenes from a held-out seed on whose exact clips of both sentences follow them.

    In others an arm that points at one thing moves nearer to the other, and a video as it should be would not count.
    """
    size, seen = model.defaults, -1
    for skipped in count(first):
        (item,) = held_out_scenes(1, size.width, size.height, size.num_frames, skipped)
        if item.scene.seed == seen:
            continue  # the seeds between have no two things
        seen = item.scene.seed
        clips = [item.scene.clip(task, size.num_frames).frames for task in item.tasks]
        if both_follow(torch.cat([torch.from_numpy(clip).float() / 255 for clip in clips]), item):
            yield item


def bench_actions(model: IVGModel, items: list[HeldOut], log: Callable[[str], None] = print) -> dict[str, float]:
    """Whether each of two sentences in one video is done to its own thing.

    Returns:
        `follows_two_actions`, the share of scenes in which both stretches move nearer to their own thing, with a mask
        that stage 1 predicts for each; `follows_two_actions_one_mask`, with the exact ones of both as the mask of
        either, so that only the sentence can tell; `outside_two_actions`, the largest difference from the photo outside
        both masks and the seam of the composite, 0..1.
    """
    rows: dict[str, list[float]] = {}
    outside = 0.0
    for number, item in enumerate(items):
        schedule = two_actions(item, 2 * model.defaults.num_frames)
        both = torch.maximum(*item.truths)
        runs = {"": _predicted(model, item, schedule, number), "_one_mask": schedule.with_masks([both, both])}
        for name, told in runs.items():
            counts = 0.0
            if told is not None:
                made = generate_both(model, item, told, number)
                counts = float(both_follow(made.frames, item))
                beyond = refine_mask(made.mask, grow=GROW) == 0
                outside = max(outside, float((made.frames - item.photo)[:, beyond].abs().max()))
            rows.setdefault(f"follows_two_actions{name}", []).append(counts)
        said = ", ".join(f"{name} {row[-1]:.0f}" for name, row in rows.items())
        log(f"actions {number + 1}/{len(items)}, scene {item.scene.seed}: {said}")
    return {name: fmean(row) for name, row in rows.items()} | {"outside_two_actions": outside}


def two_actions(item: HeldOut, frame: int) -> PromptSchedule:
    """The scene's two sentences, the second from a frame on."""
    one, two = item.tasks
    return PromptSchedule((Stretch(0, one.text), Stretch(frame, two.text)))


def generate_both(model: IVGModel, item: HeldOut, schedule: PromptSchedule, seed: int) -> Generated:
    """The video of both sentences, for each as long as for the other."""
    how, frames = Sampling(keep_first_frame=False, composite=True, feather=GROW), 2 * schedule.stretches[1].frame
    return generate(model, item.photo, schedule, num_frames=frames, seed=seed, how=how)


def both_follow(frames: Tensor, item: HeldOut) -> bool:
    """See `follows`; the sentences' things are where the photo shows them."""
    return follows(frames.chunk(2), [item.scene.props[task.target].centre for task in item.tasks])


def _predicted(model: IVGModel, item: HeldOut, schedule: PromptSchedule, seed: int) -> PromptSchedule | None:
    """With the masks of stage 1, grown; None where it sees nothing move."""
    try:
        found = predict_regions(model, item.photo, schedule, seed=seed)
    except IVGError:
        return None
    return found.with_masks([refine_mask(mask, grow=GROW) for mask in found.masks if isinstance(mask, Tensor)])
