"""The benchmark of long videos: a planted seam scores as planted, drift as drifted, and motion belongs to its thing."""

import math
import pathlib
from dataclasses import replace
from itertools import islice

import pytest
import torch

from benchmarks.long_video import PARTS, bench_long_video, both_follow, telling_scenes, two_actions
from benchmarks.long_video_cost import bench_cost, in_a_process, in_turns
from benchmarks.long_video_measures import borders, changes, distance, drift, follows, looks, seam, worst_seam
from benchmarks.rom import held_out_scenes
from ivg_core.checkpoints.load import load_model
from ivg_core.hands.tracker import HandTracker
from ivg_core.sampling.context import ContextWindows

STEP = 0.01
FRAMES = load_model("embedded").defaults.num_frames


def planted(frames: int, at: list[int], jump: float) -> torch.Tensor:
    """A clip (F, 8, 8, 3) whose left half grows brighter by STEP a frame, and at some by `jump` times that."""
    steps = torch.full((frames,), STEP)
    steps[0], steps[at] = 0, jump * STEP
    clip = torch.zeros(frames, 8, 8, 3)
    clip[:, :, :4] += steps.cumsum(0)[:, None, None, None]
    return clip


LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (ContextWindows(8, 4), [6, 10, 14]),  # the middle of each overlap
        (ContextWindows(8, 4, weights="flat"), [8, 12, 16]),  # where the earlier window ends
        (ContextWindows(8, schedule="isolated"), [8, 14]),  # the last one is moved back, and overlaps 12 to 16
    ],
)
def test_a_border_is_where_another_window_begins_to_weigh_most(context, expected):
    assert borders(context.spans(20, 8), context.weights) == expected


@pytest.mark.parametrize("jump", [1.0, 3.0])
def test_a_planted_seam_scores_as_planted(jump):
    changed = changes(planted(16, [6, 10], jump), LEFT)
    ratio, inside = seam(changed, [6, 10])
    assert len(changed) == 15 and ratio == pytest.approx(jump, rel=1e-4) and inside == pytest.approx(STEP, rel=1e-4)
    whole = seam(changes(planted(16, [6, 10], jump), torch.ones(8, 8)), [6, 10])
    assert whole == pytest.approx((ratio, inside / 2), rel=1e-4)


def test_the_worst_seam_is_found_wherever_it_repeats_after_the_first_window():
    changed = changes(planted(24, [3, 9, 13, 17, 21], 3.0), LEFT)  # 3 lies in the first window, in which the act begins
    assert worst_seam(changed, 4, 8) == pytest.approx(3, rel=1e-4)
    assert worst_seam(changes(planted(24, [3], 3.0), LEFT), 4, 8) == pytest.approx(1, rel=1e-4)


def test_drift_is_the_change_of_each_look_and_lost_hands_count_wholly():
    first = {"sharpness": torch.tensor([10.0]), "colour": torch.tensor([0.3, 0.0, 0.4]), "hands": torch.tensor([0.8])}
    last = {"sharpness": torch.tensor([5.0]), "colour": torch.tensor([0.3, 0.1, 0.4])}
    assert drift(first, last) == pytest.approx({"sharpness": 0.5, "colour": 0.2, "hands": 1.0})
    assert set(drift({"colour": first["colour"]}, first)) == {"colour"}


def test_looks_tell_a_blurred_darker_stretch_without_hands():
    scene = held_out_scenes(1, 96, 64, 2)[0]
    sharp = scene.photo.expand(2, -1, -1, -1)
    blurred = 0.5 * torch.nn.functional.avg_pool2d(sharp.movedim(-1, 1), 5, 1, 2).movedim(1, -1)
    tracker = HandTracker()
    one, two = looks(sharp, tracker), looks(blurred, tracker)
    changed = drift(one, two)
    assert changed["sharpness"] > 0.7 and changed["colour"] == pytest.approx(0.5, abs=0.05)
    assert "hands" not in looks(torch.zeros(2, 64, 96, 3), tracker)


def blinking(x: int, y: int, by: float = 0.5) -> torch.Tensor:
    """A clip (4, 64, 96, 3) in which only a square around a place goes on and off."""
    clip = torch.full((4, 64, 96, 3), 0.2)
    clip[::2, y - 2 : y + 3, x - 2 : x + 3] += by
    return clip


def test_distance_is_that_of_what_moves_and_noise_does_not_count():
    clip = blinking(20, 30)
    clip[::2, :, 60:] += 0.05
    assert distance(clip, (20, 30)) < 3 and distance(clip, (60, 30)) == pytest.approx(40, abs=0.5)
    assert math.isnan(distance(blinking(20, 30, 0), (20, 30)))


@pytest.mark.parametrize(
    ("one", "two", "expected"), [(20, 70, True), (20, 20, False), (70, 70, False), (70, 20, False)]
)
def test_both_stretches_must_move_their_own_thing(one, two, expected):
    assert follows([blinking(one, 30), blinking(two, 30)], [(22, 28), (72, 28)]) == expected
    assert not follows([blinking(one, 30), blinking(two, 30, 0)], [(22, 28), (72, 28)])  # nothing moves


def test_the_exact_clips_of_both_sentences_follow_and_swapped_ones_do_not():
    (item,) = held_out_scenes(1, 96, 64, 8)
    clips = [torch.from_numpy(item.scene.clip(task, 8).frames).float() / 255 for task in item.tasks]
    assert both_follow(torch.cat(clips), item) and not both_follow(torch.cat(clips[::-1]), item)
    assert [stretch.frame for stretch in two_actions(item, 8).stretches] == [0, 8]


def test_actions_are_measured_where_the_exact_clips_count(tiny_model):
    model = replace(tiny_model, defaults=replace(tiny_model.defaults, width=96, height=64, num_frames=8))
    candidates = held_out_scenes(4, 96, 64, 8, 6000)
    told = [item.scene.seed for item in islice(telling_scenes(model, 6000), 3)]
    counting = []
    for item in candidates:
        clips = [torch.from_numpy(item.scene.clip(task, 8).frames).float() / 255 for task in item.tasks]
        counting += [item.scene.seed] if both_follow(torch.cat(clips), item) else []
    assert 0 < len(counting) < len(candidates) and told[: len(counting)] == counting[: len(told)]


def test_every_part_gives_its_figures(tiny_model):
    made = replace(tiny_model.defaults, width=64, height=64, num_frames=2, num_inference_steps=1)
    figures = bench_long_video(replace(tiny_model, defaults=made), 1, PARTS[:3])
    assert {"follows_two_actions", "seam_isolated", "seam_default", "motion_kept", "drift_ratio", "scenes"} <= set(
        figures
    )
    assert figures["outside_two_actions"] == 0


def test_the_cost_is_compared_window_by_window(monkeypatch):
    windows = {16: 3, 160: 39}

    def measured(what: str, name: str, *lengths: int, tight: bool = True) -> dict[str, float]:
        seconds = {frames: 2.0 * windows[frames] + (frames == 16) for frames in lengths}
        if what == "in_turns":
            return {str(frames): value for frames, value in seconds.items()} | {
                "isolated": 40.0,
                "isolated_windows": 20,
            }
        (frames,) = lengths
        return {"bytes": 2**20 * (1 + frames / 160), "seconds": seconds[frames], "windows": windows[frames]}

    monkeypatch.setattr("benchmarks.long_video_cost.in_a_process", measured)
    figures = bench_cost("embedded", [16, 160]) | bench_cost("published", [16, 160])
    assert figures["peak_ratio_160_vs_16"] == figures["peak_ratio_160_vs_16_published"] == pytest.approx(2 / 1.1)
    assert figures["time_ratio_160_vs_16"] == pytest.approx(2 / (7 / 3)) and figures["peak_mib_160"] == 2
    assert figures["windows_vs_isolated"] == figures["windows_vs_isolated_counted"] == 39 / 20
    assert figures["time_ratio_160_vs_16_published"] == figures["time_ratio_160_vs_16"]


@pytest.mark.skipif(not pathlib.Path("/proc/self/clear_refs").exists(), reason="memory is measured on Linux only")
def test_memory_of_a_step_in_windows_is_measured():
    """In a fresh process: in one that has worked already there is memory to be had."""
    found = in_a_process("measure", "embedded", 3 * FRAMES // 2)
    assert found["windows"] == 2 and found["seconds"] > 0 and 2**20 < found["bytes"] < 2**30


def test_time_is_measured_turn_by_turn(monkeypatch):
    monkeypatch.setattr("benchmarks.long_video_cost.ROUNDS", 1)
    turns = in_turns("embedded", FRAMES, 3 * FRAMES // 2)
    assert (
        set(turns) == {str(FRAMES), str(3 * FRAMES // 2), "isolated", "isolated_windows"}
        and turns["isolated_windows"] == 2
    )
