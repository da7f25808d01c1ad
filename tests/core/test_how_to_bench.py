"""The benchmark of how-to steps: exact steps are right, planted faults are found."""

import pytest
import torch

from benchmarks import how_to
from benchmarks.how_to import Made, bench_how_to, measure_plan, strips
from benchmarks.how_to_measures import beyond, colour_drift, exact, is_right, moved, pictures, unchanged
from ivg_core.checkpoints.load import load_model
from ivg_core.howto.finish import finish_step
from ivg_core.synthetic.plans import drawn_plan

SEED = 8  # something is picked up, then pushed, then cut


@pytest.fixture(scope="module")
def plan():
    return [exact(step, 8) for step in drawn_plan(SEED, 3)]


@pytest.fixture(scope="module")
def made(plan):
    """Each exact clip in its exact region over the picture in which the step before ended."""
    steps, start = [], plan[0].start
    for truth in plan:
        done = finish_step(pictures(truth.clip.frames), start, truth.right, pin_colour=False)
        steps.append(Made(done.frames, done.mask))
        start = done.frames[-1]
    return steps


def test_exact_steps_are_right_and_do_not_drift(plan, made):
    found = measure_plan(plan, made)
    for place in (1, 2, 3):
        assert found[f"right_step_{place}"] == found[f"exact_right_step_{place}"] == 1
        assert found[f"region_right_step_{place}"] == 1
        assert found[f"drift_step_{place}"] < 0.5
    assert found["background_equal"] and found["no_region"] == 0


def test_motion_at_another_thing_is_wrong(plan):
    truth = plan[0]
    other = next(task for task in truth.step.scene.tasks if task.target != truth.step.task.target)
    clip = truth.step.scene.clip(other, 8, back=4)
    assert is_right(moved(pictures(truth.clip.frames)), truth)
    assert not is_right(moved(pictures(clip.frames)), truth)
    assert not is_right(moved(truth.start[None].expand(12, -1, -1, -1)), truth), "nor does it count that nothing moves"


def test_one_pixel_outside_the_regions_is_noticed(plan, made):
    last = made[-1].frames.clone()
    y, x = beyond([step.region for step in made]).nonzero()[0]
    last[5, y, x] += 1 / 255
    assert not measure_plan(plan, [*made[:-1], Made(last, made[-1].region)])["background_equal"]


def test_colours_that_drift_are_measured_in_the_regions_alone(plan, made):
    plain = measure_plan(plan, made)
    inside = ~beyond([step.region for step in made])
    tinted = made[-1].frames.clone()
    tinted[-1, ..., 0] -= 6 / 255 * inside
    found = measure_plan(plan, [*made[:-1], Made(tinted, made[-1].region)])
    assert found["drift_step_3"] - plain["drift_step_3"] == pytest.approx(2, abs=0.3), "6 levels in one of 3 channels"
    assert found["drift_step_2"] == plain["drift_step_2"]
    one = torch.ones(2, 2, dtype=torch.bool)
    assert colour_drift(torch.full((2, 2, 3), 0.5), torch.full((2, 2, 3), 0.4), one) == pytest.approx(25.5, abs=0.01)


def test_what_changed_in_truth_is_no_drift(plan):
    same = unchanged(plan[0].start, plan[0].start)
    assert same.all()
    changed = ~unchanged(plan[0].start, plan[-1].rest)
    assert 0.005 < changed.float().mean() < 0.4
    for step in plan:
        scene, index = step.step.scene, step.step.task.target
        x, y = map(round, scene.props[index].centre)
        moved_on = scene.props[index] != plan[-1].step.scene.props[index]
        assert not moved_on or changed[y - 3 : y + 4, x - 3 : x + 4].any()


def test_a_step_that_was_not_made_is_wrong(plan, made):
    found = measure_plan(plan, [Made(plan[0].start[None], None), *made[1:]])
    assert found["right_step_1"] == found["region_right_step_1"] == 0 and "drift_step_1" not in found
    assert found["no_region"] == pytest.approx(1 / 3)
    assert strips(plan, made).shape == (6 * 128, 5 * 192, 3)


def test_a_plan_is_made_and_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(how_to, "STEPS", 2)
    figures = bench_how_to(load_model("embedded"), 1, ("pinned", "unpinned"), choose=True, out=tmp_path)
    assert {"right_step_2", "drift_pinned_step_2", "drift_unpinned_step_2", "background_equal"} <= figures.keys()
    assert figures["background_equal"] == 1 and figures["scenes"] == 1
    assert figures["drift_pinned"] == figures["drift_pinned_step_2"] != figures["drift_unpinned"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["pinned", "unpinned"]
