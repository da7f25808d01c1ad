"""`ivg invert` and `ivg generate --noise-prior`."""

from pathlib import Path

import pytest
import torch

from ivg_core.cli import main
from ivg_core.media.clips import MemoryClip, open_media, some_frames
from ivg_core.media.video import read_video, write_video
from ivg_core.sampling.invert import load_inverted

MODEL = ["--model", str(Path(__file__).parents[1] / "golden" / "motiondirector" / "training" / "model")]
SMALL = ["--size", "80x64", "--frames", "3"]


@pytest.fixture
def clip(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    frames = torch.rand(9, 64, 80, 3, generator=torch.Generator().manual_seed(0))
    return write_video(frames, tmp_path / "clip.mp4", 8)


def generated(tmp_path, name, *words):
    out = tmp_path / f"{name}.png"
    common = ["--prompt", "a dog runs", *SMALL, "--steps", "2", "--out", str(out)]
    assert main(["generate", *MODEL, *common, *map(str, words)]) == 0
    return torch.stack([read_video(tmp_path / f"{name}_{i:04d}.png")[0] for i in (1, 2, 3)])


@pytest.mark.parametrize(
    ("frames", "fps", "chosen"), [(3, None, [0, 4, 8]), (20, None, range(9)), (3, 4.0, [0, 2, 4]), (9, 2.0, [0, 4, 8])]
)
def test_frames_of_a_clip(frames, fps, chosen):
    grey = (torch.arange(9.0) / 9)[:, None, None, None].expand(9, 8, 8, 3)
    found = some_frames(MemoryClip(grey, 8.0), frames, fps)
    torch.testing.assert_close(found, grey[list(chosen)], atol=1 / 255, rtol=0)


def test_a_clip_becomes_a_file_and_the_file_a_prior(clip, tmp_path, capsys):
    out = tmp_path / "noise.safetensors"
    assert main(["invert", str(clip), *MODEL, *SMALL, "--steps", "2", "--prompt", "a dog", "--out", str(out)]) == 0
    found = load_inverted(out)
    assert found.latents.shape == (4, 3, 8, 10) and (found.steps, found.prompt, found.size) == (2, "a dog", (80, 64))
    assert "inversion: step 2/2" in capsys.readouterr().err
    whole = generated(tmp_path, "whole", "--noise-prior", out, "--noise-prior-strength", "1", "--seed", "1")
    again = generated(tmp_path, "again", "--noise-prior", out, "--noise-prior-strength", "1", "--seed", "2")
    assert torch.equal(whole, again)
    off = generated(tmp_path, "off", "--noise-prior", out, "--noise-prior-strength", "0")
    assert torch.equal(off, generated(tmp_path, "without")) and not torch.equal(off, whole)


def test_a_clip_is_inverted_on_the_way_once(clip, tmp_path, capsys):
    one = generated(tmp_path, "one", "--noise-prior", clip)
    assert "inversion: step 50/50" in capsys.readouterr().err
    assert len(list((tmp_path / "cache" / "comfy-ivg" / "inverted").iterdir())) == 1
    other = generated(tmp_path, "other", "--noise-prior", clip)
    assert "inversion" not in capsys.readouterr().err
    assert torch.equal(one, other) and not torch.equal(one, generated(tmp_path, "without"))


def test_what_is_no_clip(clip, tmp_path, capsys):
    still = write_video(torch.rand(1, 64, 80, 3), tmp_path / "still.mp4", 8)
    assert main(["invert", str(still), *MODEL, *SMALL, "--out", str(tmp_path / "x.safetensors")]) == 2
    assert "has one frame" in capsys.readouterr().err
    assert main(["invert", str(tmp_path / "no.mp4"), *MODEL, "--out", str(tmp_path / "x.safetensors")]) == 2
    assert "There is no video" in capsys.readouterr().err
    assert open_media(clip).facts().frames == 9 and not (tmp_path / "x.safetensors").exists()
