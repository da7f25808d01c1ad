"""Videos written and read back in every format, and the contact sheet."""

import json
import subprocess

import imageio_ffmpeg
import pytest
import torch
from PIL import Image

from ivg_core.errors import IVGError
from ivg_core.media.contact_sheet import contact_sheet
from ivg_core.media.video import read_video, write_video


def clip(frames=5, height=32, width=48):
    """A soft gradient whose blue grows from frame to frame."""
    y = torch.linspace(0.1, 0.9, height)[None, :, None].expand(frames, height, width)
    x = torch.linspace(0.1, 0.9, width)[None, None].expand(frames, height, width)
    t = torch.linspace(0.1, 0.9, frames)[:, None, None].expand(frames, height, width)
    return torch.stack([y, x, t], dim=-1)  # (F, H, W, 3)


@pytest.mark.parametrize(("ending", "closeness"), [(".mp4", 0.02), (".webm", 0.02), (".gif", 0.08)])
def test_what_is_written_is_read_back(ending, closeness, tmp_path):
    path = write_video(clip(), tmp_path / "new" / f"v{ending}", fps=10)
    frames, fps = read_video(path)
    assert frames.shape == (5, 32, 48, 3) and fps == pytest.approx(10)
    assert (frames - clip()).abs().mean() < closeness
    assert [p.name for p in path.parent.iterdir()] == [f"v{ending}"]


def test_numbered_pngs(tmp_path):
    first = write_video(clip(3), tmp_path / "v.png", fps=8, metadata={"seed": 1})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v_0001.png", "v_0002.png", "v_0003.png"]
    assert json.loads(Image.open(first).text["comment"]) == {"seed": 1}


@pytest.mark.parametrize(("ending", "size"), [(".mp4", (34, 22)), (".webm", (34, 22)), (".gif", (33, 21))])
def test_odd_sides_repeat_their_edge_where_the_format_needs_it(ending, size, tmp_path):
    source = clip(2, height=21, width=33)
    frames, _ = read_video(write_video(source, tmp_path / f"v{ending}", fps=8))
    assert (frames.shape[2], frames.shape[1]) == size
    assert (frames[:, :21, :33] - source).abs().mean() < 0.1


def test_one_frame_is_a_video(tmp_path):
    frames, _ = read_video(write_video(clip(1), tmp_path / "v.mp4", fps=8))
    assert frames.shape[0] == 1


@pytest.mark.parametrize("length", [1, 255, 700])
def test_a_gif_keeps_it_too_and_stays_the_same_clip(tmp_path, length):
    said = {"action": "é" * length, "seed": 7}
    frames = clip(3)
    path = write_video(frames, tmp_path / "v.gif", fps=8, metadata=said)
    with Image.open(path) as picture:
        assert json.loads(picture.info["comment"]) == said
    bare = write_video(frames, tmp_path / "bare.gif", fps=8)
    assert torch.equal(read_video(path)[0], read_video(bare)[0]) and b"\x21\xfe" not in bare.read_bytes()[:13]


def test_metadata_travels_in_the_comment(tmp_path):
    path = write_video(clip(2), tmp_path / "v.mp4", fps=8, metadata={"action": "stir; cut = 'é'\nnow", "seed": 7})
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", path, "-f", "ffmetadata", "-"]
    text = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    comment = next(line for line in text.splitlines() if line.startswith("comment=")).removeprefix("comment=")
    comment = comment.replace("\\=", "=").replace("\\;", ";").replace("\\#", "#").replace("\\\\", "\\")
    assert json.loads(comment) == {"action": "stir; cut = 'é'\nnow", "seed": 7}


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1000])
def test_impossible_frame_rates_are_said(fps, tmp_path):
    with pytest.raises(IVGError, match="frames a second"):
        write_video(clip(2), tmp_path / "v.mp4", fps=fps)


def test_bad_frames_endings_and_places_are_said(tmp_path):
    with pytest.raises(IVGError, match="shape"):
        write_video(torch.rand(2, 8, 8), tmp_path / "v.mp4", fps=8)
    with pytest.raises(IVGError, match=r"\.mp4.*\.gif"):
        write_video(clip(2), tmp_path / "v.xyz", fps=8)
    (tmp_path / "file").touch()
    with pytest.raises(IVGError, match="file is a file"):
        write_video(clip(2), tmp_path / "file" / "v.mp4", fps=8)
    (tmp_path / "taken.mp4").mkdir()
    with pytest.raises(IVGError, match=r"taken\.mp4 is a folder"):
        write_video(clip(2), tmp_path / "taken.mp4", fps=8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken.mp4"]


def test_a_failing_encoder_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("ivg_core.media.video").media.video.ENCODERS, ".mp4", {"c:v": "no_such_codec"})
    with pytest.raises(IVGError, match="could not be written"):
        write_video(clip(2), tmp_path / "v.mp4", fps=8)
    assert not list(tmp_path.iterdir())


def test_what_is_no_video_is_said(tmp_path):
    with pytest.raises(IVGError, match="no video at"):
        read_video(tmp_path / "nowhere.mp4")
    (tmp_path / "v.mp4").write_text("not a video")
    with pytest.raises(IVGError, match="cannot be read as a video"):
        read_video(tmp_path / "v.mp4")


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 32, 48), (8, 64, 32), (40, 16, 16)])
def test_contact_sheet_holds_everything(frames, height, width):
    mask = torch.zeros(20, 30)
    mask[5:15, 5:15] = 1
    photo = torch.full((40, 60, 3), 0.5)
    sheet = contact_sheet(clip(frames, height, width), mask, photo, "the person stirs the pan " * 8)
    colours = {colour for _, colour in sheet.getcolors(1 << 24)}
    assert (255, 48, 64) in colours, "the outline is drawn"
    assert 900 < sheet.width < 1100 and sheet.height > 400
