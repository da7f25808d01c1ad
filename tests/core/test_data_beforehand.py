"""Clips prepared before a training, in shares: each once, all found, what cannot be used named and remembered."""

import json
from pathlib import Path

import pytest
import torch
from test_data_dataset import SMALL, moving

from ivg_core.cli import main
from ivg_core.cluster.shard import Shard
from ivg_core.errors import IVGError
from ivg_core.media.images import save_png
from ivg_core.media.video import write_video
from ivg_core.training.data import dataset
from ivg_core.training.data.beforehand import clip_preparer, prepare_share, report_of
from ivg_core.training.data.dataset import load_data
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.data.sources import Rejected, find_training_clips

TINY = Path(__file__).parents[1] / "golden" / "tiny_ckpt"
NAMES = ("cut", "pour", "roll", "stir", "whisk")


@pytest.fixture
def clips(tmp_path) -> Path:
    """Five clips, a file that is none, and a caption without a clip."""
    folder = tmp_path / "clips"
    for seed, name in enumerate(NAMES):
        write_video(moving(seed)[0], folder / f"{name}.mp4", 8)
        (folder / f"{name}.txt").write_text(f"{name} it")
    (folder / "broken.mp4").write_bytes(b"not a video")
    (folder / "broken.txt").write_text("break it")
    (folder / "lonely.txt").write_text("a caption")
    return folder


@pytest.fixture
def prepared(monkeypatch) -> list[str]:
    """The names of the clips that were prepared, and not found in a cache."""
    names = []
    plain = dataset.prepare

    def noted(clip, *more):
        names.append(clip.name)
        return plain(clip, *more)

    monkeypatch.setattr(dataset, "prepare", noted)
    return names


def white(folder: Path, **options) -> DataSettings:
    return DataSettings(str(folder), **{"masks": "white", **SMALL, **options})


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_shares_make_what_a_training_needs_and_each_clip_once(clips, tmp_path, tiny_model, prepared, count):
    outcomes = []
    for number in range(count):
        outcomes += prepare_share(white(clips), tiny_model, 2, tmp_path / "kept", shard=Shard(number, count))
    assert sorted(prepared) == sorted([*NAMES, "broken"])
    report = report_of(outcomes)
    assert sorted(about.name for about in report.clips) == sorted(NAMES)
    assert sorted(rejected.name for rejected in report.rejected) == ["broken", "lonely.txt"]

    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()}
    prepared.clear()
    data = load_data(white(clips), tiny_model, 2, tmp_path / "kept").train
    assert prepared == ["broken"]  # what could not be read may be there another time
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()}
    fresh = load_data(white(clips), tiny_model, 2, tmp_path / "fresh").train
    for one, other in zip(data, fresh, strict=True):
        assert one.keys() == other.keys() and one["name"] == other["name"]
        for key in ("latents", "text", "rom_mask", "empty_text"):
            torch.testing.assert_close(one[key], other[key])


def test_one_that_was_stopped_goes_on(clips, tmp_path, tiny_model, prepared):
    share = prepare_share(white(clips), tiny_model, 2, tmp_path / "kept")
    for _ in range(3):
        next(share)
    first = list(prepared)
    assert 0 < len(first) < len(NAMES)
    prepared.clear()
    list(prepare_share(white(clips), tiny_model, 2, tmp_path / "kept"))
    assert not set(first) & set(prepared) - {"broken"} and {*first, *prepared} == {*NAMES, "broken"}


def test_what_took_work_to_refuse_is_not_looked_at_again_before_the_filter_changes(
    clips, tmp_path, tiny_model, prepared
):
    def rejected(**options) -> dict[str, str]:
        prepared.clear()
        report = report_of(list(prepare_share(white(clips, **options), tiny_model, 2, tmp_path / "kept")))
        return {one.name: one.why for one in report.rejected if one.name in NAMES}

    first = rejected(min_motion=10_000)
    assert set(first) == set(NAMES) == set(prepared) - {"broken"} and "hardly moves" in first["cut"]
    assert rejected(min_motion=10_000) == first and prepared == ["broken"]
    assert rejected(min_motion=9_999) != first and set(NAMES) < set(prepared)
    assert not rejected() and not rejected(min_motion=1)
    assert prepared == ["broken"]  # filters are applied to what is kept
    assert rejected(min_motion=10_000) == first and prepared == ["broken"]


def test_clips_without_hands_are_remembered_for_stage_1(clips, tmp_path, tiny_model, prepared):
    settings = white(clips, masks="hands")
    for again in (False, True):
        prepared.clear()
        report = report_of(list(prepare_share(settings, tiny_model, 1, tmp_path / "kept")))
        assert not report.clips and "no hand was found" in {one.name: one.why for one in report.rejected}["cut"]
        assert ("cut" in prepared) != again


def test_a_mask_that_was_mended_is_looked_at_again(clips, tmp_path, tiny_model):
    masks = tmp_path / "masks"
    for name in NAMES:
        save_png(torch.zeros(32, 48), masks / f"{name}.png")
    settings = white(clips, masks=str(masks))
    report = report_of(list(prepare_share(settings, tiny_model, 2, tmp_path / "kept")))
    assert not report.clips
    save_png(torch.ones(32, 48), masks / "cut.png")
    report = report_of(list(prepare_share(settings, tiny_model, 2, tmp_path / "kept")))
    assert [about.name for about in report.clips] == ["cut"]


def test_a_full_disk_stops_the_work(clips, tiny_model):
    with pytest.raises(IVGError, match="could not be written"):
        list(prepare_share(white(clips), tiny_model, 2, Path("/dev/full/kept")))


def test_a_worker_makes_the_same(clips, tmp_path, tiny_model, prepared):
    do = clip_preparer(lambda: tiny_model, white(clips), 2, tmp_path / "kept", False)
    outcomes = [do(clip) for clip in find_training_clips(white(clips)).clips]
    assert [one.name for one in outcomes if isinstance(one, Rejected)] == ["broken"]
    prepared.clear()
    load_data(white(clips), tiny_model, 2, tmp_path / "kept")
    assert prepared == ["broken"]


@pytest.fixture
def words(clips, tmp_path) -> list[str]:
    settings = {"steps": 1, "warmup": 0, "precision": "fp32", "device": "cpu", "validation": {"every": 0}}
    settings |= {"model": str(TINY), "lora": {"spatial": {"rank": 2}}, "data": {"masks": "white", **SMALL}}
    (tmp_path / "my.yaml").write_text(json.dumps(settings))
    return ["--config", str(tmp_path / "my.yaml"), "--data", str(clips), "--cache", str(tmp_path / "kept")]


def test_train_finds_what_the_command_prepared(words, tmp_path, prepared, capsys):
    for number in (2, 1):  # as a Slurm array numbers them
        report = tmp_path / f"{number}.json"
        assert main(["prepare-data", *words, "--shard", f"{number}/2", "--json", str(report)]) == 0
    told = [json.loads((tmp_path / f"{number}.json").read_text()) for number in (1, 2)]
    assert sorted(about["name"] for one in told for about in one["clips"]) == sorted(NAMES)
    said = capsys.readouterr().out
    assert f"3 clips of share 1/2 lie ready in {tmp_path / 'kept'}; 0 rejected" in said
    assert "rejected broken: " in said and "rejected lonely.txt: this caption has no video" in said
    prepared.clear()
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 0
    assert prepared == ["broken"] and not (tmp_path / "run" / "cache").exists()


def test_without_a_cache_they_lie_where_train_keeps_them(words, tmp_path, prepared):
    run = [*words[:-2], "--out", str(tmp_path / "run")]
    assert main(["prepare-data", *run]) == 0
    prepared.clear()
    assert main(["train", *run]) == 0
    assert prepared == ["broken"] and (tmp_path / "run" / "cache").is_dir()


def test_a_source_of_which_nothing_can_be_used_is_one_sentence(words, clips, capsys):
    for name in NAMES:
        (clips / f"{name}.mp4").write_bytes(b"not a video")
    assert main(["prepare-data", *words]) == 2
    assert "none of the 7 clips of" in capsys.readouterr().err


def test_on_ray_every_clip_is_handed_out_and_reported(words, tmp_path, monkeypatch, capsys):
    from ivg_core.cluster import spread

    handed = []

    def run(tasks, load, *, on_done, on_start, address, device):
        do = load()
        for task in tasks:
            handed.append(task.name)
            on_start(task, "here", 1)
            on_done(task, spread.Outcome("here", do(task)))

    monkeypatch.setattr(spread, "run_on_ray", run)
    assert main(["prepare-data", *words, "--ray"]) == 0
    assert sorted(handed) == sorted([*NAMES, "broken"])
    assert "5 clips lie ready in" in capsys.readouterr().out
