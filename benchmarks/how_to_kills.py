"""Kill the making of a how-to at random moments with SIGKILL, and look at what was lost and what was made twice.

Runs on any system with fork.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from ivg_core.batch.journal import DONE, STARTED, read_journal
from ivg_core.howto.make import StepSettings, make_steps
from ivg_core.howto.plan import Plan, Step
from ivg_core.howto.work import HowTo, begin
from ivg_core.media.video import read_video
from ivg_core.models.bundle import IVGModel
from ivg_core.sampling.settings import RAW
from ivg_core.settings import read_json
from ivg_core.synthetic.clips import Scene

QUICK = StepSettings(how=replace(RAW, num_inference_steps=2), num_frames=4, size=(96, 64), fallback="white")


def bench_kills(
    model: IVGModel, kills: int = 20, steps: int = 10, seed: int = 0, log: Callable[[str], None] = print
) -> dict[str, float]:
    """Kill runs of one plan, each at a random moment, until it was killed so often; then let it end.

    A plan that ends before is followed by another one.

    Args:
        model: that makes the steps, small and quick.
        kills: how many.
        steps: of a plan.
        seed: of the moments.
        log: receives progress.

    Returns:
        `kills`; `lost`: results that were there before a kill and not, or not the same, after it, and files that are
        no whole video under the name of one; `repeated`: steps that were made again though their result was there;
        `killed_while_writing`: kills that left half a file; `plans`, how many were made.
    """
    moments, work = random.Random(seed), Path(tempfile.mkdtemp())
    done = lost = repeated = writing = plans = 0
    step_time = 1.0
    while done < kills:
        how_to = _plan(work / str(plans), steps, plans)
        plans += 1
        before: dict[str, bytes] = {}
        while True:
            child = multiprocessing.get_context("fork").Process(target=_run, args=(model, how_to))
            began, had = time.monotonic(), len(before)
            child.start()
            if done < kills:
                child.join(moments.random() * 1.6 * step_time)
            else:
                child.join()
            killed = child.is_alive()
            if killed:
                os.kill(child.pid or 0, signal.SIGKILL)
                child.join()
                done += 1
            after = _results(how_to)
            lost += sum(after.get(name) != content for name, content in before.items()) + _broken(how_to)
            writing += bool(list(how_to.made.rglob(".*.mp4")) + list(how_to.made.rglob(".*.png")))
            if len(after) > had:
                step_time = 0.5 * step_time + 0.5 * (time.monotonic() - began) / (len(after) - had)
            before = after
            log(f"{done} of {kills} kills, {len(after)} of {steps} steps, {lost} lost")
            if not killed:
                break
        lost += steps - len(before)
        repeated += _repeated(how_to)
    figures = {"kills": done, "lost": lost, "repeated": repeated, "killed_while_writing": writing, "plans": plans}
    return {name: float(value) for name, value in figures.items()}


def _plan(folder: Path, steps: int, number: int) -> HowTo:
    scene = Scene(number, 96, 64)
    sentences = [scene.tasks[n % len(scene.tasks)].text for n in range(steps)]
    photo = torch.from_numpy(scene.photo()).float() / 255
    return begin(Plan(tuple(Step(said) for said in sentences)), photo, folder)


def _run(model: IVGModel, how_to: HowTo) -> None:
    torch.set_num_threads(1)  # a child that was forked has no threads of its parent
    make_steps(model, how_to, QUICK)


def _results(how_to: HowTo) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in how_to.made.glob("[!.]*.mp4")}


def _broken(how_to: HowTo) -> int:
    return sum(len(read_video(path)[0]) != QUICK.num_frames for path in how_to.made.glob("[!.]*.mp4"))


def _repeated(how_to: HowTo) -> int:
    """Steps that were begun again after they had been noted as done, or noted twice."""
    finished: set[str] = set()
    again = 0
    for line in (how_to.made / "results.jsonl").read_bytes().splitlines():
        event = read_json(line)
        again += event["name"] in finished and event["status"] in (STARTED, DONE)
        finished |= {event["name"]} if event["status"] == DONE else set()
    assert finished == read_journal(how_to.made).keys()
    return again
