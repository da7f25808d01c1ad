"""Pictures of every kind, given as masks: read as they are meant, or refused in one sentence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ivg_core.errors import IVGError
from ivg_core.media.images import load_image, load_mask, to_image, to_mask
from ivg_core.media.masks import to_masks
from ivg_core.synthetic.clips import Scene

REGION = np.zeros((32, 48), bool)
REGION[8:24, 10:30] = True
MEANT = torch.from_numpy(REGION).float()
PHOTO = np.array(Image.fromarray(Scene(3, 192, 128).photo()).resize((48, 32)))


def palette(indices: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    picture = Image.fromarray(indices.astype(np.uint8), "P")
    picture.putpalette([level for colour in colours for level in colour])
    return picture


def with_alpha(rgb: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([rgb, alpha]).astype(np.uint8), "RGBA")


MEANINGS = {
    "black and white": Image.fromarray(REGION),
    "zero and one": Image.fromarray(REGION.astype(np.uint8)),
    "zero and a class": Image.fromarray(REGION.astype(np.uint8) * 15),
    "one and two": Image.fromarray(REGION.astype(np.uint8) + 1),
    "sixteen bits": Image.fromarray(REGION.astype(np.uint16) * 65535),
    "sixteen bits, zero and one": Image.fromarray(REGION.astype(np.uint16)),
    "whole numbers of 32 bits": Image.fromarray(REGION.astype(np.int32) * 65535),
    "floats to 1": Image.fromarray(REGION.astype(np.float32)),
    "floats to 255": Image.fromarray(REGION.astype(np.float32) * 255),
    "a grey palette": palette(REGION, (0, 0, 0), (255, 255, 255)),
    "a palette of one colour": palette(REGION, (0, 0, 0), (128, 0, 0)),
    "one colour on black": Image.fromarray(REGION[..., None] * np.array([0, 0, 255], np.uint8)),
    "white strokes": with_alpha(np.full((32, 48, 3), 255), REGION * 255),
    "black strokes": with_alpha(np.zeros((32, 48, 3)), REGION * 255),
    "red strokes": with_alpha(np.full((32, 48, 3), (200, 0, 0)), REGION * 255),
    "white on black, opaque": with_alpha(REGION[..., None] * np.full(3, 255), np.full((32, 48), 255)),
    "white on black, transparent beside it": with_alpha(REGION[..., None] * np.full(3, 255), 254 + REGION),
    "a mask editor's photo with a hole": with_alpha(PHOTO, 255 - REGION * 255),
    "a grey photo with a hole": with_alpha(PHOTO[..., :1].repeat(3, -1).clip(60, 200), 255 - REGION * 255),
}


@pytest.mark.parametrize("name", MEANINGS)
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_what_is_meant(name, ending, tmp_path):
    picture = MEANINGS[name]
    if ending == "png" and picture.mode in "FI":
        pytest.skip("PNG holds no floats and no 32 bits")
    picture.save(tmp_path / f"m.{ending}")
    assert torch.equal(load_mask(tmp_path / f"m.{ending}"), MEANT)
    assert torch.equal(to_mask(picture), MEANT)


@pytest.mark.parametrize("name", ["zero and one", "floats to 1", "a mask editor's photo with a hole"])
def test_a_guess_is_said(name, caplog):
    to_mask(MEANINGS[name])
    assert bool(caplog.records) == (name != "floats to 1")


STEPS = (np.arange(32)[:, None] // 8 + np.zeros((32, 48), int)).astype(np.uint8)  # classes 0 to 3
BORDERED = np.where(np.arange(48) < 4, 255, REGION.astype(np.uint8))  # class 1, and 255 as "not labelled"


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (Image.fromarray(STEPS), "numbers of classes"),
        (Image.fromarray(BORDERED), "numbers of classes"),
        (Image.fromarray(STEPS.astype(np.uint16)), "65535"),
        (Image.fromarray(np.full((32, 48), 1, np.uint8)), "numbers of classes"),
        (palette(STEPS, (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)), "in colours"),
        (Image.fromarray(PHOTO), "in colours"),
        (Image.fromarray(np.linspace(0, 20, 48 * 32).reshape(32, 48).astype(np.uint16)), "classes"),
        (Image.fromarray(np.linspace(0, 4000, 48 * 32).reshape(32, 48).astype(np.uint16)), "nearly black"),
        (Image.fromarray(np.full((4, 4), np.nan, np.float32)), "values from nan"),
        (Image.fromarray(np.full((4, 4), -3, np.float32)), "values from -3"),
        (Image.fromarray(np.full((4, 4), 70000, np.int32)), "values from"),
        (with_alpha(PHOTO, np.zeros((32, 48))), "transparent everywhere"),
    ],
)
def test_what_is_no_mask(picture, says, tmp_path):
    with pytest.raises(IVGError, match=says):
        to_mask(picture)
    picture.save(tmp_path / "m.tif")
    with pytest.raises(IVGError, match=r"m\.tif"):
        load_mask(tmp_path / "m.tif")


def test_class_numbers_in_arrays():
    labels = torch.from_numpy(REGION.astype(np.int64))
    assert torch.equal(to_mask(labels), MEANT) and torch.equal(to_masks(labels[None] * 7)[0], MEANT)
    with pytest.raises(IVGError, match="classes"):
        to_mask(torch.from_numpy(STEPS))
    assert torch.equal(to_mask(np.ascontiguousarray(REGION[:, ::-1] * np.uint8(255))[:, ::-1]), MEANT)  # laid backwards


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_soft_masks_keep_their_values(data):
    size = data.draw(st.integers(1, 12))
    levels = [*data.draw(st.lists(st.integers(0, 255), min_size=size, max_size=size)), 100, 255]
    mask = to_mask(Image.fromarray(np.array([levels], np.uint8)))
    assert torch.equal(mask, torch.tensor([levels], dtype=torch.float32) / 255)


def test_photos_of_floats_and_of_other_colours(tmp_path):
    grey = PHOTO.mean(-1).astype(np.float32)
    for picture in (Image.fromarray(grey / 255), Image.fromarray(grey)):
        picture.save(tmp_path / "p.tif")
        assert torch.allclose(load_image(tmp_path / "p.tif")[..., 1], torch.from_numpy(grey / 255), atol=1e-6)
    from PIL import ImageCms

    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    ImageCms.applyTransform(Image.fromarray(PHOTO), to_lab).save(tmp_path / "lab.tif")
    assert (load_image(tmp_path / "lab.tif") - to_image(PHOTO)).abs().mean() < 0.02


@pytest.mark.parametrize("orientation", range(10))
def test_photos_are_turned_as_pil_turns_them(orientation):
    picture = Image.fromarray(PHOTO)
    picture.getexif()[274] = orientation
    assert torch.equal(to_image(picture), to_image(np.array(ImageOps.exif_transpose(picture))))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_data(tmp_path):
    picture, exif, rng = Image.fromarray(PHOTO), Image.Exif(), np.random.default_rng(0)
    exif[274], exif[271], exif[282], exif[0x8769] = 6, "maker", 72.0, {36864: b"0220", 37121: b"abcd"}
    whole = exif.tobytes()
    for length in range(7, len(whole), 3):
        picture.save(tmp_path / "cut.jpg", exif=whole[:length])
        assert load_image(tmp_path / "cut.jpg").shape in {(32, 48, 3), (48, 32, 3)}
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(6, len(whole))] = rng.integers(256)
        picture.save(tmp_path / "bent.jpg", exif=bytes(damaged))
        assert load_image(tmp_path / "bent.jpg").shape in {(32, 48, 3), (48, 32, 3)}
    # PIL reads these data, but cannot write them anew
    odd = (
        "4578696600004d4d002a000000080004010f0002000000060000003e0112000300000001000600bf013c000500000001000000448769"
        "0004000000010000004c000000006d616b6572000000004800000001000290000007000000043032328891010001000000046162636400"
        "000000"
    )
    picture.save(tmp_path / "odd.jpg", exif=bytes.fromhex(odd))
    assert load_image(tmp_path / "odd.jpg").shape == (48, 32, 3)


def test_headers_that_promise_too_much(tmp_path):
    most = b"\xff\xff\xff\xff"  # 65535 x 65535
    gif = b"GIF89a" + most + b"\x80\0\0" + bytes(6) + b"\x2c" + bytes(4) + most + b"\0\x02\x02"
    (tmp_path / "huge.gif").write_bytes(gif)
    Image.fromarray(PHOTO).save(tmp_path / "whole.gif")
    for length in range(1, 1200, 23):
        (tmp_path / "cut.gif").write_bytes((tmp_path / "whole.gif").read_bytes()[:length])
        try:
            assert load_image(tmp_path / "cut.gif").shape == (32, 48, 3)
        except IVGError as error:
            assert "cannot be read as a picture" in str(error)
    with pytest.raises(IVGError, match="cannot be read as a picture"):
        load_image(tmp_path / "huge.gif")
