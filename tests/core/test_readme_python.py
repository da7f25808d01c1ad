"""The README's Python examples, run on a drawn scene: they make what the command makes."""

from pathlib import Path

import pytest
import torch

import ivg_core as ivg
from benchmarks.research import readme_python
from ivg_core.cli import main
from ivg_core.evaluate.metrics.pixels import psnr
from ivg_core.media.images import save_png
from ivg_core.media.video import read_video
from ivg_core.sampling.settings import RAW
from ivg_core.synthetic.clips import Scene
from ivg_core.synthetic.dataset import HELD_OUT_SEED


@pytest.fixture
def kitchen(tmp_path, monkeypatch):
    """A folder with kitchen.png, a drawn scene; its sentence and its true clip."""
    scene = Scene(HELD_OUT_SEED)
    task = scene.tasks[0]
    monkeypatch.chdir(tmp_path)
    save_png(torch.from_numpy(scene.photo()).float() / 255, tmp_path / "kitchen.png")
    return task.text, torch.from_numpy(scene.clip(task, 8).frames).float() / 255


def test_the_python_examples_are_as_good_as_the_command(kitchen):
    sentence, truth = kitchen
    text = readme_python()
    shorter = {"julienne the carrot": sentence, "chop the carrot": sentence, "48": "12", " 24:": " 6:"}
    for words, ours in shorter.items():
        assert words in text
        text = text.replace(words, ours)
    short, long = text.split("# longer")
    first, second = short.split("how = ")
    names = {}
    exec(first, names)
    example = names["video"].frames
    Path("frames").mkdir()
    assert main(["generate", "--image", "kitchen.png", "--prompt", sentence, "--out", "frames/v.png"]) == 0
    command = read_video(Path("frames"))[0]
    assert abs(psnr(example, truth) - psnr(command, truth)) < 0.1
    exec(f"how = {second}", names)
    assert psnr(names["video"].frames, truth) > psnr(example, truth) - 1
    exec(f"# longer{long}", names)
    frames = torch.cat(list(names["long"].chunks))
    assert len(frames) == 12 and psnr(frames[:6], truth[:6]) > 15


def test_what_is_left_open_is_as_the_photo_and_the_model_have_it(kitchen, tiny_model):
    photo = torch.rand(64, 96, 3, generator=torch.Generator().manual_seed(0))
    left = (torch.arange(96) < 40).float().expand(64, 96)
    how = {"mask": left, "size": (96, 64), "num_frames": 3, "seed": 0}
    steps = {"num_inference_steps": 2}
    made = {
        name: ivg.generate(tiny_model, photo, "stir", how=sampling, **how).frames
        for name, sampling in {
            "open": ivg.Sampling(**steps),
            "told": ivg.Sampling(keep_first_frame=True, composite=True, **steps),
            "raw": ivg.Sampling(keep_first_frame=False, composite=False, **steps),
            "parity": ivg.Sampling(parity=True, **steps),
        }.items()
    }
    assert torch.equal(made["open"], made["told"])
    torch.testing.assert_close(made["open"][0], photo, atol=1e-6, rtol=0)
    torch.testing.assert_close(made["open"][:, :, 60:], photo[:, 60:].expand(3, -1, -1, -1), atol=1e-6, rtol=0)
    for name in ("raw", "parity"):
        assert (made[name][:, :, 60:] - photo[:, 60:]).abs().mean() > 0.05


@pytest.mark.parametrize(("photo", "masked", "parity"), [(p, m, x) for p in (0, 1) for m in (0, 1) for x in (0, 1)])
def test_who_keeps_what(photo, masked, parity):
    how = ivg.Sampling(parity=bool(parity)).for_scene(bool(photo), bool(masked))
    assert how.keep_first_frame is bool(photo and not parity)
    assert how.composite is bool((photo or masked) and not parity)
    assert RAW.for_scene(bool(photo), bool(masked)) == RAW
