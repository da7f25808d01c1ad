"""A training describes itself: its settings, what each start ran with and on, its figures, and where they show."""

import builtins
import hashlib
import json
import shutil
import subprocess
import sys
import types

import pytest
from training_clips import clips, clips_on_disk

import ivg_core
from ivg_core import versions
from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.media.clips import MemoryClip, content_hash, open_media
from ivg_core.media.files import sha256_of
from ivg_core.media.images import save_png
from ivg_core.training.config import LoRASettings, TrainConfig, read_config
from ivg_core.training.history import append_figures, read_history, write_history
from ivg_core.training.trainer import train

QUICK = """
model: {model}
out: {out}
device: cpu
lora: {{spatial: {{rank: 1}}}}
losses: {{noise: 1.0, debiased: 1.0}}
data: {{source: {source}, masks: white, frames: 2, width: 64, height: 64, buckets: false, heldout: 1}}
"""


def small(folder, **values) -> TrainConfig:
    values = {"steps": 1, "lora": {"spatial": LoRASettings(1)}, **values}
    return TrainConfig(out=str(folder / "run"), device="cpu", **values)


@pytest.fixture
def no_package(monkeypatch):
    """Makes a package look as if it were not installed."""

    def hide(name):
        for known in [known for known in sys.modules if known.partition(".")[0] == name]:
            monkeypatch.delitem(sys.modules, known)
        whole = builtins.__import__

        def missing(wanted, *rest):
            if wanted.partition(".")[0] == name:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return whole(wanted, *rest)

        monkeypatch.setattr(builtins, "__import__", missing)
        monkeypatch.setitem(sys.modules, name, None)

    return hide


def test_every_start_is_kept_with_what_it_ran_on(golden, tmp_path, capsys):
    source, run = clips_on_disk(tmp_path / "films"), tmp_path / "run"
    (source / "lonely.txt").write_text("without a video")
    mine = tmp_path / "mine.yaml"
    mine.write_text(QUICK.format(model=golden / "tiny_ckpt", source=source, out=run))
    assert main(["train", "--config", str(mine), "--set", "steps=1"]) == 0
    assert "debiased " in capsys.readouterr().err  # every loss of the run is shown, not some known ones
    (first,) = json.loads((run / "run.json").read_text())["starts"]
    assert main(["train", "--config", str(mine), "--set", "steps=2", "--resume", "auto"]) == 0
    kept, second = json.loads((run / "run.json").read_text())["starts"]
    assert kept == first and (first["from_step"], second["from_step"]) == (0, 1)
    assert (first["config"]["steps"], second["config"]["steps"]) == (1, 2)
    assert first["versions"]["comfy-ivg"] == ivg_core.__version__ and {"torch", "python"} <= first["versions"].keys()
    assert (first["device"], first["processes"]) == ("cpu", 1)
    data = first["data"]
    hashes = {clip["name"]: clip["sha256"] for clip in data["clips"]}
    assert hashes == {name: sha256_of(source / f"{name}.mp4") for name in ("stir", "cut", "pour")}
    assert second["data"] == data  # from what is kept of the clips
    assert sum(clip["heldout"] for clip in data["clips"]) == 1
    assert [(one["name"], "no video" in one["why"]) for one in data["rejected"]] == [("lonely.txt", True)]
    assert [part["name"] for part in first["made_of"]["parts"]] == ["tiny_ckpt", "films"]
    again = read_config(run / "config.yaml")
    assert json.loads(json.dumps(again.to_dict())) == second["config"]
    # what was left at its default is told too: a later version may have another
    assert {"frame_sampling", "min_motion", "camera", "masks"} <= second["config"]["data"].keys()
    assert second["config"]["losses"]["noise"] == {"weight": 1.0, "inside": 1.0, "hands": 1.0, "boxes": 1.0}
    lines = [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]


def test_a_record_that_cannot_be_read_begins_anew(tiny_model, tmp_path, caplog):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{")
    train(small(tmp_path), tiny_model, clips(1))
    assert "begins anew" in caplog.text
    assert len(json.loads((tmp_path / "run" / "run.json").read_text())["starts"]) == 1


def test_steps_are_numbered_and_older_files_read(tmp_path):
    file = tmp_path / "losses.jsonl"
    file.write_text('{"loss": 3.0}\n{"loss": 2.0}\n{"lo')
    history = read_history(file)
    write_history(file, history)
    append_figures(file, 3, {"loss": 1.0})
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [1, 2, 3]
    assert read_history(file) == [{"loss": 3.0}, {"loss": 2.0}, {"loss": 1.0}]


def test_what_a_clip_is_told_by(tmp_path):
    import torch

    frames = torch.rand(2, 8, 8, 3)
    for number, frame in enumerate(frames, 1):
        save_png(frame, tmp_path / "film" / f"{number}.png")
    both = b"".join((tmp_path / "film" / f"{number}.png").read_bytes() for number in (1, 2))
    assert content_hash(open_media(tmp_path / "film")) == hashlib.sha256(both).hexdigest()
    assert content_hash(MemoryClip(frames)) == content_hash(MemoryClip(frames, fps=4.0))
    assert content_hash(MemoryClip(frames)) != content_hash(MemoryClip(frames.flip(0)))


def test_figures_show_in_tensorboard(tiny_model, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert small(tmp_path, tensorboard=True).log == "tensorboard"  # as files of an older version say it
    done = train(small(tmp_path, log="tensorboard", steps=2), tiny_model, clips(1))
    shown = EventAccumulator(str(tmp_path / "run" / "log"))
    shown.Reload()
    events = shown.Scalars("loss")
    assert [event.step for event in events] == [1, 2]
    assert [event.value for event in events] == pytest.approx([figures["loss"] for figures in done.history])


def test_figures_go_to_wandb(tiny_model, tmp_path, monkeypatch):
    told = []
    run = types.SimpleNamespace(log=lambda figures, step: told.append(step), finish=lambda: told.append("end"))
    wandb = types.ModuleType("wandb")
    wandb.init = lambda **about: told.append(about["config"]["steps"]) or run
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    train(small(tmp_path, log="wandb"), tiny_model, clips(1))
    assert told == [1, 1, "end"]

    def refuse(**about):
        raise RuntimeError("no account")

    wandb.init = refuse
    with pytest.raises(IVGError, match=r"wandb could not begin \(.*no account\)"):
        train(small(tmp_path / "2", log="wandb"), tiny_model, clips(1))


@pytest.mark.parametrize("log", ["tensorboard", "wandb"])
def test_a_missing_package_is_told_before_anything_is_prepared(golden, tmp_path, capsys, no_package, log):
    no_package(log)
    if log == "tensorboard":
        sys.modules.pop("torch.utils.tensorboard", None)
    source = clips_on_disk(tmp_path / "films")
    mine = tmp_path / "mine.yaml"
    mine.write_text(QUICK.format(model=golden / "tiny_ckpt", source=source, out=tmp_path / "run"))
    assert main(["train", "--config", str(mine), "--set", f"log={log}"]) == 2
    said = capsys.readouterr().err
    assert f"pip install {log}" in said and "clip 1" not in said and not (tmp_path / "run").exists()


def test_the_commit_is_told_of_a_checkout_of_this_library_alone(tmp_path, monkeypatch):
    def git(*words):
        who = ["-c", "user.name=x", "-c", "user.email=x"]
        done = subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    if not shutil.which("git"):
        pytest.skip("git is not here")
    git("init", "-q")
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "-qm", "first")
    monkeypatch.setattr(versions, "ROOT", tmp_path)
    assert versions.commit() == git("rev-parse", "HEAD")
    (tmp_path / "a.py").write_text("2")
    assert versions.commit() == git("rev-parse", "HEAD") + "+"
    (tmp_path / "env").mkdir()  # an environment that lies within another project's checkout
    monkeypatch.setattr(versions, "ROOT", tmp_path / "env")
    assert versions.commit() is None
    (tmp_path / "env" / ".git").mkdir()  # which git does not take for one
    monkeypatch.setattr(versions, "_git", lambda *words: subprocess.run(["false"], check=True))
    assert versions.commit() is None


def test_the_command_is_told_as_one_would_write_it(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/ivg_core/__main__.py", "train", "--out", "a b"])
    assert versions.command() == "python -m ivg_core train --out 'a b'"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ivg", "info"])
    assert versions.command() == "ivg info"
