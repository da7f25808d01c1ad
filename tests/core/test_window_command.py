"""`crop-rom` and `stitch-rom`: a window out of a photo, and a video of it back into the photo."""

import pytest
import torch

from ivg_core.cli import main
from ivg_core.media.images import load_image, save_png
from ivg_core.media.video import write_video
from ivg_core.rom.window import Window, read_window

PHOTO = torch.rand(50, 75, 3, generator=torch.Generator().manual_seed(0)).repeat_interleave(2, 0)
MASK = torch.zeros(100, 75)
MASK[40:60, 30:50] = 1


@pytest.fixture
def files(tmp_path):
    save_png(PHOTO, tmp_path / "photo.png")
    save_png(MASK, tmp_path / "mask.png")
    return tmp_path


def run(folder, *words):
    given = ["--image", str(folder / "photo.png"), "--mask", str(folder / "mask.png")]
    return main([*map(str, words), *given])


def test_a_window_goes_out_and_its_video_comes_back(files, capsys):
    size = ["--size", "96x64", "--multiple", 8]
    assert run(files, "crop-rom", *size, "--out", files / "w.png", "--out-mask", files / "m.png") == 0
    assert "fewer tokens" in capsys.readouterr().out
    window = read_window(files / "w.png")
    assert window.picture == (75, 100) and load_image(files / "w.png").shape == (64, 96, 3)
    assert load_image(files / "m.png").shape == (64, 96, 3)
    write_video(load_image(files / "w.png")[None] * torch.tensor([1.0, 0.0])[:, None, None, None], files / "v.png", 8)
    clip = files / "clip"
    clip.mkdir()
    for frame in files.glob("v_*.png"):
        frame.rename(clip / frame.name)
    out = files / "whole.png"
    words = ["--window", files / "w.png", "--feather", 0, "--keep-colours", "--out", out]
    assert run(files, "stitch-rom", clip, *words) == 0
    photo, last = load_image(files / "photo.png"), load_image(files / "whole_0002.png")
    assert torch.equal(last[MASK == 0], photo[MASK == 0]) and (last[MASK == 1] == 0).all()
    assert (load_image(files / "whole_0001.png") - photo).abs().mean() < 0.05


def test_a_video_of_the_whole_photo_goes_into_its_size(files):
    clip = files / "small.mp4"
    write_video(torch.zeros(2, 64, 48, 3), clip, 8)
    assert run(files, "stitch-rom", clip, "--out", files / "whole.webm") == 0
    assert run(files, "stitch-rom", clip, "--feather", 0, "--out", files / "whole.png") == 0
    assert load_image(files / "whole_0001.png").shape == (100, 75, 3)


@pytest.mark.parametrize(
    ("window", "sentence"), [("photo.png", "does not say where it was cut out"), ("none.png", "There is no picture")]
)
def test_a_picture_that_is_no_window(files, capsys, window, sentence):
    clip = files / "small.mp4"
    write_video(torch.zeros(2, 64, 48, 3), clip, 8)
    assert run(files, "stitch-rom", clip, "--window", files / window, "--out", files / "x.mp4") == 2
    assert sentence in capsys.readouterr().err and not (files / "x.mp4").exists()


def test_a_damaged_window_is_refused(files, capsys):
    save_png(PHOTO, files / "w.png", {"ivg_window": '{"left": 3}'})
    write_video(torch.zeros(2, 64, 48, 3), files / "small.mp4", 8)
    assert run(files, "stitch-rom", files / "small.mp4", "--window", files / "w.png", "--out", files / "x.mp4") == 2
    assert "does not say" in capsys.readouterr().err


def test_a_window_of_another_photo_is_refused(files, capsys):
    assert run(files, "crop-rom", "--size", "96x64", "--out", files / "w.png") == 0
    assert isinstance(read_window(files / "w.png"), Window)
    save_png(PHOTO[:50], files / "photo.png")
    write_video(torch.zeros(2, 64, 96, 3), files / "small.mp4", 8)
    assert run(files, "stitch-rom", files / "small.mp4", "--window", files / "w.png", "--out", files / "x.mp4") == 2
    assert "the photo that it was cut out of" in capsys.readouterr().err
