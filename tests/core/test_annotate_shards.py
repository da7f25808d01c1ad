"""Annotation by several processes that share a folder: nothing is done twice, and nothing of the living is swept."""

import json
import os
import subprocess
import sys

import pytest
import torch

from ivg_core.cli import main
from ivg_core.cluster.shard import WHOLE, Shard
from ivg_core.errors import IVGError
from ivg_core.hands.tracker import HandTracker
from ivg_core.media.lock import sweep, workplace
from ivg_core.media.video import write_video
from ivg_core.rom.annotate_folder import annotate_folder
from ivg_core.rom.annotate_reports import Reports

NAMES = [f"{letter}.mp4" for letter in "abcde"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A square that moves, five times."""
    folder = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(NAMES):
        frames = torch.full((4, 48, 64, 3), 0.2)
        for index, frame in enumerate(frames):
            frame[8 + 4 * number : 24 + 4 * number, 6 * index : 16 + 6 * index] = 0.9
        write_video(frames, folder / name, 8)
    return folder


class Annotator:
    """Annotates by motion, which needs few pixels, and counts the videos that it has looked at."""

    def __init__(self, videos, target, monkeypatch):
        self.videos, self.target, self.looked = videos, target, 0
        self.tracker = HandTracker(tiled=False, palm_threshold=1.0)
        track = self.tracker.track

        def counted(frames):
            self.looked += 1
            return track(frames)

        monkeypatch.setattr(self.tracker, "track", counted)

    def __call__(self, shard=WHOLE, **more) -> int:
        """How many videos were looked at."""
        before = self.looked
        annotate_folder(self.videos, self.target, self.tracker, shard=shard, **{"evidence": "motion", **more})
        return self.looked - before

    @property
    def listed(self) -> list[str]:
        return [entry["video"] for entry in json.loads((self.target / "annotate.json").read_text())["videos"]]


@pytest.fixture
def annotate(videos, tmp_path, monkeypatch):
    return Annotator(videos, tmp_path / "masks", monkeypatch)


def test_nothing_is_done_twice_however_the_work_is_split(annotate, caplog):
    assert annotate(Shard(1, 2)) == 2 and not (annotate.target / "annotate.json").exists()
    assert "3 of 5 videos are not done yet: who ends last writes annotate.json" in caplog.text
    assert annotate(Shard(0, 2)) == 3 and annotate.listed == NAMES
    assert annotate() == 0 and [annotate(Shard(number, 3)) for number in range(3)] == [0, 0, 0]
    assert annotate.listed == NAMES
    (annotate.target / "b.png").unlink()
    assert [annotate(Shard(number, 3)) for number in range(3)] == [0, 1, 0]  # what was damaged, by whose it is


def test_a_report_of_an_earlier_version_is_read(annotate):
    assert annotate() == 5
    for path in annotate.target.glob(".annotate-*"):
        path.unlink()
    assert annotate(Shard(1, 2)) == 0 and annotate() == 0 and annotate.listed == NAMES


def test_a_plain_run_that_was_killed_has_lost_no_report(annotate):
    assert annotate() == 5
    (annotate.target / "annotate.json").unlink()  # it is written at the end
    with (annotate.target / ".annotate-0.jsonl").open("ab") as file:
        file.write(b'{"video": "a.mp4", "outc')
    assert annotate(Shard(1, 2)) == 0 and annotate() == 0 and annotate.listed == NAMES


def test_the_newest_masks_count_whoever_made_them(annotate, caplog):
    """Masks of other settings that were made in between are not taken for those of the first run."""
    assert annotate() == 5
    assert annotate(Shard(0, 2), follow_camera=False) == 3 and annotate(Shard(1, 2), follow_camera=False) == 2
    assert "other settings" in caplog.text
    assert annotate() == 5 and annotate() == 0


def test_what_is_overwritten_is_forgotten_at_once(annotate):
    def stop(report, number, total):
        raise KeyboardInterrupt

    annotate()
    with pytest.raises(KeyboardInterrupt):
        annotate(overwrite=True, on_clip=stop)
    assert annotate.listed == ["a.mp4"] and annotate() == 4


def test_one_process_of_a_number_at_a_time(annotate):
    annotate.target.mkdir()
    with Reports(annotate.target, {}, 1), pytest.raises(IVGError, match="Another annotation is at work"):
        annotate(Shard(1, 2))
    with Reports(annotate.target, {}, 1):
        assert annotate(Shard(0, 2)) == 3


def test_what_killed_processes_left_is_swept_and_nothing_else(tmp_path):
    program = (
        "import sys, os; from pathlib import Path; from ivg_core.media.lock import workplace\n"
        "with workplace(Path(sys.argv[1]), 'annotation') as place: (place / '1.png').touch(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)]).returncode == 9
    (tmp_path / ".a.partial").mkdir()  # of an earlier version
    assert len(list(tmp_path.glob(".*.partial"))) == 2
    with workplace(tmp_path, "annotation") as living:
        sweep(tmp_path)
        assert list(tmp_path.glob(".*.partial")) == [living]
    assert os.listdir(tmp_path) == []


def test_an_annotation_sweeps_before_it_begins(annotate):
    (annotate.target / ".x.partial").mkdir(parents=True)
    annotate(Shard(4, 5))
    assert not list(annotate.target.glob(".*.partial"))


def words(videos, target, *more) -> list[str]:
    options = ["--video-dir", videos, "--save-dir", target, "--from", "motion", "--palm-threshold", "1"]
    return ["annotate", *map(str, options), *more]


def test_the_command_takes_a_share(videos, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "5")
    assert main(words(videos, tmp_path)) == 0
    said = capsys.readouterr().out
    assert "1/1 b.mp4" in said and "1 masks" in said and "annotate.json" not in said
    monkeypatch.undo()
    assert main(words(videos, tmp_path, "--shard", "2/5")) == 0 and "1/1 c.mp4" in capsys.readouterr().out


def test_on_ray_the_masks_are_the_same(videos, tmp_path, capsys, cluster):
    plain, spread = tmp_path / "plain", tmp_path / "spread"
    assert main(words(videos, plain)) == 0
    assert main(words(videos, spread, "--shard", "2/5")) == 0
    assert main(words(videos, spread, "--ray", cluster.address)) == 0
    told = capsys.readouterr()
    assert "5/5 " in told.out and "one of " in told.err and "c.mp4" not in told.err
    made, also_made = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("[!.]*") if path.is_file()}
        for folder in (plain, spread)
    )
    assert made == also_made and len(made) == 5 * 5 + 1
