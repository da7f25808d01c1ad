"""AO and success rates at boxes worked out by hand, and boxes followed through drawn clips."""

import math

import pytest
import torch

from ivg_core.errors import IVGError
from ivg_core.evaluate.metrics.boxes import box_iou, score_boxes, without_start
from ivg_core.evaluate.metrics.follow import follow
from ivg_core.evaluate.metrics.pixels import first_frame_fidelity

SQUARE, GONE = (0.0, 0.0, 0.4, 0.4, 1.0), (0.0,) * 5
#: Its IoU with SQUARE is 1, 3/5, 1/3, 1/7, 0.
OTHERS = [SQUARE, (0.1, 0, 0.5, 0.4, 1), (0.2, 0, 0.6, 0.4, 1), (0.2, 0.2, 0.6, 0.6, 1), (0.4, 0, 0.8, 0.4, 1)]
OVERLAPS = [1, 3 / 5, 1 / 3, 1 / 7, 0]


def rows(*boxes):
    return torch.tensor(boxes)


def test_overlaps():
    assert box_iou(rows(*[SQUARE] * 5), rows(*OTHERS)).tolist() == pytest.approx(OVERLAPS, abs=1e-6)
    inner = (0.1, 0.1, 0.3, 0.3, 1.0)
    assert box_iou(rows(SQUARE), rows(inner)).tolist() == pytest.approx([1 / 4])
    assert box_iou(rows(SQUARE, GONE, GONE), rows(GONE, SQUARE, GONE)).tolist() == [0, 0, 0]
    # what stands in the row of a thing that is not there is nothing
    assert box_iou(rows(SQUARE), rows((*SQUARE[:4], 0))).tolist() == [0]


def test_scores():
    score = score_boxes(rows(*[SQUARE] * 5), rows(*OTHERS))
    assert score.average_overlap == pytest.approx(sum(OVERLAPS) / 5)
    assert (score.success_50, score.success_75, score.boxes) == (0.4, 0.2, 5)
    assert str(score) == "AO 0.415, SR50 0.400, SR75 0.200 (5 boxes)"


def test_an_overlap_of_just_a_half_is_no_success():
    half = (0.0, 0.0, 0.5, 0.25, 1.0)  # exact in binary
    assert score_boxes(rows((0.0, 0.0, 0.5, 0.5, 1.0)), rows(half)).success_50 == 0


def test_a_thing_that_is_not_found_is_a_miss_and_one_that_was_not_asked_for_does_not_count():
    score = score_boxes(rows(SQUARE, SQUARE, GONE), rows(SQUARE, GONE, SQUARE))
    assert (score.average_overlap, score.success_50, score.boxes) == (0.5, 0.5, 2)
    nothing = score_boxes(rows(GONE), rows(SQUARE))
    assert math.isnan(nothing.average_overlap) and nothing.boxes == 0 and "nothing was asked for" in str(nothing)


def test_the_frame_from_which_a_thing_is_followed_does_not_count():
    asked = torch.tensor([[SQUARE, GONE], [SQUARE, SQUARE], [GONE, SQUARE], [SQUARE, SQUARE]])
    assert without_start(asked)[..., 4].tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert score_boxes(without_start(asked), asked).average_overlap == 1


def drawn(*corners, sides=(40,), size=(160, 128)):
    """A clip of a square that moves over a ground, and where it is: (F, H, W, 3), (F, 1, 5)."""
    width, height = size
    noise = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    pattern = torch.nn.functional.interpolate(noise, 256, mode="bicubic", align_corners=False).clamp(0, 1)[0]
    ground, paint = pattern[:, :height, :width] * 0.5, pattern.flip(1) * 0.5 + 0.5
    frames, boxes = [], []
    for index, (x, y) in enumerate(corners):
        side = sides[index % len(sides)]
        frame, thing = ground.clone(), torch.nn.functional.interpolate(paint[None], side, mode="area")[0]
        x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
        if there := x1 < x2 and y1 < y2:
            frame[:, y1:y2, x1:x2] = thing[:, y1 - y : y2 - y, x1 - x : x2 - x]
        frames.append(frame.permute(1, 2, 0))
        boxes.append([[x1 / width, y1 / height, x2 / width, y2 / height, 1.0]] if there else [[0.0] * 5])
    return torch.stack(frames), torch.tensor(boxes)


def test_a_moving_square_is_followed():
    frames, boxes = drawn(*((10 + 6 * i, 20 + 4 * i) for i in range(12)))
    found = follow(frames, boxes)
    score = score_boxes(without_start(boxes), found)
    assert torch.equal(found[0], boxes[0]) and score.average_overlap > 0.85 and score.success_75 == 1
    still = boxes[:1].expand_as(boxes)
    assert score_boxes(without_start(still), found).average_overlap < 0.3
    assert torch.equal(follow(frames, boxes), found)


def test_a_square_that_shrinks_is_followed():
    sides = range(60, 28, -3)
    frames, boxes = drawn(*((80 - side // 2, 64 - side // 2) for side in sides), sides=tuple(sides))
    found = follow(frames, boxes)
    assert score_boxes(without_start(boxes), found).average_overlap > 0.75
    kept = boxes[:1].expand_as(boxes)
    assert score_boxes(without_start(boxes), kept).average_overlap < 0.6  # what the first box would be without growth


def test_what_leaves_the_picture_is_not_there_and_what_comes_later_is_followed_from_then():
    frames, boxes = drawn(*((100 + 9 * i, 40) for i in range(10)))
    assert follow(frames, boxes)[-1, 0].tolist() == [0] * 5
    later = boxes.clone()
    later[:3] = 0
    found = follow(frames, later)
    assert found[:3].abs().sum() == 0 and torch.equal(found[3], boxes[3])
    assert follow(frames, torch.zeros(10, 2, 5)).abs().sum() == 0


def test_how_true_the_first_frame_is_to_the_photo():
    photo = torch.rand(32, 48, 3, generator=torch.Generator().manual_seed(1)).mul(255).round() / 255
    frames = torch.stack([photo, torch.zeros_like(photo)])
    assert first_frame_fidelity(frames, photo) == (math.inf, pytest.approx(1))
    ratio, likeness = first_frame_fidelity((frames * 0.9 + 0.1).clamp(0, 1), photo)
    assert 15 < ratio < 30 and 0.8 < likeness < 1
    assert first_frame_fidelity(frames, photo.repeat_interleave(2, 0).repeat_interleave(2, 1))[1] > 0.9
    with pytest.raises(IVGError, match="48 x 9 pixels are too small"):
        first_frame_fidelity(frames[:, :9], photo)
