"""The command line, run as people run it."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ivg_core.cli import build_parser, main
from ivg_core.media.images import load_image, load_mask
from ivg_core.media.video import read_video

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = ["--model", str(GOLDEN / "tiny_ckpt")]
LORA = GOLDEN / "lora_cloneofsimo_r2.pt"
SCENE = ["--image", str(GOLDEN / "input.png"), "--prompt", "the person holds the carrot"]


def run(*words) -> int:
    return main([str(word) for word in words])


def test_generate_with_a_mask(tmp_path):
    out, sheet = tmp_path / "v.mp4", tmp_path / "sheet.png"
    mask = GOLDEN / "input_mask.png"
    words = [*TINY, *SCENE, "--mask", mask, "--size", "64x32", "--frames", "3", "--steps", "2"]
    assert run("generate", *words, "--out", out, "--sheet", sheet) == 0
    frames, fps = read_video(out)
    assert frames.shape == (3, 32, 64, 3) and fps == 8
    assert load_image(sheet).shape[1] > 500


def test_a_lora_changes_the_video_and_eight_bits_hardly_do(tmp_path):
    words = [*TINY, *SCENE, "--mask", GOLDEN / "input_mask.png", "--size", "64x32", "--frames", "2", "--steps", "2"]

    def made(name, *more):
        whole = ["--free-first-frame", "--no-composite", "--guidance", "1"]
        assert run("generate", *words, *whole, *more, "--out", tmp_path / name / "1.png") == 0
        return load_image(next((tmp_path / name).iterdir()))

    plain, adapted, eight = made("plain"), made("lora", "--lora", LORA), made("float8", "--float8")
    assert plain.equal(made("zero", "--lora", LORA, "--lora-strength", "0"))
    assert not plain.equal(adapted) and not plain.equal(made("lcm", "--solver", "lcm"))
    assert 0 < (plain - eight).abs().mean() < 0.05


def test_without_stage1_the_fallbacks_are_named(tmp_path, capsys):
    assert run("generate", *TINY, *SCENE, "--out", tmp_path / "v.mp4") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "white" in said and "prior" in said
    assert not list(tmp_path.iterdir())


def test_white_fallback_is_chosen_by_name(tmp_path):
    words = [*TINY, *SCENE, "--fallback", "white", "--size", "64x32", "--frames", "2", "--steps", "1"]
    assert run("generate", *words, "--out", tmp_path / "v.gif") == 0
    assert read_video(tmp_path / "v.gif")[0].shape == (2, 32, 64, 3)


def test_prior_needs_masks(tmp_path, capsys):
    assert run("generate", *TINY, *SCENE, "--fallback", "prior", "--out", tmp_path / "v.mp4") == 2
    assert "--prior-masks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--image", "missing.png"], "missing.png"),
        (["--size", "100x64"], "96 x 64"),
        (["--steps", "0"], "--steps: 0 cannot"),
        (["--frames", "0"], "--frames: 0 cannot"),
        (["--fps", "0"], "--fps: 0.0 cannot"),
        (["--model", "nowhere"], "nowhere"),
        (["--out", str(GOLDEN / "input.png" / "v.mp4")], "input.png"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, capsys, words, hint):
    common = [*TINY, *SCENE, "--fallback", "white", "--frames", "2", "--steps", "1", "--size", "64x32"]
    assert run("generate", *common, "--out", tmp_path / "v.mp4", *words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("error: ") and hint in said[-1]
    assert not list(tmp_path.iterdir())


def test_refine_mask(tmp_path):
    out = tmp_path / "deeper" / "mask.png"
    shares = ("--unit", "thousandths", "--grow", 3000 / load_mask(GOLDEN / "input_mask.png").shape[1])
    assert run("refine-mask", GOLDEN / "input_mask.png", *shares, "--out", out) == 0
    in_shares = load_mask(out)
    assert run("refine-mask", GOLDEN / "input_mask.png", "--grow", 3, "--out", out) == 0
    assert torch.equal(load_mask(out), in_shares)
    before, after = load_mask(GOLDEN / "input_mask.png"), load_mask(out)
    assert after.shape == before.shape and after.mean() > before.mean()


def test_synth_writes_the_released_layout(tmp_path):
    assert run("synth", "--out", tmp_path, "--scenes", 2, "--size", "96x64", "--frames", 2) == 0
    lines = [json.loads(line) for line in (tmp_path / "prompt.json").read_text().splitlines()]
    assert len(lines) == 2
    for line in lines:
        assert load_image(tmp_path / line["source"]).shape == (64, 96, 3)
        assert read_video(tmp_path / line["target"])[0].shape == (2, 64, 96, 3)
    captions = json.loads((tmp_path / "captions.json").read_text())
    assert (tmp_path / "target" / captions[0]["video"]).exists()


def test_info(capsys):
    assert run("info", GOLDEN / "tiny_ckpt") == 0
    said = capsys.readouterr().out
    assert "2,025,412 parameters" in said and "licence" in said


def test_help_names_every_command():
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    said = subprocess.run([sys.executable, "-m", "ivg_core", "--help"], capture_output=True, text=True, env=environment)
    for command in ("demo", "generate", "predict-mask", "refine-mask", "synth", "info"):
        assert command in said.stdout


def test_help_tells_each_default_once():
    (commands,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    told = {name: " ".join(parser.format_help().split()) for name, parser in commands.choices.items()}
    assert len(told) > 20 and "(default: 0.5)" in told["generate"]
    for name, text in told.items():
        assert not re.search(r"\(default: (None|False)\)|\(default[^)]*\) \(default", text), name
