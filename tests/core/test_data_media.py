"""Reading clips: the right frames of every kind of file, damaged ones named, memory bounded."""

import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import pytest
import torch

from ivg_core.errors import IVGError
from ivg_core.media.clips import MemoryClip, open_media
from ivg_core.media.images import save_png
from ivg_core.media.video import read_video, write_video


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


def test_unsteady_rates_lose_no_frames(tmp_path):
    write_video(counting(12), tmp_path / "even.mp4", 10)
    uneven = tmp_path / "uneven.mkv"
    ffmpeg(
        "-i",
        str(tmp_path / "even.mp4"),
        "-vf",
        "select='not(eq(n,3)+eq(n,4)+eq(n,5))'",
        "-fps_mode",
        "vfr",
        str(uneven),
    )
    media = open_media(uneven)
    assert media.facts().frames == 9
    greys = [frame.mean() for frame in media.read(range(9))]
    assert greys == sorted(greys) and len(set(greys)) == 9


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


def test_missing_empty_and_uneven_ones_are_named(tmp_path):
    with pytest.raises(IVGError, match=r"no video at .*gone\.mp4"):
        open_media(tmp_path / "gone.mp4")
    with pytest.raises(IVGError, match="holds no pictures"):
        open_media(tmp_path).facts()
    save_png(torch.zeros(8, 8, 3), tmp_path / "1.png")
    save_png(torch.zeros(8, 9, 3), tmp_path / "2.png")
    with pytest.raises(IVGError, match=r"2\.png has another size"):
        list(open_media(tmp_path).read([0, 1]))


def test_a_4k_clip_needs_the_memory_of_one_frame(tmp_path):
    big = tmp_path / "big.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=3840x2160:r=8:d=3", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(big))
    code = f"""
import resource, sys
sys.path[:0] = {sys.path!r}
import numpy as np
from pathlib import Path
from ivg_core.media.clips import open_media
from ivg_core.training.data.transform import cover
media = open_media(Path({str(big)!r}))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
facts = media.facts()
cut = cover((facts.width, facts.height), (256, 144))
frames = np.stack([cut(frame) for frame in media.read(range(0, 24, 2))])
print(facts.frames, frames.shape, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("24 (12, 144, 256, 3)")
    # a frame is 24 MiB, and is there as bytes and while it is put together; all twelve would be 285
    assert float(done.stdout.split()[-1]) < 110


def test_it_agrees_with_the_whole_file_reader(tmp_path):
    path = write_video(torch.rand(9, 32, 48, 3, generator=torch.Generator().manual_seed(1)), tmp_path / "a.mp4", 8)
    frames, _ = read_video(path)
    read = np.stack(list(open_media(path).read(range(9))))
    assert (read == (frames * 255).round().byte().numpy()).all()
