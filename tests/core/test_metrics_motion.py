import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

from ivg_core.evaluate.metrics.motion import background_stillness, draw_flow, motion_precision, moved_area, optical_flow
from ivg_core.evaluate.metrics.pixels import pixel_error, psnr, ssim


def smooth(grid: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(grid, size, mode="bicubic").clamp(0, 1)[0].permute(1, 2, 0)


@pytest.fixture
def moving_square() -> torch.Tensor:
    """A textured square that moves three pixels a frame to the right over a textured background."""
    noise = torch.Generator().manual_seed(0)
    ground = smooth(torch.rand(1, 3, 8, 12, generator=noise), (64, 96))
    square = smooth(torch.rand(1, 3, 6, 6, generator=noise), (24, 24))
    frames = ground.repeat(5, 1, 1, 1)
    for number, frame in enumerate(frames):
        frame[20:44, 10 + 3 * number : 34 + 3 * number] = square
    return frames


def test_moved_area_is_that_of_the_released_code(golden):
    recorded = load_file(golden / "functions.safetensors")
    moved = moved_area((recorded["score.frames"] // 8).float() / 255, threshold=5, least=int(24 * 24 * 0.005))
    assert torch.equal(moved * 255, recorded["score.moved_mask"].float())


def test_motion_precision_is_that_of_the_released_code(golden):
    frames = load_file(golden / "sampler_eval.safetensors")["frames"].float() / 255
    mask = Image.open(golden / "input_mask.png").convert("L").resize((168, 96), Image.Resampling.BICUBIC)
    precision = motion_precision(frames, torch.from_numpy(np.array(mask)).float())
    assert precision == 0.32800099206349204


def test_all_motion_inside_or_outside_the_mask(moving_square):
    inside = torch.zeros(64, 96)
    inside[20:44, 10:46] = 1
    assert motion_precision(moving_square, inside) == 1
    assert motion_precision(moving_square, 1 - inside) == 0
    assert background_stillness(moving_square, inside) == 1
    assert background_stillness(moving_square, 1 - inside) < 0.5


def test_boxes_smaller_than_the_least_do_not_count():
    frames = torch.zeros(2, 32, 32, 3)
    frames[1, 4:6, 4:6] = 1
    frames[1, 20:30, 20:30] = 1
    assert moved_area(frames).sum() == 104
    assert moved_area(frames, least=5).sum() == 100


def test_a_still_clip_has_no_precision_but_a_still_background():
    still = torch.rand(1, 16, 16, 3).repeat(3, 1, 1, 1)
    assert math.isnan(motion_precision(still, torch.ones(16, 16)))
    assert background_stillness(still, torch.zeros(16, 16)) == 1
    assert math.isnan(background_stillness(still, torch.ones(16, 16)))
    assert moved_area(still[:1]).sum() == 0


def test_flow_points_where_things_go(moving_square):
    flow = optical_flow(moving_square)
    assert flow.shape == (4, 64, 96, 2)
    centre = flow[0, 26:38, 16:28].mean(dim=(0, 1))
    assert centre[0] == pytest.approx(3, abs=0.4) and abs(centre[1]) < 0.4
    assert flow[0, :10].norm(dim=-1).mean() < 0.2


def test_flow_is_drawn_white_where_still_and_red_to_the_right():
    flow = torch.zeros(1, 4, 4, 2)
    flow[0, 0, 0] = torch.tensor([5.0, 0.0])
    flow[0, 1, 1] = torch.tensor([-2.5, 0.0])
    drawn = draw_flow(flow, fastest=5)
    assert torch.allclose(drawn[0, 0, 0], torch.tensor([1.0, 0.0, 0.0]), atol=1e-3)
    assert torch.allclose(drawn[0, 1, 1], torch.tensor([0.5, 1.0, 1.0]), atol=1e-3)  # half as fast, half as pale
    assert torch.equal(drawn[0, 3, 3], torch.ones(3))


def test_distances_to_the_truth():
    truth = torch.rand(2, 24, 24, 3)
    assert pixel_error(truth, truth) == 0 and psnr(truth, truth) == math.inf
    assert ssim(truth, truth) == pytest.approx(1, abs=1e-6)
    off = (truth + 0.1).clamp(0, 2)
    assert pixel_error(off, truth) == pytest.approx(0.1, abs=1e-6) and psnr(off, truth) == pytest.approx(20, abs=1e-3)
    assert ssim(truth.flip(1), truth) < 0.2 < ssim(off, truth)


def test_distances_agree_with_torchmetrics():
    image = pytest.importorskip("torchmetrics.functional.image")
    a, b = torch.rand(3, 40, 32, 3), torch.rand(3, 40, 32, 3)
    b = (a + b) / 2
    x, y = a.permute(0, 3, 1, 2), b.permute(0, 3, 1, 2)
    theirs = float(image.peak_signal_noise_ratio(x, y, data_range=1.0))
    assert psnr(a, b) == pytest.approx(theirs, rel=1e-5)
    theirs = image.structural_similarity_index_measure(x, y, data_range=1.0, return_full_image=True)[1]
    assert ssim(a, b) == pytest.approx(float(theirs[..., 5:-5, 5:-5].mean()), abs=2e-4)
