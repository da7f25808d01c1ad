"""What is written is whole or not there, nobody else writes at the same time, and the same work gives equal bytes."""

import subprocess
import sys

import pytest
import torch
from training_clips import clips, small

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.save import save_folder
from ivg_core.checkpoints.write import save_tensors
from ivg_core.errors import IVGError
from ivg_core.media.files import atomic_folder, atomic_write
from ivg_core.media.lock import alone_in
from ivg_core.media.video import write_video
from ivg_core.training.trainer import train


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif"])
def test_a_video_is_the_same_file_every_time(ending, tmp_path):
    frames, notes = torch.rand(5, 32, 48, 3, generator=torch.Generator().manual_seed(0)), {"prompt": "stir", "seed": 1}
    one, other = (write_video(frames, tmp_path / f"{name}{ending}", 8, notes) for name in "ab")
    assert one.read_bytes() == other.read_bytes()


def test_a_tensor_file_is_the_same_file_every_time(tmp_path):
    """The library mixes the texts of the header anew in every process."""
    program = (
        "import sys, torch; from ivg_core.checkpoints.write import save_tensors;"
        "save_tensors({'b': torch.ones(3), 'a': torch.zeros(2)}, sys.argv[1], {k: k + ' é\"' for k in 'qwertyuiop'})"
    )
    paths = [tmp_path / f"{number}.safetensors" for number in range(4)]
    for path in paths:
        subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert len({path.read_bytes() for path in paths}) == 1


def test_texts_and_tensors_stay_what_they_were(tmp_path):
    from safetensors import safe_open

    tensors = {f"t{i}": torch.randn(i + 1, generator=torch.Generator().manual_seed(i)) for i in range(9)}
    texts = {f"k{i}": chr(i) + '\u20ac\U0001f35d\\"' for i in range(1, 50)}
    save_tensors(tensors, tmp_path / "x.safetensors", texts)
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata() == texts
        assert all(torch.equal(file.get_tensor(name), value) for name, value in tensors.items())


@pytest.mark.parametrize("there", [False, True])
def test_a_checkpoint_folder_is_whole_or_not_there(there, tiny_model, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    if there:
        save_folder(tiny_model, folder)
        (folder / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ivg_core.checkpoints.save.tokenizer_files", full)  # half of it is written by then
        with pytest.raises(IVGError, match="No space left"):
            save_folder(tiny_model, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"] * there
    assert load_model(save_folder(tiny_model, folder)).unet is not None
    assert not there or (folder / "notes.txt").read_text() == "mine"


def test_what_a_killed_run_left_is_taken_away(tmp_path):
    (tmp_path / ".x.part").mkdir()
    (tmp_path / ".x.part" / "half").touch()
    with atomic_folder(tmp_path / "x") as partial:
        (partial / "a").write_text("a")
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["a"] and len(list(tmp_path.iterdir())) == 1


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("os.fsync", lambda handle: told.append("disk"))
    monkeypatch.setattr("os.replace", lambda old, new: told.append("name"))
    with atomic_write(tmp_path / "x") as temporary:
        temporary.write_text("x")
    assert told[:2] == ["disk", "name"]


def test_two_trainings_in_one_folder_are_kept_apart(tiny_model, tmp_path):
    with alone_in(tmp_path / "run", "training"), pytest.raises(IVGError, match="Another training is at work in"):
        train(small(tmp_path / "run", steps=1), tiny_model, clips(1))
    assert train(small(tmp_path / "run", steps=1), tiny_model, clips(1)).finished


def test_a_lock_ends_with_its_process(tmp_path):
    program = (
        "import sys, os; from pathlib import Path; from ivg_core.media.lock import alone_in\n"
        "with alone_in(Path(sys.argv[1]), 'batch'): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)]).returncode == 9
    with alone_in(tmp_path, "batch"):
        pass
