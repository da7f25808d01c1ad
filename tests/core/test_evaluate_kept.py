"""What `evaluate` measured is kept: a later run, another share and Ray's workers go on with it, to the same figures."""

import dataclasses
import json
from collections import Counter

import pytest
import torch
from metric_clips import SCENES, clip_of, clips_in, mask_of, write_folders
from metric_networks import write_clip, write_i3d

from ivg_core.cli import main
from ivg_core.cluster.shard import Shard
from ivg_core.errors import IVGError
from ivg_core.evaluate import tasks
from ivg_core.evaluate.clips import load_clip
from ivg_core.evaluate.families import FAMILIES, Features
from ivg_core.evaluate.kept import Kept
from ivg_core.evaluate.report import as_json
from ivg_core.evaluate.run import evaluate_methods
from ivg_core.evaluate.tasks import Measurer, plan
from ivg_core.media.images import save_png
from ivg_core.media.video import write_video

PLAIN, HANDS, FVD, CLIP = "motion precision", "HS-Err", "FVD", "CLIP to truth"


@pytest.fixture(scope="module")
def weights(tmp_path_factory, golden):
    """Networks of two families, one of which gives features; those of the others are missing."""
    folder = tmp_path_factory.mktemp("weights")
    write_clip(folder / "clip", golden / "tiny_ckpt" / "tokenizer")
    write_i3d(folder / "i3d_torchscript.pt")
    return folder


@pytest.fixture
def root(tmp_path):
    return write_folders(tmp_path / "clips")


@pytest.fixture
def measured(monkeypatch):
    """Families that were asked, once for each clip; cleared by the test."""
    asked: Counter = Counter()
    call = Measurer.__call__

    def note(self, task):
        asked[str(task).partition(":")[0]] += 1
        return call(self, task)

    monkeypatch.setattr(Measurer, "__call__", note)
    return asked


@pytest.fixture
def quick(monkeypatch):
    """Without the family that takes most of the time."""
    monkeypatch.setattr(tasks, "FAMILIES", [family for family in FAMILIES if family.title != HANDS])


def methods(root, *names):
    return {name: clips_in(root, name) for name in names or ("copied", "wrong")}


def test_figures_are_those_of_each_clip_by_itself(root, weights, tmp_path, measured):
    """Bit for bit, whether they are kept or not, and whoever measured them."""
    shared = tmp_path / "shared"
    expected = evaluate_methods(methods(root), weights)
    alone: dict = {}
    for family in (FAMILIES[0], FAMILIES[1], FAMILIES[4]):
        measure = family.load(weights, "cpu")
        for name, clips in methods(root).items():
            for files in clips:
                alone.setdefault(name, {}).setdefault(files.name, {}).update(measure(load_clip(files)))
    assert {n: {s: {k: repr(v) for k, v in row.items()} for s, row in c.items()} for n, c in alone.items()} == {
        n: {s: {k: repr(v) for k, v in row.items()} for s, row in c.items()} for n, c in expected.values.items()
    }
    first = evaluate_methods(methods(root), weights, folder=shared, shard=Shard(1, 2))
    assert first.left == {PLAIN: 4, HANDS: 4, FVD: 4, CLIP: 4} and not first.table
    second = evaluate_methods(methods(root), weights, folder=shared, shard=Shard(0, 2))
    assert not second.left and repr(as_json(second)) == repr(as_json(expected))
    assert measured == {PLAIN: 12, HANDS: 12, FVD: 12, CLIP: 12}  # six clips in memory, six shared
    measured.clear()
    for shard in (Shard(0, 1), Shard(2, 3)):
        again = evaluate_methods(methods(root), weights, folder=shared, shard=shard)
        assert repr(as_json(again)) == repr(as_json(expected)) and not measured


def test_features_are_kept_as_they_are(root, weights, tmp_path, quick):
    evaluate_methods(methods(root, "wrong"), weights, folder=tmp_path / "kept")
    measure = FAMILIES[3].load(weights, "cpu")
    (work,) = (work for work in plan(methods(root, "wrong"), weights, "cpu") if work.family.title == FVD)
    with Kept(tmp_path / "kept") as kept:
        for task in work.tasks:
            found, fresh = kept.outcome(task.key)["fvd"], measure(load_clip(task.files))["fvd"]
            assert isinstance(found, Features) and found.generated.dtype == fresh.generated.dtype
            assert torch.equal(found.generated, fresh.generated) and torch.equal(found.true, fresh.true)


def test_only_what_has_changed_is_measured_anew(root, weights, tmp_path, quick, measured, monkeypatch):
    kept = tmp_path / "kept"

    def measured_again():
        measured.clear()
        evaluate_methods(methods(root, "copied"), weights, folder=kept)
        return dict(measured)

    assert measured_again() == {PLAIN: 3, FVD: 3, CLIP: 3}
    assert measured_again() == {}
    save_png(mask_of(2), root / "masks" / "carrot.png")
    assert measured_again() == {PLAIN: 1}
    text = (root / "prompt.json").read_text()
    (root / "prompt.json").write_text(text.replace("stir the pan", "wash the pan"))
    assert measured_again() == {CLIP: 1}
    write_video(clip_of(1), root / "truth" / "tap.mp4", 8)
    assert measured_again() == {PLAIN: 1, FVD: 1, CLIP: 1}
    write_video(clip_of(1), root / "copied" / "tap.mp4", 8)
    assert measured_again() == {PLAIN: 1, FVD: 1, CLIP: 1}
    (weights / "clip" / "config.json").touch()
    assert measured_again() == {CLIP: 3}
    newer = [dataclasses.replace(family, version=2) if family.title == CLIP else family for family in tasks.FAMILIES]
    monkeypatch.setattr(tasks, "FAMILIES", newer)
    assert measured_again() == {CLIP: 3}


def test_damaged_features_are_measured_anew(root, weights, tmp_path, quick, measured):
    first = evaluate_methods(methods(root, "wrong"), weights, folder=tmp_path)
    measured.clear()
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-8])
    again = evaluate_methods(methods(root, "wrong"), weights, folder=tmp_path)
    assert measured == {FVD: 3} and repr(as_json(again)) == repr(as_json(first))


def test_it_goes_on_where_it_was_killed(root, weights, tmp_path, quick, measured):
    def stop(number, total, what):
        if what == f"{CLIP}: copied, tap":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_methods(methods(root, "copied"), weights, folder=tmp_path, on_clip=stop)
    assert measured == {PLAIN: 3, FVD: 3, CLIP: 2}
    with (tmp_path / "values-0.jsonl").open("ab") as file:
        file.write(b'{"key": "torn')
    measured.clear()
    result = evaluate_methods(methods(root, "copied"), weights, folder=tmp_path)
    assert measured == {CLIP: 1}
    assert repr(as_json(result)) == repr(as_json(evaluate_methods(methods(root, "copied"), weights)))


def test_a_family_that_refuses_a_clip_is_told_as_ever(root, weights, tmp_path, quick, measured):
    write_video(clip_of(1, frames=8), root / "copied" / "pan.mp4", 8)
    why = evaluate_methods(methods(root, "copied"), weights).missing["fvd"]
    assert why == "needs clips of at least 10 frames, these have 7"
    measured.clear()
    first = evaluate_methods(methods(root, "copied"), weights, folder=tmp_path, shard=Shard(1, 3))
    assert measured[FVD] == 1 and first.left[FVD] == 1  # the one before it; the one behind it is not needed
    evaluate_methods(methods(root, "copied"), weights, folder=tmp_path, shard=Shard(2, 3))
    assert measured[FVD] == 1
    last = evaluate_methods(methods(root, "copied"), weights, folder=tmp_path, shard=Shard(0, 3))
    assert measured[FVD] == 2 and last.missing["fvd"] == why


def test_a_machine_that_cannot_load_a_network_leaves_no_trace(root, weights, tmp_path, quick, monkeypatch):
    def refuse(folder, device):
        raise IVGError("needs a library")

    without = [dataclasses.replace(f, load=refuse) if f.title == FVD else f for f in tasks.FAMILIES]
    with monkeypatch.context() as there:
        there.setattr(tasks, "FAMILIES", without)
        assert evaluate_methods(methods(root, "copied"), weights, folder=tmp_path).missing["fvd"] == "needs a library"
    assert "fvd" not in evaluate_methods(methods(root, "copied"), weights, folder=tmp_path).missing


def test_two_processes_of_one_number_are_refused(root, tmp_path, quick):
    with Kept(tmp_path, 1), pytest.raises(IVGError, match="Another evaluation is at work"):
        evaluate_methods(methods(root, "copied"), folder=tmp_path, shard=Shard(1, 2))


def command(root, out, *more):
    words = ["evaluate", "--out", out, "--truth", root / "truth", "--generated", root / "copied", *more]
    return main([str(word) for word in words])


def test_the_last_share_writes_the_report(root, tmp_path, quick, capsys):
    out = tmp_path / "report"
    assert command(root, out, "--shard", "1/3") == 0
    assert "Other processes have still to measure motion precision of 2 clips" in capsys.readouterr().out
    assert command(root, out, "--shard", "3/3") == 0
    assert "Other processes have still to measure motion precision of 1 clips" in capsys.readouterr().out
    assert not (out / "results.json").exists()
    assert command(root, out, "--shard", "2/3") == 0
    assert json.loads((out / "results.json").read_text())["subsets"] == {"all clips": list(SCENES)}
    assert "SSIM" in capsys.readouterr().out and (out / "index.html").is_file()


def test_on_ray_the_figures_are_the_same(root, tmp_path, monkeypatch, cluster):
    plain, spread = tmp_path / "plain", tmp_path / "spread"
    assert command(root, plain) == 0
    assert command(root, spread, "--shard", "0/3") == 0 and command(root, spread, "--ray", cluster.address) == 0
    assert (spread / "results.json").read_bytes() == (plain / "results.json").read_bytes()
    monkeypatch.setattr(Measurer, "__call__", None)  # nothing is left
    assert command(root, spread) == 0
