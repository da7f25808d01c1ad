import logging

import folder_paths
import numpy as np
import pytest
import torch
from PIL import Image

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.media.images import resize_image, to_image, to_pil
from ivg_pack.ivg_core.synthetic.clips import Scene
from ivg_pack.nodes.masks import IVGEditMask, RefineMask

NEUTRAL = {
    "threshold": 0.0, "min_area": 0, "close": 0, "fill_holes": False, "shape": "as it is", "grow": 0,
    "combine": "union", "feather": 0.0, "smooth": 0,
}  # fmt: skip


def square(side: int = 16, size: int = 4) -> torch.Tensor:
    mask = torch.zeros(1, side, side)
    start = (side - size) // 2
    mask[:, start : start + size, start : start + size] = 1
    return mask


def refined(mask, **widgets) -> torch.Tensor:
    output = RefineMask.execute(mask, **{**NEUTRAL, **widgets})
    if mask.shape[-1] <= 1024:
        assert torch.equal(output.ui.values[0], output[0])  # what it shows is what it gives
    return output[0]


def test_refine_does_nothing_when_told_nothing():
    soft = torch.rand(3, 8, 8)
    assert torch.equal(refined(soft), soft)


def test_refine_grows_and_shrinks():
    assert refined(square(), grow=2).sum() > 16 > refined(square(), grow=-1).sum() > 0


def test_refine_removes_specks_and_fills_holes():
    mask = square(16, 6)
    mask[0, 8, 8] = 0
    mask[0, 0, 0] = 1
    assert torch.equal(refined(mask, min_area=4, fill_holes=True), square(16, 6))


@pytest.mark.parametrize(("shape", "area"), [("box", 100), ("convex hull", 36), ("box of each part", 8)])
def test_refine_shapes(shape, area):
    mask = torch.zeros(1, 16, 16)
    mask[0, 3:5, 3:5] = 1
    mask[0, 11:13, 11:13] = 1
    assert refined(mask, shape=shape).sum() == pytest.approx(area, abs=12)


def test_refine_combines_with_a_mask_of_another_size(caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        united = refined(square(), other=torch.ones(1, 32, 32), combine="intersect")
    assert torch.equal(united, square())
    assert "resize" in caplog.text


def test_refine_takes_a_lone_mask_without_batch():
    assert refined(square()[0]).shape == (1, 16, 16)


def test_edit_passes_the_mask_on_and_shows_it_as_alpha():
    photo, mask = torch.rand(1, 16, 16, 3), square()
    output = IVGEditMask.execute(photo, "", mask)
    assert torch.equal(output[0], mask)
    shown = output.ui.values[0]
    assert torch.equal(shown[..., :3], photo) and torch.equal(shown[..., 3], 1 - mask)


def test_edit_resizes_and_says_so(caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        assert IVGEditMask.execute(torch.rand(1, 16, 24, 3), "", square())[0].shape == (1, 16, 24)
    assert "16 x 16" in caplog.text and "24 x 16" in caplog.text


def test_edit_reads_what_was_painted():
    alpha = np.full((16, 16), 255, np.uint8)
    alpha[2:5, 2:5] = 0
    picture = np.dstack([np.zeros((16, 16, 3), np.uint8), alpha])
    Image.fromarray(picture).save(f"{folder_paths.get_input_directory()}/painted.png")
    mask = IVGEditMask.execute(torch.rand(1, 16, 16, 3), "painted.png [input]", square())[0]
    assert mask.sum() == 9 and mask[0, 3, 3] == 1


def paint(photo: torch.Tensor, *, lost: bool = False) -> str:
    """What the mask editor stores of a photo (H, W, 3) with a stroke down its left half; `lost`: black under it."""
    alpha = torch.ones(photo.shape[:2])
    alpha[:, : photo.shape[1] // 2] = 0
    rgb = photo * alpha[..., None] if lost else photo
    rgba = (torch.cat([rgb, alpha[..., None]], -1) * 255).round().byte().numpy()
    Image.fromarray(rgba).save(f"{folder_paths.get_input_directory()}/stroke.png")
    return "stroke.png [input]"


def scene(seed: int, size: tuple[int, int] = (192, 128)) -> torch.Tensor:
    """A drawn photo (1, H, W, 3)."""
    return to_image(Scene(seed, *size).photo())[None]


@pytest.mark.parametrize("lost", [False, True])
def test_an_edit_holds_for_its_photo(lost):
    photo = scene(1)
    mask = IVGEditMask.execute(photo, paint(photo[0], lost=lost), any_photo=False)[0]
    assert mask[0, :, 0].min() == 1 and mask[0, :, -1].max() == 0


def test_an_edit_holds_for_its_photo_in_another_size():
    photo = scene(1)
    smaller = resize_image(photo[0], (150, 100))[None]
    assert IVGEditMask.execute(smaller, paint(photo[0]), any_photo=False)[0].shape == (1, 100, 150)


@pytest.mark.parametrize("other", [2, 3, 4])
def test_an_edit_does_not_land_on_another_photo_without_a_word(other):
    name = paint(scene(1)[0], lost=True)
    with pytest.raises(IVGError, match=r"another photo.*Discard edit.*any_photo"):
        IVGEditMask.execute(scene(other), name, any_photo=False)
    assert IVGEditMask.execute(scene(other), name, any_photo=True)[0].mean() == 0.5


def test_a_prompt_from_before_any_photo_runs_as_it_did():
    assert IVGEditMask.execute(scene(2), paint(scene(1)[0]))[0].mean() == 0.5


def test_a_file_without_alpha_is_a_black_and_white_mask_or_none():
    folder = folder_paths.get_input_directory()
    Image.fromarray((square()[0].numpy() * 255).astype(np.uint8)).save(f"{folder}/black_and_white.png")
    assert torch.equal(IVGEditMask.execute(scene(1, (16, 16)), "black_and_white.png", any_photo=False)[0], square())
    to_pil(scene(1)[0]).save(f"{folder}/photo_alone.png")
    with pytest.raises(IVGError, match=r"photo_alone\.png is a picture in colours"):
        IVGEditMask.execute(scene(1), "photo_alone.png")


def test_a_painted_file_that_is_no_picture_is_said():
    with open(f"{folder_paths.get_input_directory()}/text.png", "w") as file:
        file.write("no picture")
    with pytest.raises(IVGError, match="cannot be read as a picture"):
        IVGEditMask.execute(scene(1), "text.png")


@pytest.mark.parametrize("name", ["gone.png [input]", "../../etc/passwd", "/etc/passwd"])
def test_edit_reads_only_the_input_folder(name):
    with pytest.raises(IVGError, match="Discard edit"):
        IVGEditMask.execute(torch.rand(1, 16, 16, 3), name)


@pytest.mark.parametrize("scale", [1, 3])
def test_thousandths_of_the_width_mean_the_same_at_any_size(scale):
    """What refines a small mask in pixels of a picture 1000 wide refines a larger one alike."""
    mask = torch.zeros(1, 300, 1000)
    mask[:, 100:200, 300:500] = 1
    mask[:, 140:160, 380:400] = 0  # closes by a radius of 10
    mask[:, 20:25, 20:25] = 1  # 25 squares
    large = mask.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    widgets = {"min_area": 26, "close": 12, "grow": 9, "feather": 6.0, "unit": "1/1000 of the width"}
    wanted = refined(mask, **{**widgets, "unit": "pixels"})
    assert not wanted[0, :60].any() and wanted[0, 150, 390] == 1
    found = refined(large, **widgets)[:, scale // 2 :: scale, scale // 2 :: scale]
    assert (found - wanted).abs().max() < 0.15 and (found - wanted).abs().mean() < 0.001


def test_a_saved_graph_without_a_unit_means_pixels():
    mask = square(64, 8)
    assert torch.equal(refined(mask, grow=3), refined(mask, grow=3, unit="pixels"))
    assert not torch.equal(refined(mask, grow=3), refined(mask, grow=3, unit="1/1000 of the width"))


def test_a_large_mask_is_shown_small_and_given_whole():
    output = RefineMask.execute(torch.ones(1, 600, 2400), **NEUTRAL)
    assert output[0].shape == (1, 600, 2400) and output.ui.values[0].shape == (1, 256, 1024)


def test_a_mask_painted_in_the_smaller_picture_that_was_shown_is_enlarged_and_no_fault(caplog):
    photo = torch.rand(1, 1200, 4096, 3)
    shown = IVGEditMask.execute(photo, "").ui.values[0]
    assert shown.shape == (1, 600, 2048, 4)
    alpha = np.full((600, 2048), 255, np.uint8)
    alpha[100:200, 100:200] = 0
    picture = np.dstack([np.zeros((600, 2048, 3), np.uint8), alpha])
    Image.fromarray(picture).save(f"{folder_paths.get_input_directory()}/painted_small.png")
    with caplog.at_level(logging.WARNING, "ivg"):
        mask = IVGEditMask.execute(photo, "painted_small.png")[0]
    assert mask.shape == (1, 1200, 4096) and mask[0, 250:350, 250:350].all() and not caplog.text
