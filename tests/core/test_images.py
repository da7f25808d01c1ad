"""Photos and masks from every kind of source, and back to PNG."""

import signal

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ivg_core.errors import IVGError
from ivg_core.media.files import atomic_write
from ivg_core.media.images import (
    load_image,
    load_mask,
    resize_image,
    resize_mask,
    same_picture,
    save_png,
    to_image,
    to_mask,
    to_pil,
)
from ivg_core.synthetic.clips import Scene

LEVELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "make",
    [
        lambda tmp: Image.fromarray(LEVELS),
        lambda tmp: LEVELS,
        lambda tmp: torch.from_numpy(LEVELS),
        lambda tmp: torch.from_numpy(LEVELS)[None].double() / 255,
        lambda tmp: (Image.fromarray(LEVELS).save(tmp / "p.png"), tmp / "p.png")[1],
        lambda tmp: (Image.fromarray(LEVELS).convert("RGBA").save(tmp / "p.png"), str(tmp / "p.png"))[1],
    ],
)
def test_every_source_gives_the_same_photo(make, tmp_path):
    photo = to_image(make(tmp_path))
    assert photo.dtype == torch.float32 and torch.allclose(photo, torch.from_numpy(LEVELS).float() / 255)


def test_a_photo_is_turned_as_the_camera_was_held(tmp_path):
    picture = Image.fromarray(LEVELS)
    exif = picture.getexif()
    exif[0x0112] = 6  # a quarter turn
    picture.save(tmp_path / "p.png", exif=exif)
    assert load_image(tmp_path / "p.png").shape == (7, 5, 3)
    assert load_image(tmp_path / "p.png", exif=False).shape == (5, 7, 3)


def test_grey_palette_and_16_bit_pictures(tmp_path):
    assert torch.equal(to_image(Image.fromarray(LEVELS[..., 0]))[..., 2], torch.from_numpy(LEVELS[..., 0]) / 255)
    assert to_image(Image.fromarray(LEVELS).convert("P")).shape == (5, 7, 3)
    deep = np.linspace(0, 65535, 35).reshape(5, 7).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert torch.allclose(load_mask(tmp_path / "deep.png"), torch.linspace(0, 1, 35).reshape(5, 7), atol=1e-4)
    assert torch.allclose(load_image(tmp_path / "deep.png")[..., 1], torch.linspace(0, 1, 35).reshape(5, 7), atol=1e-4)


def test_masks_of_every_kind(tmp_path):
    grey = torch.from_numpy(LEVELS[..., 0]) / 255
    assert torch.equal(to_mask(Image.fromarray(LEVELS[..., 0])), grey)
    assert torch.equal(to_mask(grey[None]), grey) and torch.equal(to_mask(grey[..., None]), grey)
    assert torch.equal(to_mask(grey > 0.5), (grey > 0.5).float())
    rgba = np.full((5, 7, 4), 255, np.uint8)
    rgba[0, :, 3] = 0  # transparent: counts as black
    Image.fromarray(rgba).save(tmp_path / "m.png")
    mask = load_mask(tmp_path / "m.png")
    assert not mask[0].any() and (mask[1:] == 1).all()


def test_resizing_keeps_shapes_ranges_and_equal_sizes():
    photo = torch.rand(8, 12, 3)
    assert resize_image(photo, (12, 8)) is photo and resize_image(photo, (5, 9)).shape == (9, 5, 3)
    masks = torch.zeros(2, 64, 64)
    masks[:, 32, 32] = 1
    small = resize_mask(masks, (8, 8))
    assert small.shape == (2, 8, 8) and 0 < small.max() < 0.1
    assert torch.allclose(small.mean(), masks.mean(), atol=1e-3)


def test_png_round_trip_with_text(tmp_path):
    path = tmp_path / "new" / "p.png"
    save_png(torch.from_numpy(LEVELS) / 255, path, {"comment": "é {}"})
    assert np.array_equal(np.array(Image.open(path)), LEVELS)
    assert Image.open(path).text["comment"] == "é {}"
    save_png(torch.rand(4, 4), path)
    save_png(Image.fromarray(LEVELS), path)
    assert [p.name for p in path.parent.iterdir()] == ["p.png"]


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (torch.full((4, 4, 3), torch.nan), "NaN"),
        (torch.full((4, 4, 3), torch.inf), "infinite"),
        (torch.rand(4, 4, 4), "4 channels"),
        (torch.rand(4, 4), "shape"),
        (torch.rand(2, 4, 4, 3), "one photo"),
        (torch.rand(4, 4, 3) * 255, "divide by 255"),
        (torch.rand(0, 4, 3), "There are no"),
        ("nowhere.png", "no image at nowhere.png"),
        (3, "int"),
    ],
)
def test_bad_photos_are_said(image, says):
    with pytest.raises(IVGError, match=says):
        to_image(image)


@pytest.mark.parametrize(
    ("mask", "says"),
    [(torch.full((4, 4), torch.nan), "NaN"), (torch.rand(3, 4, 4), "one mask"), ("nowhere.png", "no mask at")],
)
def test_bad_masks_are_said(mask, says):
    with pytest.raises(IVGError, match=says):
        to_mask(mask)


def test_broken_files_and_unwritable_places_are_said(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(IVGError, match="cannot be read as a picture"):
        load_image(tmp_path / "text.png")
    save_png(torch.rand(64, 64, 3), tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    with pytest.raises(IVGError, match="cannot be read as a picture"):
        load_image(tmp_path / "half.png")
    with pytest.raises(IVGError, match="could not be written"):
        save_png(torch.rand(4, 4, 3), tmp_path / "text.png" / "below_a_file.png")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "p.png"
    save_png(torch.zeros(4, 4), path)
    old = path.read_bytes()

    class Broken(Image.Image):
        def save(self, fp, format=None, **params):
            fp.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(IVGError, match="No space left"):
        save_png(Broken(), path)
    assert path.read_bytes() == old and len(list(tmp_path.iterdir())) == 1


def test_to_pil_rounds():
    assert to_pil(torch.tensor([[0.5, 1.2, -1.0]])).tobytes() == bytes([128, 255, 0])


def test_a_full_disk_is_said_whoever_writes(tmp_path):
    """safetensors has an error of its own for it, which is no OSError."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(IVGError, match="could not be written"), atomic_write(tmp_path / "w.safetensors") as path:
            save_file({"w": torch.zeros(1000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list(tmp_path.iterdir())


def test_a_picture_that_was_resized_and_stored_with_loss_is_the_same(tmp_path):
    photo = to_image(Scene(1, 192, 128).photo())
    everywhere = torch.ones(128, 192, dtype=torch.bool)
    to_pil(photo).save(tmp_path / "photo.jpg", quality=60)
    assert same_picture(photo, load_image(tmp_path / "photo.jpg"), everywhere)
    assert same_picture(photo, resize_image(photo, (150, 100)), everywhere)


def test_another_moment_of_the_scene_is_another_picture_unless_it_does_not_count():
    scene = Scene(1, 192, 128)
    first, *_, last = (to_image(frame) for frame in scene.clip(scene.tasks[0], num_frames=3).frames)
    where = torch.ones(128, 192, dtype=torch.bool)
    assert not same_picture(first, last, where)
    assert same_picture(first, last, (first == last).all(-1))
    assert same_picture(first, last, ~where)
