"""Reading clips: the right frames of every kind of file, damaged ones named, memory bounded."""

import os
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from ivg_core.errors import IVGError
from ivg_core.evaluate.clips import ClipFiles, load_clip
from ivg_core.media.clips import MemoryClip, open_media
from ivg_core.media.files import pictures_in
from ivg_core.media.images import load_image, load_mask, save_png
from ivg_core.media.video import read_video, write_video
from ivg_core.rom.annotate_video import _pieces
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.data.sources import find_training_clips


def counting(frames: int, size=(48, 32)) -> torch.Tensor:
    """A clip whose frame k is a grey that tells k."""
    return torch.stack([torch.full((size[1], size[0], 3), (k + 1) / (frames + 2)) for k in range(frames)])


def ffmpeg(*words: str) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *words], check=True)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a"])
@pytest.mark.parametrize(("frames", "fps"), [(2, 8), (7, 0.5), (19, 29.97), (30, 50)])
def test_every_frame_is_counted_once_and_found_again(tmp_path, name, frames, fps):
    clip = counting(frames)
    if name == "a":
        for k, frame in enumerate(clip):
            save_png(frame, tmp_path / "a" / f"frame {k + 1}.png")  # 10 comes after 9
    else:
        write_video(clip, tmp_path / name, fps)
    media = open_media(tmp_path / name)
    facts = media.facts()
    assert (facts.width, facts.height, facts.frames) == (48, 32, frames)
    if name.endswith(("mp4", "webm")):
        assert facts.fps == pytest.approx(fps, abs=0.01)
    wanted = sorted({0, frames // 3, frames // 2, frames - 1})
    read = np.stack(list(media.read(wanted)))
    assert np.abs(read.mean((1, 2, 3)) - 255 * clip[wanted].mean((1, 2, 3)).numpy()).max() < 3
    assert len(list(media.read([0, 0, 1]))) == 3


def test_a_clip_in_memory_reads_like_its_file(tmp_path):
    clip = counting(5)
    media = MemoryClip(clip, 8)
    assert media.facts().frames == 5
    assert [int(frame[0, 0, 0]) for frame in media.read([1, 3])] == [round(255 * 2 / 7), round(255 * 4 / 7)]
    assert media.identity() == MemoryClip(clip.clone(), 8).identity() != MemoryClip(clip.flip(0), 8).identity()


def test_a_phone_that_was_held_upright(tmp_path):
    write_video(counting(4), tmp_path / "lying.mp4", 8)
    upright = tmp_path / "upright.mp4"
    ffmpeg("-display_rotation", "90", "-i", str(tmp_path / "lying.mp4"), "-c", "copy", str(upright))
    facts = open_media(upright).facts()
    assert (facts.width, facts.height) == (32, 48)
    assert next(iter(open_media(upright).read([2]))).shape == (48, 32, 3)


@pytest.fixture
def odd_clips(tmp_path):
    """Twelve frames whose rate is not steady, whose pixels are 4:3, and both of it, held upright."""
    write_video(counting(12), tmp_path / "even.mp4", 10)
    stumbling = "setpts='(N+if(gte(N,4),10,0)+if(gte(N,8),5,0))/10/TB'"
    for name, video_filter in (
        ("uneven", stumbling),
        ("wide", "setsar=4/3"),
        ("both", f"{stumbling},setsar=4/3"),
    ):
        made = tmp_path / f"{name}.mp4"
        ffmpeg("-i", str(tmp_path / "even.mp4"), "-vf", video_filter, "-fps_mode", "vfr", str(made))
    upright = ["-display_rotation", "90", "-i", str(tmp_path / "both.mp4"), "-c", "copy"]
    ffmpeg(*upright, str(tmp_path / "upright.mp4"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "width", "height"),
    [("even", 48, 32), ("uneven", 48, 32), ("wide", 64, 32), ("both", 64, 32), ("upright", 32, 64)],
)
def test_whoever_reads_a_clip_sees_each_frame_once_and_in_its_shape(odd_clips, name, width, height):
    path = odd_clips / f"{name}.mp4"
    facts = open_media(path).facts()
    assert (facts.width, facts.height, facts.frames) == (width, height, 12)
    whole, fps = read_video(path)
    assert fps == facts.fps == open_media(path).fps
    piecewise = torch.cat(list(_pieces(path)))
    compared = load_clip(ClipFiles("odd", path, truth=path))
    (given,) = find_training_clips(DataSettings(str(path), caption="move", masks="white")).clips
    trained_on = torch.from_numpy(np.stack(list(given.media.read(range(12))))).float() / 255
    assert whole.shape == (12, height, width, 3)
    for frames in (piecewise, compared.frames, trained_on):
        assert torch.equal(frames, whole)
    assert torch.equal(compared.truth, whole[1:])
    assert (whole.mean((1, 2, 3)) - counting(12).mean((1, 2, 3))).abs().max() < 0.012


def test_many_scattered_frames_are_found(tmp_path):
    media = open_media(write_video(counting(250, (16, 16)), tmp_path / "long.mp4", 25))
    wanted = list(range(0, 250, 2))
    greys = np.array([frame.mean() for frame in media.read(wanted)])
    assert np.abs(greys - 255 * (np.array(wanted) + 1) / 252).max() < 3


def test_films_are_looked_at_in_so_many_moments(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("ivg_core.evaluate.clips.MOST_FRAMES", 5)
    film = write_video(counting(21), tmp_path / "film.mp4", 8)
    clip = load_clip(ClipFiles("film", film, truth=film))
    assert len(clip.frames) == 5 and torch.equal(clip.frames, read_video(film)[0][::5])
    assert "film has 21 frames to compare: 5 of them are" in caplog.text


def test_a_file_that_ends_early_gives_what_it_has(tmp_path):
    rng = torch.Generator().manual_seed(0)
    whole = write_video(torch.rand(40, 64, 64, 3, generator=rng), tmp_path / "whole.webm", 8)
    data = whole.read_bytes()
    (tmp_path / "cut.webm").write_bytes(data[: len(data) // 2])
    media = open_media(tmp_path / "cut.webm")
    frames = media.facts().frames
    assert 2 <= frames < 40
    assert len(list(media.read([0, frames - 1]))) == 2


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.mp4", b"no video at all", "cannot be read as a video"),
        ("a.mp4", b"", "cannot be read as a video"),
        ("a.gif", b"GIF89a", "cannot be read as a GIF"),
        ("a.xyz", b"?", "is no clip"),
    ],
)
def test_what_is_no_clip_is_named(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(IVGError, match=sentence) as error:
        open_media(tmp_path / name).facts()
    assert name in str(error.value)


@pytest.fixture
def gif(tmp_path):
    rng = torch.Generator().manual_seed(0)
    return write_video(torch.rand(3, 24, 32, 3, generator=rng), tmp_path / "a.gif", 8)


def test_a_gif_that_claims_a_huge_size_is_one_sentence(gif, monkeypatch):
    data = bytearray(gif.read_bytes())
    data[6:10] = b"\xff" * 4
    gif.write_bytes(data)
    for most in (Image.MAX_IMAGE_PIXELS, None):  # others in the same process lift PIL's limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        for read in (load_image, lambda path: open_media(path).facts(), lambda path: list(open_media(path).read())):
            with pytest.raises(IVGError, match="pixels"):
                read(gif)


def test_a_damaged_gif_gives_its_frames_or_one_sentence(gif):
    whole, rng = gif.read_bytes(), np.random.default_rng(0)
    for number in range(300):
        data = bytearray(whole[: rng.integers(len(whole))] if number % 2 else whole)
        for place in rng.integers(10, min(len(data), 1000), 3) if len(data) > 10 else ():
            data[place] = rng.integers(256)
        gif.write_bytes(data)
        for read in (load_image, lambda path: open_media(path).facts(), lambda path: list(open_media(path).read())):
            try:
                read(gif)
            except IVGError as error:
                assert "a.gif" in str(error)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders")
def test_a_pipe_among_the_pictures_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "1.png")
    for read in (load_image, load_mask, lambda path: open_media(path.parent).facts()):
        with pytest.raises(IVGError, match="is no file"):
            read(tmp_path / "1.png")


def test_one_picture_is_a_clip_of_one_frame(tmp_path):
    save_png(torch.full((8, 12, 3), 0.5), tmp_path / "a.png")
    media = open_media(tmp_path / "a.png")
    assert (media.facts().width, media.facts().height, media.facts().frames) == (12, 8, 1)
    assert len(list(media.read([0, 0]))) == 2 and "a.png" in media.identity()


def test_pictures_with_odd_digits_have_an_order(tmp_path):
    for name in ("10", "9", "²", "1²"):
        save_png(torch.zeros(8, 8, 3), tmp_path / f"{name}.png")
    assert [path.stem for path in pictures_in(tmp_path)] == ["1²", "9", "10", "²"]


def test_missing_empty_and_uneven_ones_are_named(tmp_path):
    with pytest.raises(IVGError, match=r"no video at .*gone\.mp4"):
        open_media(tmp_path / "gone.mp4")
    with pytest.raises(IVGError, match="holds no pictures"):
        open_media(tmp_path).facts()
    save_png(torch.zeros(8, 8, 3), tmp_path / "1.png")
    save_png(torch.zeros(8, 9, 3), tmp_path / "2.png")
    with pytest.raises(IVGError, match=r"2\.png has another size"):
        list(open_media(tmp_path).read([0, 1]))


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    path = tmp_path_factory.mktemp("big") / "big.mp4"
    lines = ["-f", "lavfi", "-i", "testsrc2=s=3840x2160:r=8:d=3", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    ffmpeg(*lines, str(path))
    return path


CUT = """
from ivg_core.training.data.transform import cover
media = open_media(path)
facts = media.facts()
cut = cover((facts.width, facts.height), (256, 144))
print(facts.frames, np.stack([cut(frame) for frame in media.read(range(0, 24, 2))]).shape)
"""
# A frame as floats is 95 MiB; all twelve would be 1140.
COMPARE = """
from ivg_core.evaluate.clips import *
facts = open_media(path).facts()
print(facts.frames, read_frames(open_media(path), range(0, 24, 2), (256, 144)).numpy().shape)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
@pytest.mark.parametrize(("work", "most"), [(CUT, 110), (COMPARE, 700)])
def test_a_4k_clip_needs_the_memory_of_few_frames(big, work, most):
    code = f"""
import resource, sys
sys.path[:0] = {sys.path!r}
import numpy as np
from pathlib import Path
from ivg_core.media.clips import open_media
path = Path({str(big)!r})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{work}
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("24 (12, 144, 256, 3)")
    # A frame is 24 MiB, and is there as bytes and while it is put together; all twelve would be 285.
    assert float(done.stdout.split()[-1]) < most
