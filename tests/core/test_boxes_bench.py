"""The box benchmark: it finds what was carried where it was carried, and knows ahead, still and the other way apart."""

from dataclasses import replace

import pytest
import torch

from benchmarks.boxes import _goes_along, boxes_in, errands
from benchmarks.boxes_picture import FOOT, ROWS, scales_picture
from ivg_core.evaluate.metrics.boxes import box_iou
from ivg_core.models.add_gates import with_gates
from ivg_core.synthetic.carry import carried_clip


@pytest.mark.parametrize("kind", ["one", "two", "gone"])
def test_the_exact_clip_scores_nearly_one(kind):
    ((scene, what),) = errands(kind, 4000, 1, 192, 128)
    clip = carried_clip(scene, what, 4)
    asked = clip.track.boxes(4)
    assert len(what.carries) == (2 if kind == "two" else 1) and asked.shape[1] == len(what.carries)
    there = asked[..., 4] > 0
    assert bool(there[-1].all()) == (kind != "gone")
    assert box_iou(asked, boxes_in(scene, what, clip.frames))[there].mean() > 0.75


@pytest.mark.parametrize(("end", "along"), [(0.75, True), (0.45, False), (0.1, False), (None, False)])
def test_going_along_is_ending_nearer_to_the_goal_than_to_the_start_or_the_other_side(end, along):
    asked = torch.tensor([[0.4, 0.4, 0.5, 0.5, 1.0], [0.8, 0.4, 0.9, 0.5, 1.0]])[:, None]
    found = asked.clone()
    found[-1, 0] = torch.zeros(5) if end is None else torch.tensor([end, 0.4, end + 0.1, 0.5, 1.0])
    assert _goes_along(asked, found) == along


def test_the_picture_of_the_scales_has_a_row_for_each(tiny_model):
    model = replace(tiny_model, unet=with_gates(tiny_model.unet, "carry"))
    model = replace(model, defaults=replace(model.defaults, width=64, height=64, num_frames=2, num_inference_steps=1))
    picture = scales_picture(model, columns=2)
    assert picture.size == (2 * 64, len(ROWS) * (64 + FOOT))
    assert all(picture.crop((0, y, 128, y + 64)).getcolors(2) is None for y in range(0, picture.height, 64 + FOOT))
