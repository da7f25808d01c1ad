"""What was stopped goes on bit for bit; what was killed, cancelled or ran out of disk leaves whole checkpoints."""

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_clips import clips, small

from ivg_core.errors import IVGError
from ivg_core.training import resume as resume_module
from ivg_core.training.backbone import TrainableUNet
from ivg_core.training.config import LoRASettings
from ivg_core.training.trainer import train

# Everything that holds a state: two epochs' order, dropout, an average, a schedule, gradients put together.
STATEFUL = {
    "steps": 6, "batch_size": 2, "accumulation": 2, "ema": 0.9, "schedule": "cosine", "warmup": 2,
    "lora": {"spatial": LoRASettings(4, dropout=0.3), "temporal": LoRASettings(2, learning_rate=1e-2)},
}  # fmt: skip


def equal(a, b) -> bool:
    return a.layers.keys() == b.layers.keys() and all(
        torch.equal(x, y) for name in a.layers for x, y in zip(a.layers[name], b.layers[name], strict=True)
    )


class Cancelled(Exception):
    pass


def cancel_at(step):
    def on_step(done, total, figures):
        if done == step:
            raise Cancelled

    return on_step


@pytest.fixture(scope="module")
def whole(tiny_model, tmp_path_factory):
    return train(small(tmp_path_factory.mktemp("whole"), **STATEFUL), tiny_model, clips())


@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_cancelled_run_goes_on_bit_for_bit(tiny_model, whole, tmp_path, step):
    config = small(tmp_path, **STATEFUL)
    with pytest.raises(Cancelled):
        train(config, tiny_model, clips(), on_step=cancel_at(step))
    torch.manual_seed(99)  # whatever happened in between
    resumed = train(config, tiny_model, clips(), resume="auto")
    assert resumed.finished and equal(resumed.lora, whole.lora)
    assert [figures["loss"] for figures in resumed.history] == [figures["loss"] for figures in whole.history]


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def stopped_with_an_average(tiny_model, folder):
    with pytest.raises(Cancelled):
        train(small(folder, **STATEFUL), tiny_model, clips(), on_step=cancel_at(3))
    (checkpoint,) = resume_module.checkpoints(folder)
    return checkpoint


def test_no_file_of_a_checkpoint_is_unpickled_that_is_not_ours(tiny_model, tmp_path):
    checkpoint = stopped_with_an_average(tiny_model, tmp_path)
    assert not list(checkpoint.glob("custom_checkpoint*"))
    for name in ("custom_checkpoint_0.pkl", "optimizer.bin", "random_states_0.pkl"):
        spoilt = shutil.copytree(checkpoint, tmp_path / f"with_{name}" / checkpoint.name)
        trap = tmp_path / f"{name}.ran"
        torch.save({"steps": Trap(trap)}, spoilt / name)
        config = small(spoilt.parent, **STATEFUL)
        if name == "random_states_0.pkl":  # nothing depends on it, as every batch has its own seed
            train(config, tiny_model, clips(), resume="auto")
        else:
            with pytest.raises(IVGError, match="cannot be taken up"):
                train(config, tiny_model, clips(), resume="auto")
        assert not trap.exists()


def test_a_checkpoint_of_an_older_version_goes_on_bit_for_bit(tiny_model, whole, tmp_path):
    checkpoint = stopped_with_an_average(tiny_model, tmp_path)
    average = checkpoint / resume_module.AVERAGE
    torch.save({**load_file(average), "steps": 3}, checkpoint / resume_module.OLD_AVERAGE)
    average.unlink()
    assert equal(train(small(tmp_path, **STATEFUL), tiny_model, clips(), resume="auto").lora, whole.lora)


def test_should_stop_gives_what_was_learned(tiny_model, tmp_path, caplog):
    asked = iter([False, True])
    stopped = train(small(tmp_path), tiny_model, clips(), should_stop=lambda: next(asked))
    assert (stopped.step, stopped.finished) == (2, False)
    assert stopped.path.is_file() and "resume" in caplog.text
    assert sum(up.abs().sum() for up, _ in stopped.lora.layers.values()) > 0


def test_full_training_resumes_too(tiny_model, tmp_path):
    values = {"method": "full", "trainable": ["temp_conv"], "steps": 3, "network_dropout": True, "name": "model"}
    unbroken = train(small(tmp_path / "a", **values), tiny_model, clips())
    with pytest.raises(Cancelled):
        train(small(tmp_path / "b", **values), tiny_model, clips(), on_step=cancel_at(1))
    resumed = train(small(tmp_path / "b", **values), tiny_model, clips(), resume="auto")
    for a, b in zip(unbroken.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_last_few_are_kept(tiny_model, tmp_path):
    train(small(tmp_path, steps=5, save_every=1, keep_last=2), tiny_model, clips())
    assert [path.name for path in resume_module.checkpoints(tmp_path)] == ["checkpoint-000004", "checkpoint-000005"]


def test_a_finished_run_has_nothing_to_do(tiny_model, tmp_path):
    first = train(small(tmp_path), tiny_model, clips())
    again = train(small(tmp_path), tiny_model, clips(), resume="auto", on_step=cancel_at(4))
    assert equal(first.lora, again.lora)


def test_an_old_run_is_not_run_over(tiny_model, tmp_path):
    train(small(tmp_path, steps=1), tiny_model, clips())
    with pytest.raises(IVGError, match="--resume auto"):
        train(small(tmp_path, steps=1), tiny_model, clips())


def test_other_settings_are_said_or_refused(tiny_model, tmp_path, caplog):
    train(small(tmp_path, steps=1), tiny_model, clips())
    with pytest.raises(IVGError, match="stage"):
        train(small(tmp_path, steps=2, stage=1, losses={"noise": 1}), tiny_model, clips(), resume="auto")
    train(small(tmp_path, steps=2, learning_rate=1e-4), tiny_model, clips(), resume="auto")
    assert "learning_rate is now 0.0001" in caplog.text
    more = {"data": {"source": "clips", "masks": "white"}}
    train(small(tmp_path, steps=3, **more), tiny_model, clips(), resume="auto")
    assert "data.masks is now white; the run up to here had its default" in caplog.text
    with pytest.raises(IVGError, match=r"was trained with lora\.spatial\.rank|was trained with lora\."):
        train(small(tmp_path, steps=4, lora={"spatial": LoRASettings(rank=9)}), tiny_model, clips(), resume="auto")


def test_what_the_network_says_of_itself_is_compared(tiny_model, tmp_path, caplog):
    """A core model's noise levels, above all: they are no setting of the trainer."""
    config = small(tmp_path, steps=1)
    first, again = (TrainableUNet(tiny_model, config) for _ in range(2))
    first.about = lambda: {"noise_levels": [0.9, 1.0], "told": (1,)}
    again.about = lambda: {"noise_levels": [0.0, 0.9], "told": (1,)}
    train(config, first, clips())
    train(small(tmp_path, steps=2), again, clips(), resume="auto")
    assert "noise_levels is now [0.0, 0.9]; the run up to here had [0.9, 1.0]" in caplog.text
    assert "told is now" not in caplog.text


def test_another_model_is_refused(tiny_model, tmp_path):
    train(small(tmp_path, steps=1), tiny_model, clips())
    other = replace(tiny_model, unet=copy.deepcopy(tiny_model.unet))
    torch.nn.init.zeros_(other.unet.conv_out.bias)
    with pytest.raises(IVGError, match="another model"):
        train(small(tmp_path, steps=2), other, clips(), resume="auto")


def test_a_full_disk_is_one_sentence_and_the_earlier_checkpoint_stays(tiny_model, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    config = small(tmp_path, steps=3, save_every=1)
    with pytest.raises(Cancelled):
        train(config, tiny_model, clips(), on_step=cancel_at(1))
    with monkeypatch.context() as patch:
        patch.setattr(resume_module, "save_tensors", full)
        with pytest.raises(IVGError, match=r"No space left on device.*checkpoint-000001 stays"):
            train(config, tiny_model, clips(), resume="auto")
    assert [path.name for path in tmp_path.glob("*checkpoint*")] == ["checkpoint-000001"]
    assert train(config, tiny_model, clips(), resume="auto").finished


def test_a_damaged_checkpoint_is_named(tiny_model, tmp_path):
    train(small(tmp_path, steps=1), tiny_model, clips())
    (tmp_path / "checkpoint-000001" / "optimizer.bin").write_bytes(b"half")
    with pytest.raises(IVGError, match=r"checkpoint-000001.*damaged"):
        train(small(tmp_path, steps=2), tiny_model, clips(), resume="auto")


SCRIPT = """
import sys
from ivg_core.checkpoints.load import load_model
from ivg_core.training.trainer import train
from training_clips import clips, small
model = load_model(sys.argv[1])
values = dict(steps=200, save_every=1, keep_last=2)
train(small(sys.argv[2], **values), model, clips(), on_step=lambda *a: print(a[0], flush=True))
"""


def test_a_killed_run_leaves_only_whole_checkpoints(golden, tiny_model, tmp_path):
    place = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(Path(__file__).parent)])}
    words = [sys.executable, "-c", SCRIPT, str(golden / "tiny_ckpt"), str(tmp_path)]
    child = subprocess.Popen(words, env=place, stdout=subprocess.PIPE, text=True)
    while child.stdout.readline().strip() != "3":
        assert child.poll() is None
    time.sleep(0.05)
    child.kill()
    child.wait()
    last = resume_module.checkpoints(tmp_path)[-1]
    done = json.loads((last / "progress.json").read_text())["step"]
    assert done >= 2
    steps = {"save_every": 1, "keep_last": 2}  # the length of a run with a constant rate changes no step of it
    resumed = train(small(tmp_path, steps=done + 2, **steps), tiny_model, clips(), resume="auto")
    shutil.rmtree(tmp_path)
    assert equal(resumed.lora, train(small(tmp_path, steps=done + 2, **steps), tiny_model, clips()).lora)
