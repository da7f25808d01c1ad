"""Steps of drawn plans, one after the other: does each happen at the right thing, what stays, and how colours drift."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from benchmarks.how_to_kills import bench_kills
from benchmarks.how_to_measures import ExactStep, beyond, colour_drift, exact, is_right, moved, pictures, unchanged
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.errors import IVGError
from ivg_core.howto.make import StepSettings, make_step
from ivg_core.howto.plan import Step
from ivg_core.media.images import save_png
from ivg_core.models.bundle import IVGModel
from ivg_core.models.lora import model_with_lora
from ivg_core.synthetic.dataset import HELD_OUT_SEED
from ivg_core.synthetic.plans import BACK, DrawnStep, drawn_plan

#: Plans for choosing begin at the first held-out seed; those that are told begin so many later.
TOLD = 20_000
STEPS = 5
PARTS = ("pinned", "unpinned", "kills")


def bench_how_to(
    model: IVGModel,
    scenes: int = 40,
    parts: Sequence[str] = PARTS,
    choose: bool = False,
    out: Path | None = None,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Measure the steps of drawn plans, each of which begins with the last frame of the one before.

    Args:
        model: the embedded one; for the steps of plans it is given its LoRA by which the hand goes back.
        scenes: of how many plans.
        parts: of `PARTS`: with colours pinned to the start picture, or not; what kills cost.
        choose: on the plans for choosing settings.
        out: folder for a picture of each plan, the exact frames above those that were made.
        log: receives progress.

    Returns:
        Flat figures, see `bench_steps` and `bench_kills`.
    """
    assert model.unet is not None
    back = model_with_lora(model, read_lora("embedded-back", model.unet))
    figures: dict[str, float] = {}
    if drifts := [part for part in parts if part != "kills"]:
        plans = list(islice(telling_plans(0 if choose else TOLD), scenes))
        figures["scenes"] = float(scenes)
        for part in drifts:
            found = bench_steps(back, plans, part == "pinned", out and out / part, log)
            kept = found if part == "pinned" else {name: value for name, value in found.items() if "drift" in name}
            figures |= {name.replace("drift", f"drift_{part}"): value for name, value in kept.items()}
    if "kills" in parts:
        figures |= bench_kills(model, log=log)
    return figures


def telling_plans(skipped: int) -> Iterator[list[DrawnStep]]:
    """Held-out plans, after some seeds, of scenes in which there always is another thing that could be acted on."""
    for seed in count(HELD_OUT_SEED + skipped):
        plan = drawn_plan(seed, STEPS)
        if all(len({task.target for task in step.scene.tasks}) > 1 for step in plan):
            yield plan


@dataclass(frozen=True)
class Made:
    """A step as it was made: frames (F, H, W, 3) and region (H, W); None where stage 1 saw nothing move."""

    frames: Tensor
    region: Tensor | None


def make_plan(model: IVGModel, plan: list[ExactStep], seed: int, pin_colour: bool) -> list[Made]:
    """Make the steps of a plan, the region of each predicted by stage 1 from the picture that it begins with.

    A step in which stage 1 sees nothing move is not made, and the next one begins with the same picture.
    """
    settings = StepSettings(num_frames=model.defaults.num_frames + BACK, pin_colour=pin_colour)
    start, made = plan[0].start, list[Made]()
    for place, truth in enumerate(plan):
        try:
            step, _ = make_step(model, start, Step(truth.step.task.text), seed + place, settings)
            made.append(Made(step.frames, step.mask))
        except IVGError:
            made.append(Made(start[None], None))
        start = made[-1].frames[-1]
    return made


def bench_steps(
    model: IVGModel,
    plans: list[list[DrawnStep]],
    pin_colour: bool,
    out: Path | None = None,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Make every step of some plans.

    Returns:
        `right_step_1` …: share of the plans whose step moves at the right thing (`moved`, `is_right`); one that was not
        made counts as wrong. `exact_right_step_1` …: the same of the exact clips. `region_right_step_1` …: of the
        predicted regions. `no_region`: share of the steps in which stage 1 saw nothing move. `background_equal`: in how
        many plans every pixel outside all regions and seams is that of the first picture to the bit, in every frame.
        `drift_step_1` …: how far the colours of the last frame are off, in the regions used so far, where in truth
        nothing changed since the first picture (`colour_drift`, `unchanged`); `drift`: after the last step. The hand at
        rest is part of it.
    """
    rows: dict[str, list[float]] = {}
    for number, steps in enumerate(plans):
        plan = [exact(step, model.defaults.num_frames) for step in steps]
        made = make_plan(model, plan, number * STEPS, pin_colour)
        found = measure_plan(plan, made)
        for name, value in found.items():
            rows.setdefault(name, []).append(value)
        if out:
            save_png(strips(plan, made), out / f"{number:03d}.png")
        said = ", ".join(f"{name} {value:.3g}" for name, value in found.items() if not name.startswith("exact"))
        log(f"{number + 1}/{len(plans)}, scene {plan[0].step.scene.seed}: {said}")
    figures = {name: fmean(row) for name, row in sorted(rows.items())}
    return figures | {"background_equal": sum(rows["background_equal"]), "drift": figures[f"drift_step_{STEPS}"]}


def measure_plan(plan: list[ExactStep], made: list[Made]) -> dict[str, float]:
    """The figures of one plan, see `bench_steps`; drift only from the first step on that was made."""
    figures: dict[str, float] = {"no_region": fmean(step.region is None for step in made)}
    first, regions = plan[0].start, list[Tensor]()
    for place, (truth, step) in enumerate(zip(plan, made, strict=True), 1):
        figures[f"exact_right_step_{place}"] = is_right(moved(pictures(truth.clip.frames)), truth)
        figures[f"region_right_step_{place}"] = step.region is not None and is_right(step.region, truth)
        figures[f"right_step_{place}"] = is_right(moved(step.frames), truth)
        regions += [] if step.region is None else [step.region]
        if regions:
            where = ~beyond(regions) & unchanged(first, truth.rest)
            figures[f"drift_step_{place}"] = colour_drift(step.frames[-1], truth.rest, where)
    still = beyond(regions) if regions else torch.ones(first.shape[:2], dtype=torch.bool)
    figures["background_equal"] = all((step.frames[:, still] == first[still]).all() for step in made)
    return figures


def strips(plan: list[ExactStep], made: list[Made]) -> Tensor:
    """Some frames of each step, the exact ones above those that were made: one picture (H, W, 3)."""
    rows = []
    for truth, step in zip(plan, made, strict=True):
        for frames in (pictures(truth.clip.frames), step.frames):
            shown = [round(share * (len(frames) - 1)) for share in (0, 0.3, 0.6, 0.8, 1)]
            rows.append(torch.cat([frames[frame] for frame in shown], 1))
    return torch.cat(rows, 0)
