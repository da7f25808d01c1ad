"""The dry run as a user starts it, hands found on the fly, and the way from a folder to a trained step."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.hands.tracker import HandTracker
from ivg_core.media.images import save_png
from ivg_core.media.video import write_video
from ivg_core.rom.annotate_folder import annotate_folder
from ivg_core.synthetic.clips import Scene
from ivg_core.training.config import TrainConfig
from ivg_core.training.data.dataset import load_data, survey
from ivg_core.training.data.lists import read_list
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.trainer import train


def drawn_clip(folder, seed=3, size=(384, 256), frames=4):
    """A scene with a hand in it, its caption beside it; gives the exact region of motion."""
    scene = Scene(seed, *size)
    clip = scene.clip(scene.tasks[0], frames)
    write_video(torch.from_numpy(clip.frames).float() / 255, folder / "scene.mp4", 8)
    (folder / "scene.txt").write_text(clip.text)
    return clip


def test_the_dry_run_tells_everything_and_draws_what_it_saw(tmp_path, capsys):
    source = tmp_path / "clips"
    clip = drawn_clip(source)
    (source / "broken.mp4").write_bytes(b"no video")
    (source / "broken.txt").write_text("broken")
    words = ["data-report", str(source), "--masks", "white", "--size", "96x64", "--frames", "3"]
    assert main([*words, "--sheets", str(tmp_path / "sheets"), "--json", str(tmp_path / "report.json")]) == 0
    shown = capsys.readouterr().out
    for words in ("1 clip; 1 rejected", clip.text, "384 x 256, 4 frames", "3 frames of 96 x 64", "broken: ", "100%"):
        assert words in shown
    assert (tmp_path / "sheets" / "scene.png").stat().st_size > 10_000
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["clips"][0]["indices"] == [0, 2, 3] and report["rejected"][0]["name"] == "broken"
    assert main(["data-report", str(tmp_path / "nowhere")]) == 2
    assert "there is nothing at" in capsys.readouterr().err


def test_a_report_of_nothing_usable_is_an_error(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["data-report", str(tmp_path / "empty")]) == 2
    assert "No clip can be trained on: there is none" in capsys.readouterr().err
    drawn_clip(tmp_path / "clips")
    for text in (tmp_path / "clips").glob("*.txt"):
        text.unlink()
    assert main(["data-report", str(tmp_path / "clips"), "--json", str(tmp_path / "r.json")]) == 2
    told = capsys.readouterr()
    assert "all 1 are rejected, see why above" in told.err and "no caption" in told.out
    assert json.loads((tmp_path / "r.json").read_text())["rejected"]
    (tmp_path / "clips.csv").write_text("video,caption\n")
    assert main(["data-report", str(tmp_path / "clips.csv")]) == 2
    assert "clips.csv is no clip: give a folder of clips" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"caption": "stir", "video": "a.mp4", "strat": 0}, "'strat'; did you mean 'start'"),
        ({"text": "stir", "video": "a.mp4"}, "'text'; did you mean 'caption'"),
        ({"caption": "stir", "path": "a.mp4"}, "'path'; did you mean 'video'"),
        ({"caption": "stir", "video": "a.mp4", "verb_class": 3, "narration": "x"}, ""),
    ],
)
def test_a_slip_in_a_list_is_told_and_keys_of_others_pass(tmp_path, entry, said):
    (tmp_path / "list.json").write_text(json.dumps([entry]))
    if said:
        with pytest.raises(IVGError) as error:
            read_list(tmp_path / "list.json")
        assert said in str(error.value)
    else:
        assert read_list(tmp_path / "list.json")[0].caption == "stir"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_odd_names_are_reported(tmp_path, capsys):
    odd = b"caf\xe9".decode(errors="surrogateescape")
    for name in ("持" * 80, "line\nbreak", odd):
        save_png(torch.rand(32, 48, 3), tmp_path / "clips" / f"{name}.png")
    words = ["data-report", tmp_path / "clips", "--masks", "white", "--caption", "cut", "--size", "48x32"]
    assert main([str(word) for word in [*words, "--sheets", tmp_path / "sheets", "--json", tmp_path / "r.json"]]) == 0
    shown = capsys.readouterr().out
    assert "3 clips; 0 rejected" in shown and r"caf\udce9" in shown
    assert len(list((tmp_path / "sheets").iterdir())) == 3


def test_hands_are_found_on_the_fly(tmp_path, tiny_model):
    clip = drawn_clip(tmp_path)
    options = DataSettings(str(tmp_path), masks="hands", width=96, height=64, frames=4)
    data = load_data(options, tiny_model, 1, tmp_path / "cache")
    sample = data.train[0]
    true = torch.from_numpy(clip.rom_mask).float()[None, None]
    true = torch.nn.functional.interpolate(true, (64, 96), mode="area")[0, 0] > 0.5
    found = sample["rom_mask"] > 0.5
    assert found.any() and (found & true).sum() / found.sum() > 0.6  # hands lie within what moves
    with_arms = survey(DataSettings(str(tmp_path), masks="arms", width=96, height=64, frames=4), tiny_model, 2)
    assert with_arms.clips[0].coverage > data.report.clips[0].coverage


@pytest.mark.parametrize("seed", [3, 4])
def test_they_are_found_as_annotate_finds_them(tmp_path, tiny_model, seed):
    drawn_clip(tmp_path / "clips", seed, (192, 128), 9)
    (annotated,) = annotate_folder(tmp_path / "clips", tmp_path / "masks", HandTracker())
    size = {"width": 192, "height": 128, "frames": 3, "buckets": False}
    options = DataSettings(str(tmp_path / "clips"), masks="hands", **size)
    (about,) = survey(options, tiny_model, 2).clips
    assert annotated.outcome == "mask" and about.coverage == pytest.approx(annotated.coverage, abs=1e-3)
    samples = [
        load_data(replace(options, masks=masks), tiny_model, 1, tmp_path / "cache").train[0]
        for masks in ("hands", str(tmp_path / "masks"))
    ]
    assert torch.equal(samples[0]["frame_masks"], samples[1]["frame_masks"])


def test_without_hands_stage_2_moves_everywhere_and_stage_1_says_no(tmp_path, tiny_model):
    write_video(torch.rand(3, 64, 96, 3), tmp_path / "noise.mp4", 8)
    options = DataSettings(str(tmp_path), caption="noise", width=96, height=64, frames=3)
    (about,) = survey(options, tiny_model, 2).clips
    assert about.coverage == 1 and "no hand was found" in about.notes[0]
    (rejected,) = survey(options, tiny_model, 1).rejected
    assert "no hand was found" in rejected.why


def test_a_folder_trains(tmp_path, tiny_model):
    for name, seed in (("a", 1), ("b", 2)):
        rng = torch.Generator().manual_seed(seed)
        write_video(torch.rand(4, 32, 48, 3, generator=rng), tmp_path / "clips" / f"{name}.mp4", 8)
        (tmp_path / "clips" / f"{name}.txt").write_text(name)
        for k in range(4):
            save_png(torch.ones(32, 48), tmp_path / "masks" / name / f"{k}.png")
    settings = DataSettings(
        str(tmp_path / "clips"), masks=str(tmp_path / "masks"), width=48, height=32, frames=4, heldout=1
    )
    for stage in (1, 2):
        data = load_data(settings, tiny_model, stage, tmp_path / "cache")
        config = TrainConfig(stage=stage, steps=2, out=str(tmp_path / f"stage{stage}"), device="cpu")
        done = train(config, tiny_model, data.train, data.heldout)
        assert done.finished and done.path.is_file() and done.history[-1]["heldout"] > 0
