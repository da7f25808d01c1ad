"""One bad item fails alone: whatever is in its photo, its text, its name or its journal line, the others are made."""

import json
import logging
import os
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ivg_core.batch.journal import DONE, FAILED, STARTED, Journal, pending, read_journal
from ivg_core.batch.page import write_page
from ivg_core.batch.run import BatchSettings, run_batch, save_result
from ivg_core.batch.table import Item, read_table
from ivg_core.cli import main
from ivg_core.media.images import load_image
from ivg_core.sampling.settings import Sampling

ONE_STEP = Sampling(num_inference_steps=1, keep_first_frame=True, composite=True)
QUICK = BatchSettings(num_frames=2, how=ONE_STEP, size=(64, 32), fallback="white", format=".gif")
HALF = b"caf\xe9".decode(errors="surrogateescape")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (64, 32), "orange").save(folder / "a.png")
    return folder


def states(out) -> dict[str, list[str]]:
    found = read_journal(out).values()
    return {status: sorted(s.last["image"] for s in found if s.status == status) for status in (DONE, FAILED)}


def test_whatever_is_wrong_with_an_item_the_others_are_made(tiny_model, photos, tmp_path):
    names = {"z" * 251: DONE, "持" * 80: DONE, "line\nbreak": DONE}
    names |= {HALF: DONE} if sys.platform == "linux" else {}
    for stem in names:
        Image.new("RGB", (64, 32), "green").save(photos / f"{stem}.png")
    (photos / "b.png").write_bytes(b"no picture")
    (photos / "c.png").mkdir()
    (photos / "d.png").symlink_to(photos / "gone.png")
    (photos / "e.png").write_bytes((photos / "a.png").read_bytes())
    (photos / "e.txt").write_bytes(b"\0\0")
    out = tmp_path / "out"
    items = read_table(photos, prompts=["stir"], keep_faulty=True)
    items += [Item(photos / "a.png", "half a letter \ud800"), Item(photos / "a.png", "stir", 2**64)]
    items += [Item(photos / "a.png", "stir", 5, photos / "b.png")]
    done = run_batch(tiny_model, items, out, QUICK)
    assert done.done == len(names) + 1 and done.failed == 7
    found = states(out)
    assert len(list(out.glob("*.gif"))) == done.done == len(found[DONE]) and len(found[FAILED]) == 7
    page = (out / "index.html").read_text(encoding="utf-8")
    assert f"{done.done} made, 7 failed" in page and "e.txt holds what is no letter" in page
    assert load_image(out / "sheet.png").shape[1] > 200
    assert all(len(os.fsencode(path.name)) < 256 and path.name.isprintable() for path in out.rglob("*"))
    again = run_batch(tiny_model, items, out, QUICK)
    assert (again.done, again.skipped) == (0, done.done)


def test_no_kind_of_error_ends_a_batch_but_the_users_own(tiny_model, photos, tmp_path, monkeypatch):
    Image.new("RGB", (64, 32), "red").save(photos / "b.png")
    items = read_table(photos, prompts=["stir"])

    def odd(path):
        if path.stem == "a":
            raise KeyError("what PIL raises for a damaged file")
        return load_image(path)

    monkeypatch.setattr("ivg_core.batch.run.load_image", odd)
    done = run_batch(tiny_model, items, tmp_path / "out", QUICK)
    assert (done.done, done.failed) == (1, 1)
    assert "KeyError" in next(s.last["error"] for s in read_journal(tmp_path / "out").values() if s.status == FAILED)

    def stop(step, total, x0):
        raise KeyError("cancelled")

    with pytest.raises(KeyError, match="cancelled"):
        run_batch(tiny_model, items[1:], tmp_path / "other", QUICK, on_step=stop)
    assert [s.status for s in read_journal(tmp_path / "other").values()] == [STARTED]


def test_the_command_fails_faulty_rows_and_says_so(photos, tmp_path, capsys):
    (photos / "t.csv").write_text("image,prompt,seed\na.png,stir,many\na.png,stir, chop,3\na.png,stir,3\n")
    words = ["batch", "--table", photos / "t.csv", "--out", tmp_path / "out", "--fallback", "white", "--frames", 2]
    assert main([str(word) for word in [*words, "--steps", 1, "--size", "64x32"]]) == 2
    said = capsys.readouterr()
    assert "1 made, 0 were there already, 2 failed" in said.out and "Traceback" not in said.err
    errors = [state.last["error"] for state in read_journal(tmp_path / "out").values() if state.status == FAILED]
    assert any("row 2: 'many' is no list" in error for error in errors)
    assert any("row 3 has more cells than columns" in error for error in errors)


GOOD = {"name": "a_s0_0123456789", "status": DONE, "image": "a.png", "prompt": "stir", "seed": 0, "file": "a.gif"}
ODD = [
    b"\xff\xfe\0",
    b"[1, 2]",
    b"3",
    b'"done"',
    b"[" * 100_000,
    *(
        json.dumps({**GOOD, **change}).encode()
        for change in (
            {"name": ["a"]},
            {"name": {}},
            {"name": "../../a"},
            {"status": []},
            {"status": "lost"},
            {"image": None},
            {"prompt": 3},
            {"seed": "x"},
            {"file": ["a"]},
        )
    ),
]


def test_a_journal_survives_odd_lines(photos, tmp_path):
    out = tmp_path / "out"
    item = Item(photos / "a.png", "stir")
    with Journal(out) as journal:
        journal.write(item, STARTED)
        files = save_result(out, item, torch.rand(2, 16, 16, 3), torch.ones(16, 16), 8, ".gif", {})
        journal.write(item, DONE, **files)
    path = out / "results.jsonl"
    path.write_bytes(b"\n".join(ODD) + b"\n" + path.read_bytes())
    (out / "results-9.jsonl").mkdir()
    assert list(read_journal(out)) == [item.name] and not pending([item], out)
    page = write_page(out).read_text()
    assert "<p>1 made</p>" in page


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(list(GOOD.values())),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(list(GOOD)), inner, max_size=7),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(st.lists(values, max_size=4))
def test_a_page_is_written_whatever_a_journal_holds(tmp_path_factory, lines):
    out = tmp_path_factory.mktemp("journal")
    text = "".join(json.dumps(line) + "\n" for line in [*lines, {**GOOD, "thumbnail": 3, "mask_file": [1]}])
    (out / "results.jsonl").write_text(text)
    assert "a.png" in write_page(out).read_text()


def test_a_journal_keeps_names_with_half_a_letter(tmp_path):
    item = Item(tmp_path / f"{HALF}.png", "stir \ud800")
    with Journal(tmp_path) as journal:
        journal.write(item, FAILED, error="it is odd")
    (tmp_path / "results.jsonl").read_text(encoding="utf-8")
    (state,) = read_journal(tmp_path).values()
    assert state.last["image"] == str(item.image) and state.last["prompt"] == item.prompt
    assert r"caf\udce9.png" in write_page(tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["[]", "3", "{", "[" * 100_000, "null"])
def test_settings_that_are_none_are_written_anew(tiny_model, photos, tmp_path, content, caplog):
    out = tmp_path / "out"
    out.mkdir()
    (out / "batch.json").write_text(content)
    with caplog.at_level(logging.WARNING, "ivg"):
        assert run_batch(tiny_model, read_table(photos, prompts=["stir"]), out, QUICK).done == 1
    assert json.loads((out / "batch.json").read_text())["motion_strength"] == 5
