"""Errors of the library, as the command line tells them: with the names of its options."""

from pathlib import Path

import pytest
from PIL import Image

from ivg_core.cli import build_parser, main
from ivg_core.commands.words import in_words_of

TINY = Path(__file__).parents[1] / "golden" / "tiny_ckpt"


def said(capsys, *words):
    assert main([str(word) for word in words]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("command", ["generate", "predict-mask"])
def test_a_model_without_stage_1_asks_for_the_option(command, tmp_path, capsys):
    Image.new("RGB", (64, 32), "orange").save(tmp_path / "a.png")
    out = tmp_path / ("a.png" if command == "predict-mask" else "a.gif")
    words = [command, "--model", TINY, "--image", tmp_path / "a.png", "--prompt", "stir", "--out", out]
    assert "load some beside it (--rom-model), or choose" in said(capsys, *words)


def test_options_that_exclude_each_other_go_by_their_names(tmp_path, capsys):
    Image.new("RGB", (64, 32), "orange").save(tmp_path / "a.png")
    words = ["generate", "--image", tmp_path / "a.png", "--prompt", "stir", "--out", tmp_path / "a.gif"]
    told = said(capsys, *words, "--cache-every", 2, "--cache-tolerance", 0.3)
    assert told.startswith("error: --cache-every and --cache-tolerance both say when")
    told = said(capsys, *words, "--parity", "--binarize-mask")
    assert "knows no --binarize-mask, --motion-mode, region, --cache-every or --cache-tolerance" in told
    assert "_" not in told


@pytest.mark.parametrize(
    ("command", "sentence", "wanted"),
    [
        ("generate", "num_frames is 0: more.", "--frames is 0: more."),
        ("how-to", "num_inference_steps is 0.", "--denoising-steps is 0."),
        ("generate", "There is no photo at /a/num_frames/x.png.", "There is no photo at /a/num_frames/x.png."),
        ("generate", "There is no 'num_frames' in num_frames.csv.", "There is no 'num_frames' in num_frames.csv."),
        ("generate", "The seed and the mask are of no use; batch_size is 1.", None),
        ("download", "num_frames is 0: load it beside (rom=…).", None),
    ],
)
def test_what_no_option_is_called_stays(command, sentence, wanted):
    (commands,) = (action for action in build_parser()._actions if hasattr(action, "choices") and action.choices)
    assert in_words_of(commands.choices[command], sentence) == (wanted or sentence)
