"""A batch on a real local Ray cluster: the videos of a plain run, to the byte, and one goes on with the other."""

import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from PIL import Image

from ivg_core.batch.on_ray import run_batch_on_ray
from ivg_core.batch.run import BatchSettings, run_batch
from ivg_core.batch.table import Item
from ivg_core.checkpoints.load import load_model
from ivg_core.cli import main
from ivg_core.cluster.shard import Shard
from ivg_core.errors import IVGError
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.settings import Sampling

TINY = Path(__file__).parents[1] / "golden" / "tiny_ckpt"
LOAD = partial(load_model, TINY)
ONE_STEP = Sampling(num_inference_steps=1, keep_first_frame=True, composite=True)
QUICK = BatchSettings(num_frames=2, how=ONE_STEP, size=(64, 32), fallback="white")


@pytest.fixture
def items(tmp_path):
    made = []
    for name in ("orange", "green", "blue", "red", "grey", "white"):
        Image.new("RGB", (64, 32), name).save(tmp_path / f"{name}.png")
        made.append(Item(tmp_path / f"{name}.png", f"hold {name}"))
    return made


@pytest.fixture
def on_ray(cluster):
    return lambda items, out, settings=QUICK, **more: run_batch_on_ray(
        LOAD, items, out, settings, address=cluster.address, device="cpu", **more
    )


def videos(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.mp4")}


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_runs_of_all_kinds_go_on_with_one_another(tiny_model, items, tmp_path, on_ray):
    plain, mixed = tmp_path / "plain", tmp_path / "mixed"
    run_batch(tiny_model, items[:5], plain, QUICK)
    assert run_batch(tiny_model, items[:4], mixed, QUICK, shard=Shard(1, 4)).done == 1
    items[4].image.unlink()
    handed = []
    done = on_ray(items[:5], mixed, on_item=lambda *what: handed.append(what))
    assert (done.done, done.failed, done.skipped) == (3, 1, 1)
    assert [(number, total, workers) for number, total, _, _, workers in handed] == [(n, 4, 1) for n in (1, 2, 3, 4)]
    machine = handed[0][3]
    assert machine and all(event["machine"] == machine for event in lines(mixed))
    (bad,) = (event for event in lines(mixed) if event["status"] == "failed")
    assert "grey.png" in bad["error"] and bad["error"].endswith(f"(on {machine})")
    assert "grey.png" in (mixed / "index.html").read_text()
    Image.new("RGB", (64, 32), "grey").save(items[4].image)
    assert run_batch(tiny_model, items[:5], mixed, QUICK).done == 1
    assert videos(mixed) == videos(plain)
    stamps = {path: path.stat().st_mtime_ns for path in mixed.glob("*.mp4")}
    assert on_ray(items[:5], mixed).skipped == 5
    assert {path: path.stat().st_mtime_ns for path in mixed.glob("*.mp4")} == stamps


def test_what_a_killed_worker_had_begun_is_made_by_another(items, tmp_path, on_ray, cluster):
    out, killed = tmp_path / "out", []
    (node,) = cluster.worker_nodes

    def on_item(number, total, item, machine, workers):
        (out / f".{item.name}.1a2b3c4d.mp4").write_bytes(b"half")  # as a worker that dies leaves it
        if number == 3 and not killed:
            raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
            killed.extend(child.pid for child in raylet.children() if "ray::Worker" in " ".join(child.cmdline()))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    done = on_ray(items, out, on_item=on_item)
    assert killed and (done.done, done.failed) == (6, 0) and len(videos(out)) == 6
    assert [event["status"] for event in lines(out)].count("done") == 6
    assert not list(out.glob(".*.mp4"))


def test_machines_that_cannot_make_it_say_so_in_a_sentence(items, tmp_path, on_ray, monkeypatch):
    with pytest.raises(IVGError, match=r"No machine can do this: .+stage-1"):
        on_ray(items, tmp_path / "masks", BatchSettings(num_frames=2, how=ONE_STEP, size=(64, 32)))
    windows = BatchSettings(how=Sampling(context=ContextWindows(devices=("cuda:1",))))
    with pytest.raises(IVGError, match="no further devices for windows"):
        on_ray(items, tmp_path / "windows", windows)
    monkeypatch.setattr("ivg_core.batch.run.keep_settings", lambda *_: None)
    with pytest.raises(IVGError, match="out is not to be seen there: put it on a file system that all machines share"):
        on_ray(items, tmp_path / "out")


def test_the_command(items, tmp_path, capsys, cluster):
    words = ["batch", "--table", tmp_path, "--prompt", "hold it", "--out", tmp_path / "out", "--model", TINY]
    words += ["--fallback", "white", "--frames", 2, "--steps", 1, "--size", "64x32", "--ray", cluster.address]
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr()
    assert "6 made, 0 were there already, 0 failed" in said.out
    assert "1/6 " in said.err and ", one of 1 worker\n" in said.err
    assert len(videos(tmp_path / "out")) == 6


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--ray", "--shard", "0/2"], "--shard: not allowed with argument --ray"),
        (["--ray", "auto:x"], "is no address of a Ray cluster"),
        (["--ray", "--device", "gpu"], "cannot give out the device 'gpu'"),
        (["--device", "gpu"], "There is no device 'gpu'"),
    ],
)
def test_words_that_do_not_go_together(more, says, items, tmp_path, capsys):
    words = ["batch", "--table", str(tmp_path), "--prompt", "hold it", "--out", str(tmp_path / "out")]
    assert main([*words, *more]) == 2
    assert says in capsys.readouterr().err


def test_ray_needs_no_launcher(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["batch", "--table", str(tmp_path), "--out", str(tmp_path / "out"), "--ray"]) == 2
    assert "give --ray without accelerate" in capsys.readouterr().err
