"""Photo and mask on their way to the network."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from ivg_core.errors import IVGError
from ivg_core.media.images import load_mask, resize_image, to_image
from ivg_core.models.codec import ImageCodec, check_cells, check_size, fit_size, mask_cells
from ivg_core.sampling.inputs import check_mask, reference_mask


def test_area_rule_of_the_golden_photo():
    assert fit_size(100, 60, 128, 128) == (168, 96)
    assert fit_size(512, 512, 512, 512) == (512, 512)
    assert fit_size(1920, 1080, 512, 512) == (680, 384)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(8, 1024), st.integers(8, 1024))
def test_area_rule_always_gives_whole_cells(width, height, base_width, base_height):
    fitted = fit_size(width, height, base_width, base_height)
    assert check_size(fitted) == fitted
    ratio = width / height
    if 0.5 < ratio < 2 and base_width * base_height > 256**2:
        assert fitted[0] / fitted[1] == pytest.approx(ratio, rel=0.1)
        assert fitted[0] * fitted[1] == pytest.approx(base_width * base_height, rel=0.1)


@pytest.mark.parametrize(
    ("size", "nearest"), [((101, 64), "104 x 64"), ((64, 3), "64 x 8"), ((0, 0), "8 x 8"), ((64.5, 64), "64 x 64")]
)
def test_a_size_between_cells_is_said_with_the_nearest(size, nearest):
    with pytest.raises(IVGError, match=f"multiples of 8.*{nearest}"):
        check_size(size)


def test_photo_and_mask_match_the_goldens(golden, tiny_model):
    expected = load_file(golden / "sampler_eval.safetensors")
    photo = resize_image(to_image(golden / "input.png"), (168, 96))
    pixels = photo.permute(2, 0, 1)[None, None] * 2 - 1
    assert (pixels - expected["pixel_values"]).abs().max() < 1e-6
    latent = ImageCodec(tiny_model.vae, 0.18215).encode(photo[None])
    assert (latent[None] - expected["condition_latent"]).abs().max() < 1e-5
    mask = mask_cells(reference_mask(golden / "input_mask.png", (168, 96))[None], 12, 21)
    assert (mask - expected["mask"]).abs().max() < 1e-6
    app = mask_cells(load_mask(golden / "input_mask.png")[None], 12, 21)
    assert (app - load_file(golden / "sampler_app.safetensors")["mask"]).abs().max() < 1e-6


def test_the_reference_turns_every_grey_white(tmp_path):
    grey = torch.zeros(16, 16)
    grey[4:12, 4:12] = 0.02
    mask = reference_mask(grey, (16, 16))
    assert torch.equal(mask, (grey > 0).float())
    Image.fromarray((grey * 255).byte().numpy()).convert("RGB").save(tmp_path / "rgb.png")
    assert torch.equal(reference_mask(tmp_path / "rgb.png", (16, 16)), mask)
    assert set(reference_mask(Image.new("1", (3, 3), 1), (16, 16)).unique().tolist()) == {1.0}


def test_binarised_masks_are_black_and_white():
    mask = torch.zeros(32, 32)
    mask[:18] = 1
    soft, hard = mask_cells(mask[None], 5, 5), mask_cells(mask[None], 5, 5, binarize=True)
    assert soft.shape == (1, 1, 1, 5, 5) and ((soft > 0) & (soft < 1)).any()
    assert torch.equal(hard, (soft >= 0.5).float())


def test_masks_that_let_nothing_move_are_said():
    with pytest.raises(IVGError, match="nothing would move"):
        check_mask(torch.zeros(8, 8))
    speck = torch.zeros(512, 512)
    speck[0, 0] = 1
    with pytest.raises(IVGError, match="so small"):
        check_cells(mask_cells(speck[None], 8, 8))
    with pytest.raises(IVGError, match="so small"):
        check_cells(mask_cells(torch.full((2, 64, 64), 0.2), 8, 8, binarize=True))
    one = torch.stack([torch.ones(64, 64), torch.zeros(64, 64)])
    with pytest.raises(IVGError, match="so small"):
        check_cells(mask_cells(one, 8, 8))
