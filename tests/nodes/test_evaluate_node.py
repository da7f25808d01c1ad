import math

import pytest
import torch

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.nodes.evaluate import IVGEvaluate


def moving_square(frames: int = 4) -> torch.Tensor:
    clip = torch.full((frames, 32, 48, 3), 0.3)
    for index, frame in enumerate(clip):
        frame[8:20, 4 + 3 * index : 16 + 3 * index] = 0.9
    return clip


def mask(right: int) -> torch.Tensor:
    region = torch.zeros(1, 32, 48)
    region[:, 8:20, :right] = 1
    return region


def test_motion_in_the_mask():
    report, flow, precision, stillness, hs_err, psnr = IVGEvaluate.execute(moving_square(), mask=mask(30)).args
    assert precision == 1 and stillness == 1 and math.isnan(hs_err) and math.isnan(psnr)
    assert "motion precision: 1" in report and "HS-Err" not in report
    assert flow.shape == (3, 32, 48, 3) and flow.min() >= 0 and flow.max() <= 1
    assert 0 < IVGEvaluate.execute(moving_square(), mask=mask(15)).args[2] < 1


def test_the_union_of_several_masks_counts():
    halves = torch.cat([mask(15), mask(30)])
    assert IVGEvaluate.execute(moving_square(), mask=halves).args[2] == 1


def test_distance_to_the_truth():
    clip = moving_square()
    output = IVGEvaluate.execute(clip, truth=(clip + 0.1))
    assert output.args[5] == pytest.approx(20, abs=1e-3)
    assert math.isnan(output.args[4])  # there is no hand in the truth
    assert "SSIM" in output.args[0] and output.ui.values == (output.args[0],)


def test_a_true_clip_of_another_size_and_length():
    truth = moving_square(7)[:, ::2, ::2]
    assert 10 < IVGEvaluate.execute(moving_square(), truth=truth).args[5] < 60


def test_a_single_picture_is_no_clip():
    with pytest.raises(IVGError, match="single frame"):
        IVGEvaluate.execute(moving_square(1))
