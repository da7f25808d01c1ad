"""A step's frames over the picture that it began with: to the bit outside, in its colours within."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.howto.finish import finish_step
from ivg_core.media.images import load_image, save_png
from ivg_core.rom.composite import seam


def scene(seed: int = 0, height: int = 64, width: int = 96) -> torch.Tensor:
    """A textured picture (H, W, 3), of 8 bits."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=rng)
    picture = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0].movedim(0, -1)
    grain = 0.06 * torch.randn(height, width, 3, generator=rng)
    return ((0.15 + 0.7 * picture + grain).clamp(0, 1) * 255).round() / 255


def region(height: int = 64, width: int = 96) -> torch.Tensor:
    mask = torch.zeros(height, width)
    mask[16:48, 24:72] = 1
    return mask


def passed(start: torch.Tensor, frames: int = 4, gain: float = 0.9, offset: float = 0.06) -> torch.Tensor:
    """A pass over a picture that changes its colours, blurs it, and moves a block from frame to frame."""
    soft = torch.nn.functional.avg_pool2d(start.movedim(-1, 0)[None], 3, 1, 1, count_include_pad=False)[0].movedim(
        0, -1
    )
    made = torch.stack([soft * gain + offset] * frames)
    for i in range(1, frames):
        made[i, 24:34, 28 + 6 * i : 38 + 6 * i] = torch.tensor([0.9, 0.1, 0.1])
    return made.clamp(0, 1)


def test_outside_region_and_seam_every_frame_is_the_picture_to_the_bit():
    start, mask = scene(), region()
    made = finish_step(passed(start), start, mask)
    outside = seam(mask, 2.0) == 0
    assert outside.any() and not outside[20:40, 30:60].any()
    for frame in made.frames:
        assert torch.equal(frame[outside], start[outside])
    assert torch.equal(made.frames[0], start)
    assert torch.equal(made.mask, mask)


def test_it_is_still_the_picture_after_ten_steps_through_files(tmp_path):
    first = start = scene()
    untouched = torch.ones(64, 96, dtype=torch.bool)
    for number in range(10):
        mask = torch.zeros(64, 96)
        mask[16:40, 6 * number : 6 * number + 30] = 1
        untouched &= seam(mask, 2.0) == 0
        save_png(finish_step(passed(start), start, mask).frames[-1], tmp_path / "last.png")
        start = load_image(tmp_path / "last.png")
    assert untouched.float().mean() > 0.3
    assert torch.equal(start[untouched], first[untouched])


def test_what_does_not_move_keeps_colours_contrast_and_detail():
    start, mask = scene(), region()
    still = torch.zeros(64, 96, dtype=torch.bool)
    still[40:47, 26:70] = True  # in the region, below the block
    last = finish_step(passed(start), start, mask).frames[-1]
    drifted = finish_step(passed(start), start, mask, pin_colour=False).frames[-1]
    assert (last - start)[still].abs().mean() < 0.5 / 255
    assert (drifted - start)[still].abs().mean() > 8 / 255


def test_what_moves_is_the_models_in_the_pictures_colours():
    start, mask = scene(), region()
    block = finish_step(passed(start), start, mask).frames[-1][26:32, 48:54].mean((0, 1))
    red = (torch.tensor([0.9, 0.1, 0.1]) - 0.06) / 0.9
    assert torch.allclose(block, red.clamp(0, 1), atol=0.03)


@settings(max_examples=15, deadline=None)
@given(gain=st.floats(0.8, 1.2), offset=st.floats(-0.05, 0.05))
def test_the_drift_is_measured(gain, offset):
    start = scene() * 0.5 + 0.25
    made = torch.stack([start * gain + offset] * 3)
    drift = finish_step(made, start, region()).drift
    inside = start[16:48, 24:72].reshape(-1, 3)
    assert drift.colour == pytest.approx(255 * float(((gain - 1) * inside.mean(0) + offset).abs().mean()), abs=0.6)
    assert drift.contrast == pytest.approx(abs(gain - 1), abs=0.02)
    assert drift.outside is not None


def test_a_region_that_is_everything_has_no_outside():
    start = scene()
    made = finish_step(passed(start), start, torch.ones(64, 96))
    assert made.drift.outside is None and "put right" in made.drift.report()
    assert (made.frames[-1][50:] - start[50:]).abs().mean() < 0.6 / 255


def test_colours_that_drift_over_time_are_put_right_too():
    start, mask = scene(), region()
    made = torch.stack([start + 0.02 * i for i in range(5)]).clamp(0, 1)
    last = finish_step(made, start, mask).frames[-1]
    assert (last - start)[20:44, 30:66].abs().mean() < 1 / 255


def test_a_first_frame_that_is_the_picture_itself_says_nothing_of_the_region():
    start = scene()
    made = torch.cat([start[None], passed(start)[1:]])
    assert finish_step(made, start, torch.ones(64, 96)).drift.colour == 0


def test_a_picture_and_masks_of_other_sizes_are_fitted():
    start = scene(1, 128, 200)
    masks = torch.zeros(3, 32, 50)
    masks[0, 8:16, 10:20], masks[2, 16:24, 20:30] = 1, 1
    made = finish_step(passed(scene()), start, masks)
    assert made.frames.shape == (4, 64, 96, 3) and made.mask.shape == (64, 96)
    assert made.mask[20, 30] == 1 and made.mask[40, 50] == 1  # one of each mask


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frames": torch.zeros(1, 64, 96, 3)}, "at least 2 frames"),
        ({"mask": torch.zeros(64, 96)}, "mask is empty"),
        ({"feather": -1.0}, "feather is -1.0"),
        ({"feather": float("nan")}, "feather is nan"),
        ({"frames": torch.zeros(3, 64, 96)}, "frames"),
    ],
)
def test_bad_input_is_told(change, said):
    given = {"frames": passed(scene()), "start": scene(), "mask": region()} | change
    with pytest.raises(IVGError, match=said):
        finish_step(**given)
