"""Several sentences in the videos of a batch: windows, a region for each sentence, and what is noted of them."""

import json

import pytest
import torch
from PIL import Image

from ivg_core.batch import run
from ivg_core.batch.run import BatchSettings, run_batch
from ivg_core.batch.table import Item
from ivg_core.checkpoints.load import load_model
from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.media.clips import open_media
from ivg_core.rom.refine import refine_mask
from ivg_core.sampling import chain
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.predict import RoM
from ivg_core.sampling.settings import Sampling

SAID = "0: chop | 4: stir"
IN_WINDOWS = Sampling(num_inference_steps=1, keep_first_frame=True, composite=True, context=ContextWindows(3, 2))


def part(sentence):
    mask, left = torch.zeros(32, 64), 8 * ["chop", "stir", "fry"].index(sentence)
    mask[8:16, left : left + 8] = 1
    return mask


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (64, 32), "orange").save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.fixture
def asked(monkeypatch):
    """What `generate` and `predict_rom` are asked for; the second finds another region for each sentence."""
    found = {"generate": [], "predict": []}

    def predict(model, image, action, **options):
        found["predict"].append((action, options["num_frames"]))
        return RoM(part(action), part(action)[None], part(action))

    def made(model, image, action, **options):
        found["generate"].append((action, options))
        raise IVGError("enough")

    monkeypatch.setattr(chain, "predict_rom", predict)
    monkeypatch.setattr("ivg_core.sampling.generate.generate", made)
    return found


def test_each_sentence_has_its_own_predicted_region(golden, photo, asked, tmp_path):
    model = load_model(golden / "tiny_ckpt", rom=golden / "tiny_ckpt")
    settings = BatchSettings(num_frames=7, how=IN_WINDOWS, size=(64, 32), grow=2)
    run_batch(model, [Item(photo, SAID, scheduled=True), Item(photo, "fry")], tmp_path / "out", settings)
    assert asked["predict"] == [("chop", None), ("stir", None), ("fry", None)]  # of the model's own length
    (several, options), (one, plain) = asked["generate"]
    assert str(several) == SAID and options["mask"] is None and one == "fry"
    for sentence, mask in zip((*several.sentences, "fry"), (*several.masks, plain["mask"]), strict=True):
        assert torch.equal(mask, refine_mask(part(sentence), grow=2))
    asked["predict"].clear()
    run_batch(model, [Item(photo, "fry")], tmp_path / "plain", BatchSettings(num_frames=7, how=Sampling()))
    assert asked["predict"] == [("fry", 7)]


def test_a_given_mask_is_for_all_sentences(golden, photo, asked, tmp_path):
    Image.new("L", (64, 32), 255).save(tmp_path / "m.png")
    model = load_model(golden / "tiny_ckpt", rom=golden / "tiny_ckpt")
    item = Item(photo, SAID, mask=tmp_path / "m.png", scheduled=True)
    run_batch(model, [item], tmp_path / "out", BatchSettings(num_frames=7, how=IN_WINDOWS))
    ((several, options),) = asked["generate"]
    assert not asked["predict"] and several.masks == [None, None] and options["mask"].all()


def test_a_schedule_that_does_not_fit_is_said_before_regions_are_predicted(golden, photo, asked, tmp_path):
    model = load_model(golden / "tiny_ckpt", rom=golden / "tiny_ckpt")
    run_batch(model, [Item(photo, SAID, scheduled=True)], tmp_path, BatchSettings(num_frames=4, how=IN_WINDOWS))
    assert not asked["predict"] and "begins at frame 4, and the video has 4" in (tmp_path / "index.html").read_text()


def test_the_command_makes_them_and_notes_the_schedule(golden, photo, tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text(f"image,prompts\na.png,{SAID}\n")
    notes, write = [], run.write_video
    monkeypatch.setattr(run, "write_video", lambda *words: notes.append(words[3]) or write(*words))
    words = ["batch", "--table", str(tmp_path / "t.csv"), "--model", str(golden / "tiny_ckpt"), "--fallback", "white"]
    words += ["--frames", "7", "--steps", "1", "--size", "64x32", "--window", "3", "--window-noise", "freenoise"]
    out = tmp_path / "out"
    assert main([*words, "--out", str(out)]) == 0 and main([*words, "--out", str(out)]) == 0
    (video,) = out.glob("*.mp4")
    assert open_media(video).facts().frames == 7
    assert notes[0]["prompt"] == SAID and SAID in (out / "index.html").read_text()
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [line["prompt"] for line in lines] == [SAID] * 2  # begun and done, once
    kept = json.loads((out / "batch.json").read_text())["context"]
    assert kept["length"] == 3 and kept["noise"] == "freenoise"
