"""Boxes on the command line: `generate` with a bbox.txt or a track, with gates of a file or with SMCD; and `batch`."""

import json
from pathlib import Path

import pytest
import smcd_folder
import torch
from box_gates import opened

from ivg_core.checkpoints.gates import save_gates
from ivg_core.cli import main
from ivg_core.media.images import save_png
from ivg_core.media.track_files import write_track
from ivg_core.media.tracks import Keyframe, Thing, Track
from ivg_core.media.video import read_video
from ivg_core.models.add_gates import with_gates

TINY = Path(__file__).parents[1] / "golden" / "tiny_ckpt"
START, GOAL = (0.25, 0.25, 0.5, 0.75), (0.5, 0.25, 0.75, 0.75)
SMALL = ("--size", "48x32", "--frames", "2", "--steps", "1", "--guidance", "2", "--seed", "1", "--fallback", "white")
FREE = ("--free-first-frame", "--no-composite")


@pytest.fixture
def folder(tmp_path, tiny_model, monkeypatch):
    """A photo, one way of a cup as bbox.txt and as JSON, and gates that do something."""
    monkeypatch.chdir(tmp_path)
    save_png(torch.rand(32, 48, 3, generator=torch.Generator().manual_seed(0)), tmp_path / "photo.png")
    (tmp_path / "bbox.txt").write_text("12,8,24,24\n24,8,36,24\n")
    way = Thing("cup", (Keyframe(0, START), Keyframe(1, GOAL)), "linear")
    write_track(Track((way,)), tmp_path / "cup.json")
    save_gates(opened(with_gates(tiny_model.unet, "boxes")), tmp_path / "gates.safetensors", {})
    return tmp_path


def command(*words, model=TINY):
    return ["generate", "--model", str(model), "--image", "photo.png", "--prompt", "push", *SMALL, *FREE, *words]


def made(name, *words, **model):
    """The two frames of a video."""
    assert main([*command(*words, **model), "--out", f"{name}.png"]) == 0
    return torch.stack([read_video(f"{name}_000{index}.png")[0] for index in (1, 2)])


def test_the_same_way_as_lines_and_as_json(folder):
    gates = ("--boxes-model", "gates.safetensors")
    plain = made("plain", *gates)
    lines = made("lines", *gates, "--boxes", "bbox.txt", "--phrase", "cup")
    assert torch.equal(lines, made("json", *gates, "--boxes", "cup.json"))
    assert not torch.equal(lines, plain)
    assert not torch.equal(lines, made("strong", *gates, "--boxes", "cup.json", "--boxes-scale", "20"))


def test_smcd_with_its_parts_in_another_folder(folder):
    model = smcd_folder.released(folder / "smcd")
    parts = ("--parts", str(smcd_folder.base(folder / "base")))
    boxed = made("boxed", *parts, "--boxes", "bbox.txt", "--phrase", "cup", model=model)
    assert not torch.equal(boxed, made("plain", *parts, model=model))
    more = ("--boxes", "cup.json", "--boxes-scale", "3", "--photo-scale", "2")
    assert not torch.equal(boxed, made("more", *parts, *more, model=model))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--phrase", "cup"), "give them with --boxes"),
        (("--boxes", "cup.json"), "follows no boxes"),
        (("--boxes", "bbox.txt"), "does not say what its boxes are around"),
        (("--boxes-scale", "2"), "there is no box track"),
        (("--photo-scale", "2"), "has never been without its photo"),
        (("--boxes", "none.json"), "none.json"),
        (("--boxes-model", "cup.json"), "holds no gates for boxes"),
    ],
)
def test_what_cannot_be_is_one_sentence(folder, capsys, words, said):
    assert main([*command(*words), "--out", "v.gif"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error and "Traceback" not in error
    assert not (folder / "v.gif").exists()


def test_a_table_has_a_track_for_a_row(folder):
    (folder / "t.csv").write_text(
        "image,prompt,seed,boxes,phrase\n"
        "photo.png,push,1,bbox.txt,cup\n"
        "photo.png,push,1,cup.json,\n"
        "photo.png,push,1,,\n"
        "photo.png,push,1,bbox.txt,\n"
    )
    words = ["batch", "--table", "t.csv", "--model", str(TINY), "--boxes-model", "gates.safetensors", "--out", "out"]
    assert main([*words, *SMALL, "--format", "gif", *FREE]) == 2
    events = [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text().splitlines()]
    lines, as_json, plain = (read_video(folder / "out" / e["file"])[0] for e in events if e["status"] == "done")
    assert torch.equal(lines, as_json) and not torch.equal(lines, plain)
    (failed,) = (event for event in events if event["status"] == "failed")
    assert "does not say what its boxes are around" in failed["error"]
