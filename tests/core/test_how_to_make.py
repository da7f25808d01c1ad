"""A plan made step by step: whatever ends a run nothing is lost, and one step can be made again alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from ivg_core.batch.journal import DONE, STARTED, read_journal
from ivg_core.errors import IVGError
from ivg_core.howto.make import StepSettings, make_step, make_steps
from ivg_core.howto.package import write_package
from ivg_core.howto.plan import Plan, Step, read_plan
from ivg_core.howto.work import HowTo, begin, make_again, resume
from ivg_core.media.images import load_image, save_png
from ivg_core.media.video import read_video
from ivg_core.sampling.settings import Sampling

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "golden" / "tiny_ckpt"
QUICK = StepSettings(
    num_frames=2,
    how=Sampling(num_inference_steps=1, keep_first_frame=True, composite=True),
    size=(64, 32),
    fallback="white",
)


@pytest.fixture
def photo():
    return torch.rand(32, 64, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def plan(tmp_path):
    mask = torch.zeros(32, 64)
    mask[8:24, 8:24] = 1
    save_png(mask, tmp_path / "mask.png")
    return Plan(tuple(Step(f"do thing {n}", mask=str(tmp_path / "mask.png")) for n in range(1, 5)), "Things", 3)


def made(how_to: HowTo) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in how_to.made.glob("*.mp4")}


def status(how_to: HowTo) -> list[str]:
    return [state.status for state in how_to.states()]


def events(how_to: HowTo) -> list[dict]:
    return [json.loads(line) for line in (how_to.made / "results.jsonl").read_text().splitlines()]


def test_each_step_begins_with_the_last_frame_before(tiny_model, plan, photo, tmp_path):
    how_to = begin(plan, photo, tmp_path / "out")
    assert status(how_to) == ["waiting"] * 4
    assert make_steps(tiny_model, how_to, QUICK) == 4
    states = how_to.states()
    assert [state.status for state in states] == ["done"] * 4
    assert [state.seed for state in states] == [3, 4, 5, 6]
    for before, after in pairwise(states):
        assert after.item.image == before.take.last
    first, last = load_image(how_to.folder / "photo.png"), load_image(states[-1].take.last)
    assert torch.equal(last[:, 40:], first[:, 40:])  # beyond the region and its seam
    assert not torch.equal(last[8:24, 8:24], first[8:24, 8:24])
    frames, fps = read_video(states[0].take.clip)
    assert frames.shape == (2, 32, 64, 3) and fps == tiny_model.defaults.fps


def test_what_is_made_is_not_made_again(tiny_model, plan, photo, tmp_path):
    make_steps(tiny_model, begin(plan, photo, tmp_path / "out"), QUICK)
    how_to = resume(tmp_path / "out")
    assert how_to.plan == plan
    assert make_steps(tiny_model, how_to, QUICK) == 0


def test_one_step_is_made_again_and_those_after_it(tiny_model, plan, photo, tmp_path):
    how_to = begin(plan, photo, tmp_path / "out")
    make_steps(tiny_model, how_to, QUICK)
    before, old = made(how_to), [state.take.clip.name for state in how_to.states()]
    again = make_again(how_to, [2])
    assert status(again) == ["done", "waiting", "stale", "stale"]
    assert make_steps(tiny_model, again, QUICK) == 3
    new = [state.take.clip.name for state in again.states()]
    assert new[0] == old[0] and not set(new[1:]) & set(old)
    assert before.items() <= made(again).items()  # nothing is lost
    assert status(resume(tmp_path / "out")) == ["done"] * 4  # the choice holds
    assert [state.take.clip.name for state in how_to.states()] == old  # and what was before is still there


def test_or_those_after_it_are_kept(tiny_model, plan, photo, tmp_path):
    how_to = begin(plan, photo, tmp_path / "out")
    make_steps(tiny_model, how_to, QUICK)
    old = [state.take for state in how_to.states()]
    kept = make_again(replace(how_to, later="keep"), [2])
    assert status(kept) == ["done", "waiting", "kept", "done"]  # 4 goes on from 3 as before
    assert make_steps(tiny_model, kept, QUICK) == 1
    takes = [state.take for state in kept.states()]
    assert [takes[i] == old[i] for i in range(4)] == [True, False, True, True]
    assert [step.clip for step in kept.finished()] == [take.clip for take in takes]


def test_other_words_make_a_step_and_those_after_it_anew(tiny_model, plan, photo, tmp_path):
    how_to = begin(plan, photo, tmp_path / "out")
    make_steps(tiny_model, how_to, QUICK)
    steps = list(plan.steps)
    steps[2] = replace(steps[2], action="do something else")
    assert status(begin(replace(plan, steps=tuple(steps)), photo, tmp_path / "out")) == [
        "done",
        "done",
        "waiting",
        "stale",
    ]
    assert status(begin(plan, photo * 0.5, tmp_path / "out")) == ["stale"] * 4


def test_a_title_changes_no_step(tiny_model, plan, photo, tmp_path):
    make_steps(tiny_model, begin(plan, photo, tmp_path / "out"), QUICK)
    steps = tuple(replace(step, title="Now this") for step in plan.steps)
    assert status(begin(Plan(steps, "Other", 3), photo, tmp_path / "out")) == ["done"] * 4


def test_a_step_with_a_photo_of_its_own(tiny_model, plan, photo, tmp_path):
    save_png(torch.rand(100, 100, 3, generator=torch.Generator().manual_seed(1)), tmp_path / "own.png")
    steps = list(plan.steps)
    steps[2] = replace(steps[2], image=str(tmp_path / "own.png"))
    how_to = begin(replace(plan, steps=tuple(steps)), photo, tmp_path / "out")
    assert make_steps(tiny_model, how_to, QUICK) == 4
    state = how_to.states()[2]
    assert how_to.start_of(state.item).shape == (32, 64, 3)  # as the steps before it
    frames, _ = read_video(state.take.clip)
    assert (frames[0] - how_to.start_of(state.item)).abs().mean() < 0.12  # the file is lossy
    assert status(make_again(how_to, [2])) == ["done", "waiting", "done", "done"]  # it does not hang on step 2


def test_seconds_are_frames(tiny_model, photo, tmp_path):
    step = Step("stir", 3 / tiny_model.defaults.fps, mask="white")
    made, facts = make_step(tiny_model, photo, step, 0, QUICK)
    assert len(made.frames) == 3 and facts["drift"] > 0


def test_a_mask_drawn_on_the_photo_is_cropped_as_the_photo_is(tiny_model, tmp_path, monkeypatch):
    from ivg_core.howto import make as module

    told, generate = [], module.generate
    monkeypatch.setattr(
        module, "generate", lambda *words, **more: told.append(more["mask"]) or generate(*words, **more)
    )
    mask = torch.zeros(64, 64)
    mask[16:32] = 1  # the upper half of what a video of 64 x 32 shows of a photo of 64 x 64
    save_png(mask, tmp_path / "drawn.png")
    made, _ = make_step(tiny_model, torch.rand(64, 64, 3), Step("stir", mask=str(tmp_path / "drawn.png")), 0, QUICK)
    for region in (*told, made.mask):
        assert region.shape == (32, 64) and region[:16].all() and not region[16:].any()


def test_masks_are_predicted_from_the_picture_that_a_step_begins_with(photo):
    from ivg_core.checkpoints.load import load_model

    settings = replace(QUICK, fallback=None, threshold=0.1)
    made, _ = make_step(load_model(TINY, rom=TINY), photo, Step("hold the cup"), 0, settings)
    assert made.mask.any()
    with pytest.raises(IVGError, match='mask is empty for "hold the cup"'):
        make_step(load_model(TINY, rom=TINY), photo, Step("hold the cup"), 0, replace(settings, threshold=1.0))


def test_the_soundest_hands_of_several_tries_are_kept(tiny_model, photo, monkeypatch):
    from ivg_core.howto import make as module

    seen = []

    class Score:
        def __init__(self, total):
            self.total = total

    def scored(frames, tracker):
        seen.append(frames)
        return Score((0.2, 0.9, 0.5)[len(seen) - 1])

    monkeypatch.setattr(module, "score_hands", scored)
    made, facts = make_step(tiny_model, photo, Step("stir", mask="white"), 7, replace(QUICK, best_of=3))
    assert torch.equal(made.frames, seen[1])
    assert facts["best_seed"] == 7 + module.TRIES_APART and facts["hand_score"] == 0.9


def test_a_failing_step_is_named_and_noted_and_the_run_goes_on_later(tiny_model, plan, photo, tmp_path):
    mask = Path(plan.steps[0].mask)
    steps = list(plan.steps)
    shutil.copy(mask, tmp_path / "third.png")
    steps[2] = replace(steps[2], mask=str(tmp_path / "third.png"))
    save_png(torch.zeros(32, 64), tmp_path / "third.png")
    how_to = begin(replace(plan, steps=tuple(steps)), photo, tmp_path / "out")
    with pytest.raises(IVGError, match=r"Step 3: The mask is empty"):
        make_steps(tiny_model, how_to, QUICK)
    assert status(how_to) == ["done", "done", "failed", "waiting"]
    assert "mask is empty" in how_to.states()[2].reason
    assert "mask is empty" in (how_to.made / "index.html").read_text()
    with pytest.raises(IVGError, match="Step 3 is not made yet"):
        how_to.finished()
    shutil.copy(mask, tmp_path / "third.png")
    assert make_steps(tiny_model, how_to, QUICK) == 2


def test_other_settings_are_refused(tiny_model, plan, photo, tmp_path):
    how_to = begin(plan, photo, tmp_path / "out")
    make_steps(tiny_model, how_to, QUICK)
    with pytest.raises(IVGError, match="motion_strength"):
        make_steps(tiny_model, how_to, replace(QUICK, motion_strength=9.0))
    with pytest.raises(IVGError, match="pin_colour"):
        make_steps(tiny_model, how_to, replace(QUICK, pin_colour=False))


def test_steps_that_there_are_not(plan, photo, tmp_path):
    how_to = begin(plan, photo, tmp_path / "out")
    with pytest.raises(IVGError, match="no step 5 to make again: the plan has 4"):
        make_again(how_to, [5])
    with pytest.raises(IVGError, match="No how-to was begun"):
        resume(tmp_path / "nothing")
    (tmp_path / "out" / "takes.json").write_text('{"1":')
    with pytest.raises(IVGError, match=r"takes\.json cannot be read"):
        resume(tmp_path / "out")


def test_what_a_killed_run_left_is_found_and_tidied(tiny_model, plan, photo, tmp_path):
    how_to = begin(plan, photo, tmp_path / "out")
    make_steps(tiny_model, how_to, QUICK)
    state, journal = how_to.states()[3], how_to.made / "results.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))  # died before it could note it
    left = how_to.made / f".{state.item.name}_last.1a2b3c4d.png"
    left.write_bytes(b"half")
    before = made(how_to)
    assert make_steps(tiny_model, how_to, QUICK) == 0
    assert made(how_to) == before and not left.exists()
    assert read_journal(how_to.made)[state.item.name].last["recovered"]
    how_to.states()[1].take.last.unlink()  # without which the next step cannot begin
    assert status(how_to) == ["done", "waiting", "stale", "stale"]
    assert make_steps(tiny_model, how_to, QUICK) == 1
    assert made(how_to) == before  # the same step gives the same frames, so those after it hold


def test_kill_9_at_any_moment(photo, tmp_path):
    """The command is killed again and again: nothing is lost, and no step is made twice."""
    save_png(photo, tmp_path / "photo.png")
    (tmp_path / "steps.txt").write_text("\n".join(f"{n}. Do thing {n}" for n in range(1, 7)))
    words = ["how-to", "--photo", "photo.png", "--steps", "steps.txt", "--model", str(TINY), "--out", "out"]
    words += ["--fallback", "white", "--frames", "2", "--denoising-steps", "1", "--size", "64x32"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def started():
        command = [sys.executable, "-m", "ivg_core", *words]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    folder, kept = tmp_path / "out" / "made", {}
    for least in (1, 3):
        process = started()
        while process.poll() is None and len(list(folder.glob("[!.]*.mp4"))) < least:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert kept.items() <= {path.name: path.read_bytes() for path in folder.glob("[!.]*.mp4")}.items()
        kept = {path.name: path.read_bytes() for path in folder.glob("[!.]*.mp4")}
    process = started()
    said = process.communicate()
    assert process.returncode == 0, said
    how_to = resume(tmp_path / "out")
    assert kept.items() <= made(how_to).items() and len(made(how_to)) == 6
    noted = [event["name"] for event in events(how_to) if event["status"] == DONE]
    assert len(noted) == len(set(noted)) == 6
    assert sum(event["status"] == STARTED for event in events(how_to)) <= 6 + 2
    assert (tmp_path / "out" / "film.mp4").is_file()


def test_a_batches_page_and_journal_know_the_steps(tiny_model, plan, photo, tmp_path):
    how_to = begin(plan, photo, tmp_path / "out")
    make_steps(tiny_model, how_to, QUICK)
    page = (how_to.made / "index.html").read_text()
    assert "do thing 4" in page and "4 made" in page
    assert all("drift" in event for event in events(how_to) if event["status"] == DONE)


def test_names_hold_any_words(tiny_model, photo, tmp_path):
    plan = read_plan("1. 切胡萝卜 [mask white]\n2. Cut [the] *carrot* / quickly?! [mask white]\n3. " + "long " * 60)
    how_to = begin(plan, photo, tmp_path / "out")
    make_steps(tiny_model, how_to, QUICK)
    names = sorted(made(how_to))
    assert names[0].startswith("01_切胡萝卜_s0_") and names[1].startswith("02_Cut-the-carrot-quickly_s1_")
    assert status(make_again(how_to, [1]))[1:] == ["stale", "stale"]  # found by their names
    package = write_package(how_to.finished(), how_to.folder)
    assert package.film.is_file() and (how_to.folder / "plan.json").is_file()
