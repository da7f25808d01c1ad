"""`how-to` on the command line, from the plan to the film."""

import json
from pathlib import Path

import pytest
import torch

from ivg_core.cli import main
from ivg_core.howto.work import resume
from ivg_core.media.images import save_png

TINY = Path(__file__).parents[1] / "golden" / "tiny_ckpt"
QUICK = ["--model", str(TINY), "--fallback", "white", "--frames", "2", "--denoising-steps", "1", "--size", "64x32"]


@pytest.fixture(autouse=True)
def kit(tmp_path, monkeypatch):
    """A photo and a plan of two steps."""
    monkeypatch.chdir(tmp_path)
    save_png(torch.rand(32, 64, 3, generator=torch.Generator().manual_seed(0)), tmp_path / "photo.png")
    (tmp_path / "steps.txt").write_text("# Lunch\n1. Peel the carrot [title Peeling]\n2. Cut it\n")


def how_to(*words):
    return main(["how-to", "--out", "out", *words])


def begun(*words):
    return how_to("--photo", "photo.png", "--steps", "steps.txt", *QUICK, *words)


def test_a_photo_and_a_plan_become_a_film(tmp_path, capsys):
    assert begun() == 0
    said = capsys.readouterr()
    assert "1/2 In the region colours drifted by" in said.out and "2/2 Cut it" in said.err
    for name in ("film.mp4", "film.srt", "sheet.png", "index.html", "steps/01.webp", "steps/02.webp"):
        assert (tmp_path / "out" / name).is_file(), name
    subtitles = (tmp_path / "out" / "film.srt").read_text()
    assert "Peeling" in subtitles and "Cut it" in subtitles
    assert "<h1>Lunch</h1>" in (tmp_path / "out" / "index.html").read_text()


def test_it_goes_on_and_one_step_is_made_again(tmp_path, capsys):
    assert begun() == 0
    first = [state.take.clip for state in resume(tmp_path / "out").states()]
    capsys.readouterr()
    assert how_to(*QUICK) == 0
    assert "1/2" not in capsys.readouterr().err  # nothing was left to make
    assert how_to(*QUICK, "--redo", "1", "--keep-later") == 0
    said = capsys.readouterr()
    assert "1/2 Peel" in said.err and "2/2" not in said.err and "Step 2 is kept" in said.out
    kept = [state.take.clip for state in resume(tmp_path / "out", "keep").states()]
    assert kept[0] != first[0] and kept[1] == first[1]
    assert how_to(*QUICK) == 0
    assert "2/2 Cut it" in capsys.readouterr().err


def test_other_settings_are_told_even_where_nothing_is_left_to_make(capsys):
    assert begun() == 0
    assert begun("--motion", "9") == 2
    assert "out/made was begun with other settings (--motion: 5.0 → 9.0)" in capsys.readouterr().err
    assert begun("--lora-spatial", "0.5") == 2
    assert "--lora-spatial: 1.0 → 0.5" in capsys.readouterr().err


def test_the_plan_is_shown_and_nothing_is_made(tmp_path, capsys):
    assert how_to("--steps", "steps.txt", "--only-plan") == 0
    assert capsys.readouterr().out == "# Lunch\n\n1. Peel the carrot [title Peeling]\n2. Cut it\n"
    assert not (tmp_path / "out").exists()
    (tmp_path / "steps.txt").write_text(json.dumps([{"action": "Cut (4 s)"}]))
    assert how_to("--steps", "steps.txt", "--only-plan") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == [{"action": "Cut (4 s)"}]


def test_the_films_options(tmp_path):
    words = ["--title", "Tea", "--film-fps", "8", "--title-seconds", "1", "--hold", "0", "--fade", "0", "--burn"]
    assert begun(*words, "--speed", "0.25", "0.5", "--size", "192x96") == 0
    assert not (tmp_path / "out" / "film.srt").exists()  # the captions are in the picture
    text = (tmp_path / "out" / "captions.srt").read_text()
    assert "00:00:01,000 --> 00:00:02,000" in text and "00:00:02,000 --> 00:00:02,500" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "No how-to was begun in out"),
        (["--steps", "steps.txt"], "There is no photo at out/photo.png"),
        (["--photo", "photo.png"], "There is a photo and no plan"),
        (["--photo", "photo.png", "--steps", "none.txt"], "none.txt"),
        (["--photo", "steps.txt", "--steps", "steps.txt"], "cannot be read as a picture"),
        (["--photo", "photo.png", "--steps", "steps.txt", "--redo", "3"], "no step 3 to make again"),
        (["--photo", "photo.png", "--steps", "steps.txt", "--parity"], "leave out --parity"),
        (["--photo", "photo.png", "--steps", "steps.txt", *QUICK, "--speed", "1", "2", "3"], "3 speeds for 2 steps"),
        (["--photo", "photo.png", "--steps", "steps.txt", *QUICK, "--burn", "--font", "x.ttf"], "x.ttf"),
        (["--photo", "photo.png", "--steps", "steps.txt", "--vlm", "a", "--server", "http://b"], "not both"),
    ],
)
def test_bad_input_is_told_before_the_work(tmp_path, capsys, words, said):
    assert how_to(*words) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not list(tmp_path.rglob("*.mp4"))


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("", "The plan has no steps"),
        ("\n".join(f"{n}. Stir" for n in range(1, 201)), "200 steps, and at most 100"),
        ("1. Stir\n2. " + "word " * 500, "500 words, and at most 100"),
        ("1. Stir\n1. Cut", "1"),
        ("1. Stir [mask none.png]", "there is no mask at"),
        ("1. Stir [image none.png]", "there is no photo at"),
    ],
)
def test_a_bad_plan_is_told_before_the_work(tmp_path, capsys, plan, said):
    (tmp_path / "steps.txt").write_text(plan)
    assert begun() == 2
    told = capsys.readouterr().err
    assert said in told and told.startswith("error: ") and told.count("\n") == 1


def test_a_step_whose_mask_is_empty(tmp_path, capsys):
    save_png(torch.zeros(32, 64), tmp_path / "black.png")
    (tmp_path / "steps.txt").write_text("1. Stir\n2. Cut [mask black.png]\n3. Wipe")
    assert begun() == 2
    assert "error: Step 2: The mask is empty" in capsys.readouterr().err
    (tmp_path / "steps.txt").write_text("1. Stir\n2. Cut\n3. Wipe")
    assert begun() == 0  # goes on with step 2
    assert "1/3" not in capsys.readouterr().err
