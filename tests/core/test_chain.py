"""Chains of stretches, masks predicted for each sentence, inversion over windows, long videos by command."""

from dataclasses import replace

import pytest
import torch

from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.sampling import chain
from ivg_core.sampling.chain import generate_chain, predict_regions
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.generate import Generated, Sampling
from ivg_core.sampling.invert import invert
from ivg_core.sampling.predict import RoM
from ivg_core.sampling.prompts import read_schedule

PHOTO = torch.rand(16, 24, 3, generator=torch.Generator().manual_seed(0))
SCHEDULE = read_schedule("0: chop\n20: stir")


def test_each_link_begins_with_the_last_frame_of_the_one_before(tiny_model, monkeypatch):
    asked, looked = [], []

    def made(model, image, action, *, num_frames, seed, mask, **options):
        asked.append((action, num_frames, seed, mask, image.mean().item(), options))
        return Generated(torch.full((num_frames, 16, 24, 3), len(asked) / 10), torch.zeros(1), torch.zeros(1), seed)

    monkeypatch.setattr(chain, "generate", made)
    own = 16
    model = replace(tiny_model, defaults=replace(tiny_model.defaults, num_frames=own))
    frames = generate_chain(
        model, torch.zeros(16, 24, 3), SCHEDULE.with_masks([None, "second"]), num_frames=25, seed=7,
        find_mask=lambda photo, sentence: looked.append((photo.mean().item(), sentence)) or "found", size=(24, 16),
    )  # fmt: skip
    assert [row[:4] for row in asked] == [
        ("chop", own, 7, "found"), ("chop", 21 - own, 8, "found"), ("stir", 6, 9, "second"),
    ]  # fmt: skip
    assert [row[4] for row in asked] == pytest.approx([0, 0.1, 0.2]) and asked[0][5] == {"size": (24, 16)}
    assert looked == [(0, "chop"), (pytest.approx(0.1), "chop")]
    shown = [0.1] * own + [0.2] * (20 - own) + [0.3] * 5
    assert frames[:, 0, 0, 0].tolist() == pytest.approx(shown)
    assert [length for _, length in chain._links(read_schedule("0: a"), 12, 4)] == [4, 3, 3, 2]


def test_a_region_for_each_sentence_that_has_none(tiny_model, monkeypatch):
    found = torch.ones(16, 24)
    monkeypatch.setattr(chain, "predict_rom", lambda model, image, action, seed: RoM(found, found[None], found))
    given = torch.zeros(16, 24)
    masks = predict_regions(tiny_model, PHOTO, SCHEDULE.with_masks([given, None]), seed=1).masks
    assert masks[0] is given and masks[1] is found
    found = torch.zeros(16, 24)
    with pytest.raises(IVGError, match='mask is empty for "stir"'):
        predict_regions(tiny_model, PHOTO, SCHEDULE.with_masks([given, None]), seed=1)


def test_a_chain_on_the_command_line(golden, tmp_path, monkeypatch, capsys):
    asked = []

    def made(model, image, action, *, num_frames, find_mask, mask, seed, how, **options):
        asked.append((action.sentences, num_frames, mask, seed, how.composite))
        return torch.full((num_frames, 16, 24, 3), float(find_mask(image, "chop").mean()))

    monkeypatch.setattr("ivg_core.sampling.chain.generate_chain", made)
    command = ["generate", "--model", str(golden / "tiny_ckpt"), "--prompts", "0: chop | 4: stir", "--frames", "9"]
    command += ["--fallback", "white", "--seed", "5", "--out", str(tmp_path / "a.png"), "--chain"]
    photo = ["--image", str(golden / "input.png")]
    assert main([*command, *photo]) == 0
    assert asked == [(["chop", "stir"], 9, None, 5, True)]
    assert len(list(tmp_path.glob("a_*.png"))) == 9
    for more, said in (
        ([*photo, "--window", "4"], "goes without --window: leave one out"),
        ([*photo, "--boxes", "b.json", "--sheet", str(tmp_path / "s.png")], "goes without --boxes and --sheet"),
        ([], "give the first one with --image"),
    ):
        assert main([*command, *more]) != 0
        assert said in capsys.readouterr().err and len(asked) == 1


def test_a_clip_is_inverted_over_windows(tiny_model):
    clip = torch.rand(5, 16, 24, 3, generator=torch.Generator().manual_seed(2))
    plain = invert(tiny_model, clip, steps=2, size=(24, 16)).latents
    one = invert(tiny_model, clip, steps=2, size=(24, 16), context=ContextWindows(5, 2)).latents
    assert torch.equal(one, plain)
    several = invert(tiny_model, clip, steps=2, size=(24, 16), context=ContextWindows(3, 2)).latents
    assert several.shape == plain.shape and not torch.allclose(several, plain)


def test_windows_and_sentences_on_the_command_line(golden, tmp_path, monkeypatch, capsys):
    asked = []

    def made(model, image, action, **options):
        asked.append((action, options))
        raise IVGError("enough")

    monkeypatch.setattr("ivg_core.sampling.generate.generate", made)
    lines = tmp_path / "said.txt"
    lines.write_text("0: chop\n4: stir\n")
    command = [
        "generate",
        "--model",
        str(golden / "tiny_ckpt"),
        "--image",
        str(golden / "input.png"),
        "--fallback",
        "white",
    ]
    command += ["--out", str(tmp_path / "a.png"), "--window", "4", "--window-weights", "flat", "--frames", "9"]
    for said in (str(lines), "0: chop | 4: stir"):
        assert main([*command, "--prompts", said]) != 0
        action, options = asked.pop()
        assert action.sentences == ["chop", "stir"] and [stretch.frame for stretch in action.stretches] == [0, 4]
        assert options["how"].context == ContextWindows(4, weights="flat")
    command = [word for word in command if word not in ("--fallback", "white")]
    assert main([*command, "--prompts", "0: chop | 9: stir"]) != 0  # before the mask, for which this model cannot do
    assert not asked and "begins at frame 9, and the video has 9 frames" in capsys.readouterr().err
    assert main([*command[:-6], "--fallback", "white", "--prompt", "chop"]) != 0
    action, options = asked.pop()
    assert action == "chop" and options["how"].context is None and isinstance(options["how"], Sampling)
