"""The journal and the loop: whatever ends a run, nothing is lost and nothing is done twice."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ivg_core.batch.journal import DONE, FAILED, STARTED, Journal, pending, read_journal
from ivg_core.batch.page import save_thumbnail, write_page
from ivg_core.batch.run import BatchSettings, run_batch, save_result
from ivg_core.batch.table import Item
from ivg_core.cli import main
from ivg_core.cluster.shard import Shard
from ivg_core.errors import IVGError
from ivg_core.media.video import read_video
from ivg_core.sampling.settings import Sampling

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "golden" / "tiny_ckpt"
ONE_STEP = Sampling(num_inference_steps=1, keep_first_frame=True, composite=True)
QUICK = BatchSettings(num_frames=2, how=ONE_STEP, size=(64, 32), fallback="white")


@pytest.fixture
def items(tmp_path):
    photos = []
    for name, colour in (("a", "orange"), ("b", "green"), ("c", "blue"), ("d", "red")):
        Image.new("RGB", (64, 32), colour).save(tmp_path / f"{name}.png")
        photos.append(Item(tmp_path / f"{name}.png", f"hold {name}"))
    return photos


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*.mp4")}


def test_every_item_is_made_once(tiny_model, items, tmp_path):
    out = tmp_path / "out"
    first = run_batch(tiny_model, items[:3], out, QUICK)
    assert (first.done, first.failed, first.skipped) == (3, 0, 0)
    before = stamps(out)
    again = run_batch(tiny_model, items, out, QUICK)
    assert (again.done, again.failed, again.skipped) == (1, 0, 3)
    assert before.items() <= stamps(out).items()
    assert [event["status"] for event in lines(out)] == [STARTED, DONE] * 4
    frames, _ = read_video(out / f"{items[3].name}.mp4")
    assert frames.shape == (2, 32, 64, 3)


def test_a_failure_is_noted_and_tried_again(tiny_model, items, tmp_path, caplog):
    out = tmp_path / "out"
    items[1].image.write_bytes(b"no picture")
    summary = run_batch(tiny_model, items, out, QUICK)
    assert (summary.done, summary.failed) == (3, 1)
    state = read_journal(out)[items[1].name]
    assert state.status == FAILED and "cannot be read as a picture" in state.last["error"]
    assert "cannot be read as a picture" in (out / "index.html").read_text()
    Image.new("RGB", (64, 32), "green").save(items[1].image)
    mended = [Item(item.image, item.prompt) for item in items]
    assert run_batch(tiny_model, mended, out, QUICK).done == 1


def test_stage_one_makes_the_masks_that_are_not_given(items, tmp_path):
    from ivg_core.checkpoints.load import load_model

    model = load_model(TINY, rom=TINY)
    Image.new("L", (64, 32), 255).save(tmp_path / "m.png")
    given = Item(items[0].image, "hold", 0, tmp_path / "m.png")
    how = BatchSettings(num_frames=2, how=ONE_STEP, size=(64, 32), threshold=0.1)
    assert run_batch(model, [given, items[1]], tmp_path / "out", how).done == 2
    strict = BatchSettings(num_frames=2, how=ONE_STEP, size=(64, 32), threshold=1.0)
    assert run_batch(model, [items[2]], tmp_path / "none", strict).failed == 1
    assert "mask is empty" in lines(tmp_path / "none")[-1]["error"]


def test_a_model_that_cannot_predict_masks_says_so_before_the_night(tiny_model, items, tmp_path):
    how = BatchSettings(num_frames=2, how=ONE_STEP, size=(64, 32))
    with pytest.raises(IVGError, match="stage-1"):
        run_batch(tiny_model, items, tmp_path / "out", how)
    assert not lines(tmp_path / "out")


def test_a_cancelled_run_goes_on_where_it_was(tiny_model, items, tmp_path):
    class Cancelled(Exception):
        pass

    calls = []

    def stop(step, total, x0):
        calls.append(step)
        if len(calls) == 3:
            raise Cancelled

    out = tmp_path / "out"
    with pytest.raises(Cancelled):
        run_batch(tiny_model, items, out, QUICK, on_step=stop)
    kept = stamps(out)
    assert len(kept) == 2
    assert run_batch(tiny_model, items, out, QUICK).done == 2
    assert kept.items() <= stamps(out).items()


def test_what_died_before_it_could_be_noted_is_noted_and_not_made_again(tiny_model, items, tmp_path):
    out = tmp_path / "out"
    run_batch(tiny_model, items[:1], out, QUICK)
    journal = out / "results.jsonl"
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0] + b'{"name": "torn')
    before = stamps(out)
    assert run_batch(tiny_model, items[:1], out, QUICK).skipped == 1
    assert stamps(out) == before
    assert lines(out)[-1]["status"] == DONE and lines(out)[-1]["recovered"]


def test_a_result_that_was_taken_away_is_made_again(tiny_model, items, tmp_path):
    out = tmp_path / "out"
    run_batch(tiny_model, items[:2], out, QUICK)
    (out / f"{items[0].name}.mp4").unlink()
    assert run_batch(tiny_model, items[:2], out, QUICK).done == 1


def test_what_brings_the_process_down_comes_last(items, tmp_path):
    with Journal(tmp_path / "out") as journal:
        journal.write(items[0], STARTED)
        journal.write(items[0], STARTED)
        journal.write(items[2], STARTED)
    assert pending(items, tmp_path / "out") == [items[1], items[3], items[2], items[0]]


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 400), more=st.booleans())
def test_a_journal_torn_anywhere_keeps_its_whole_lines(tmp_path_factory, cut, more):
    folder = tmp_path_factory.mktemp("journal")
    wanted = [Item(Path(f"{n}.png"), "hold — 持つ") for n in range(3)]
    with Journal(folder) as journal:
        for item in wanted:
            journal.write(item, DONE)
    path = folder / "results.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    states = list(read_journal(folder))
    assert states[:whole] == [item.name for item in wanted[:whole]] and len(states) - whole in (0, 1)
    with Journal(folder) as journal:
        if more:
            journal.write(wanted[-1], FAILED)
    assert len(lines(folder)) == whole + more  # every line reads again


def test_what_is_done_stays_done(items, tmp_path):
    with Journal(tmp_path) as journal:
        for status in (STARTED, DONE, STARTED, FAILED):
            journal.write(items[0], status, number=status)
    state = read_journal(tmp_path)[items[0].name]
    assert (state.status, state.attempts, state.last["number"]) == (DONE, 2, DONE)


def test_two_runs_at_once_are_refused(items, tmp_path):
    code = f"from ivg_core.batch.journal import Journal; Journal({str(tmp_path / 'out')!r})"
    with Journal(tmp_path / "out"):
        other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "Another run is at work" in other.stderr
    Journal(tmp_path / "out").close()  # free again


def test_another_setting_needs_another_folder(tiny_model, items, tmp_path):
    run_batch(tiny_model, items[:1], tmp_path / "out", QUICK)
    with pytest.raises(IVGError, match=r"motion_strength: 5\.0 → 9\.0"):
        run_batch(tiny_model, items[:1], tmp_path / "out", BatchSettings(**{**vars(QUICK), "motion_strength": 9.0}))


def test_half_written_files_of_a_killed_run_are_removed(tiny_model, items, tmp_path):
    out = tmp_path / "out"
    (out / "thumbnails").mkdir(parents=True)
    left = [out / f".{items[0].name}.1a2b3c4d.mp4", out / f".{items[0].name}_mask.1a2b3c4d.png"]
    left += [out / f"..{items[0].name}.1a2b.plain.3c4d.mp4"]  # two writers, one within the other
    left += [out / "thumbnails" / f".{items[0].name}.1a2b3c4d.webp", out / ".notes.txt"]
    for path in left:
        path.write_bytes(b"half")
    run_batch(tiny_model, items[:1], out, QUICK)
    assert [path.exists() for path in left] == [False, False, False, False, True]


@pytest.mark.parametrize("where", ["os.replace", "os.fsync"])
def test_kill_at_every_write(items, tmp_path, where):
    """The process kills itself at its n-th rename or flush, for every n, and is started again."""
    code = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
import torch
from ivg_core.batch.journal import Journal, pending, adopt, STARTED, DONE
from ivg_core.batch.run import save_result
from ivg_core.batch.table import Item
count, real = int(sys.argv[1]), {where}
def counted(*args):
    global count
    count -= 1
    if count == 0: os._exit(9)  # as if killed: nothing is flushed or tidied up
    return real(*args)
{where} = counted
out, items = Path(sys.argv[2]), [Item(Path(p), "hold") for p in sys.argv[3:]]
for _ in range(2):
    with Journal(out) as journal:
        adopt(journal, items)
        for item in pending(items, out):
            journal.write(item, STARTED)
            frames = torch.full((2, 16, 16, 3), 0.5)
            journal.write(item, DONE, **save_result(out, item, frames, frames[0, ..., 0], 8, ".gif", {{}}))
"""
    photos = [str(item.image) for item in items[:2]]
    out = tmp_path / "out"
    for count in (2, 3, 1, 0):
        before = {path.name: path.stat().st_mtime_ns for path in out.glob("[!.]*.gif")} if out.exists() else {}
        done = subprocess.run(
            [sys.executable, "-c", code, str(count), str(out), *photos], capture_output=True, text=True
        )
        assert done.returncode in (0, 9), done.stderr
        after = {path.name: path.stat().st_mtime_ns for path in out.glob("[!.]*.gif")}
        assert before.items() <= after.items()
    noted = [event["name"] for event in lines(out) if event["status"] == DONE]
    assert sorted(noted) == sorted(Item(Path(photo), "hold").name for photo in photos)
    assert len(after) == 2


def test_processes_share_a_batch(tiny_model, items, tmp_path):
    out = tmp_path / "out"
    assert run_batch(tiny_model, items, out, QUICK, shard=Shard(1, 3)).done == 1
    assert run_batch(tiny_model, items, out, QUICK, shard=Shard(0, 3)).done == 2
    assert run_batch(tiny_model, items, out, QUICK).done == 1  # one process finds what three began
    assert len(read_journal(out)) == 4 and len(list(out.glob("results*.jsonl"))) == 2


def test_accelerate_launches_it(items, tmp_path):
    pytest.importorskip("accelerate")
    # without GPUs, --cpu would start one process only: --multi_gpu starts two, which never touch a GPU
    words = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    words += ["--dynamo_backend", "no"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *words, "-m", "ivg_core", "batch", "--table"]
    command += [str(items[0].image.parent), "--prompt", "hold it", "--out", str(tmp_path / "out"), "--model", str(TINY)]
    command += ["--fallback", "white", "--frames", "2", "--steps", "1", "--size", "64x32"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.mp4"))) == 4
    assert len(list((tmp_path / "out").glob("results*.jsonl"))) == 2


def test_the_page_needs_no_other_file(tmp_path):
    item = Item(Path("a & b.png"), "hold <b>it</b>")
    files = save_result(tmp_path, item, torch.rand(4, 16, 24, 3), torch.ones(16, 24), 8, ".gif", {})
    with Journal(tmp_path) as journal:
        journal.write(item, DONE, **files)
    page = write_page(tmp_path).read_text()
    assert "<b>it" not in page and "src=" in page and 'src="data:image/webp;base64,' in page
    assert page.count("src=") == page.count('src="data:') == 1
    assert 'href="a%20%26%20b_s0_' in page
    assert Image.open(tmp_path / "sheet.png").width > 200


def test_a_thumbnail_moves_and_lasts_as_long_as_the_clip(tmp_path):
    save_thumbnail(torch.rand(40, 32, 48, 3), 8, tmp_path / "t.webp")
    with Image.open(tmp_path / "t.webp") as picture:
        assert picture.n_frames == 16
        total = 0
        for n in range(picture.n_frames):
            picture.seek(n)
            picture.load()
            total += picture.info["duration"]
    assert total == pytest.approx(5000, rel=0.02)


def test_the_released_command_line(tmp_path, capsys, caplog):
    assert main(["synth", "--out", str(tmp_path), "--scenes", "2", "--size", "64x32", "--frames", "2"]) == 0
    words = ["batch", "--image_folder", tmp_path, "--prompt_file", tmp_path / "prompt.json"]
    words += ["--mask_folder", tmp_path / "masks", "--output_folder", tmp_path / "result", "--model", TINY]
    words += ["--frames", 2, "--steps", 1, "--size", "64x32"]
    with caplog.at_level(logging.WARNING, "ivg"):
        assert main([str(word) for word in words]) == 0
    assert "2 made" in capsys.readouterr().out
    assert len(list((tmp_path / "result").glob("*.mp4"))) == 2
    assert main([str(word) for word in [*words, "--resume"]]) == 0
    assert "0 made, 2 were there already" in capsys.readouterr().out


def test_command_mistakes_are_one_sentence(tmp_path, capsys):
    assert main(["batch", "--out", str(tmp_path)]) == 2
    assert "--table" in capsys.readouterr().err
    assert main(["batch", "--table", str(tmp_path), "--out", str(tmp_path / "new"), "--resume"]) == 2
    assert "No batch was begun" in capsys.readouterr().err


def test_weights_that_were_trained_on_under_their_old_name_are_others(tmp_path, tiny_model, capsys):
    """Or a table would judge the videos of weights that are no more."""
    from ivg_core.checkpoints.save import save_file

    Image.new("RGB", (64, 32), "orange").save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("stir")
    (tmp_path / "t").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "t" / "a.png")
    (tmp_path / "a.txt").rename(tmp_path / "t" / "a.txt")
    save_file(tiny_model, tmp_path / "m.safetensors")
    words = ["batch", "--model", str(tmp_path / "m.safetensors"), "--table", str(tmp_path / "t"), "--steps", "1"]
    words += ["--frames", "2", "--guidance", "1", "--fallback", "white", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    save_file(tiny_model, tmp_path / "m.safetensors")  # written anew, and the same
    assert main(words) == 0
    assert "0 made, 1 were there already" in capsys.readouterr().out
    kept = json.loads((tmp_path / "out" / "batch.json").read_text())
    trained = {name: x.clone() for name, x in tiny_model.unet.state_dict().items()}
    with torch.no_grad():
        next(p for p in tiny_model.unet.parameters() if p.ndim > 1).add_(0.001)
    save_file(tiny_model, tmp_path / "m.safetensors")
    tiny_model.unet.load_state_dict(trained)
    assert main(words) == 2
    assert f"weights: {kept['weights']} →" in capsys.readouterr().err
    del kept["weights"]  # of an older version: it goes on
    (tmp_path / "out" / "batch.json").write_text(json.dumps(kept))
    assert main(words) == 0


def test_the_released_command_and_folders_with_parity(tmp_path):
    """By the option names of their evaluation.py: each video is what `generate --parity` makes, and nothing is kept."""
    (tmp_path / "source").mkdir()
    (tmp_path / "masks").mkdir()
    for name, colour in (("1", "orange"), ("2", "green")):
        Image.new("RGB", (64, 32), colour).save(tmp_path / "source" / f"{name}.png")
        Image.new("L", (64, 32), 255).save(tmp_path / "masks" / f"{name}.png")
    lines = [{"source": f"source/{n}.png", "target": f"target/{n}.mp4", "prompt": f"hold {n}"} for n in "12"]
    (tmp_path / "prompt.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    how = ["--model", str(TINY), "--parity", "--steps", "2", "--guidance", "1", "--frames", "2", "--size", "64x32"]
    table = ["--image_folder", str(tmp_path), "--prompt_file", str(tmp_path / "prompt.json")]
    words = ["batch", *how, *table, "--mask_folder", str(tmp_path / "masks"), "--output_folder", str(tmp_path / "out")]
    assert main([*words, "--seeds", "0"]) == 0
    for n in "12":
        (made,) = (tmp_path / "out").glob(f"{n}_*.mp4")
        photo = ["--image", str(tmp_path / "source" / f"{n}.png"), "--prompt", f"hold {n}", "--seed", "0"]
        for parity, same in ((how, True), ([word for word in how if word != "--parity"], False)):
            mask = ["--mask", str(tmp_path / "masks" / f"{n}.png")]
            assert main(["generate", *parity, *photo, *mask, "--out", str(tmp_path / "one.mp4")]) == 0
            assert torch.equal(read_video(made)[0], read_video(tmp_path / "one.mp4")[0]) == same
