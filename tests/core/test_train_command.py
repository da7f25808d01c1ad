"""`train`, `merge-lora`, `convert-lora`, run as people run them: on the embedded model, with a clip on disk."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_clips import clips_on_disk

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.cli import main
from ivg_core.media.images import save_png
from ivg_core.models.lora import merge_lora

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = str(GOLDEN / "tiny_ckpt")
QUICK = """
model: {model}
steps: 3
save_every: 1
precision: fp32
device: cpu
validation: {{every: 1, draws: 1}}
lora: {{spatial: {{rank: 2}}}}
data: {{source: {source}, masks: white, frames: 2, width: 64, height: 64, buckets: false, heldout: 1}}
"""


def run(*words) -> int:
    return main([str(word) for word in words])


@pytest.fixture(autouse=True)
def _signals():
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(QUICK.format(model=TINY, source=clips_on_disk(tmp_path / "clips")))
    return file


def test_train_resume_merge(tmp_path, config, capsys):
    out = tmp_path / "run"
    assert run("train", "--config", config, "--out", out) == 0
    said = capsys.readouterr()
    assert "step 3/3" in said.err and "heldout" in said.err and "ivg-lora.safetensors" in said.out
    assert run("train", "--config", config, "--out", out) == 2
    assert "--resume auto" in capsys.readouterr().err
    assert run("train", "--config", config, "--out", out, "--resume", "auto", "--set", "steps=4") == 0
    assert "step 4/4" in capsys.readouterr().err

    merged = tmp_path / "merged"
    assert run("merge-lora", "--model", TINY, out / "ivg-lora.safetensors", "--out", merged) == 0
    model = load_model(TINY)
    merge_lora(model.unet, read_lora(out / "ivg-lora.safetensors", model.unet))
    again = load_model(merged).unet.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.unet.state_dict().items())


@pytest.mark.parametrize("words", [["--preset", "stage1-lora"], ["--config", "bare.yaml"]])
def test_clips_that_happen_to_lie_there_are_not_trained_on(tmp_path, monkeypatch, capsys, words):
    clips_on_disk(tmp_path / "clips")
    (tmp_path / "bare.yaml").write_text("steps: 1")
    monkeypatch.chdir(tmp_path)
    assert run("train", *words, "--model", TINY, "--out", "run") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: There is nothing to train on: give your clips with --data, a folder")
    assert not Path("run").exists()


@pytest.mark.parametrize(("warmup", "told"), [(3, True), (2, False)])
def test_a_warm_up_as_long_as_the_training_is_told(tmp_path, config, caplog, warmup, told):
    assert run("train", "--config", config, "--out", tmp_path / "run", "--set", f"warmup={warmup}") == 0
    assert ("The warm-up of 3 steps is not over when the training of 3 ends" in caplog.text) == told


def test_dry_run_trains_nothing(tmp_path, config, capsys):
    assert run("train", "--config", config, "--out", tmp_path / "run", "--dry-run") == 0
    assert "stir the soup" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--set", "lerning_rate=1"], "learning_rate"),
        (["--set", "lr=1"], "there is no setting 'lr'; did you mean 'learning_rate'?"),
        (["--set", "rank=4"], "did you mean 'lora.spatial.rank'?"),
        (["--set", "data.num_frames=4"], "did you mean 'frames'?"),
        (["--set", "data.souce=x"], "source"),
        (["--set", "steps"], "--set steps=200"),
        (["--data", "nowhere"], "nowhere"),
        (["--model", "nowhere"], "nowhere"),
        (["--resume", "nowhere"], "no checkpoint"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, config, capsys, words, hint):
    assert run("train", "--config", config, "--out", tmp_path / "run", *words) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1 and hint in said[0]


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, config):
    words = [sys.executable, "-m", "ivg_core", "train", "--config", config, "--out", tmp_path / "run"]
    words += ["--set", "steps=5000", "--set", "save_every=0", "--set", "validation.every=0"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    while "step 2/" not in child.stderr.readline():
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0 and "--resume auto" in out
    [checkpoint] = (tmp_path / "run").glob("checkpoint-*")
    assert json.loads((checkpoint / "progress.json").read_text())["step"] >= 2


def test_convert_the_released_list(tmp_path, capsys):
    out = tmp_path / "named.safetensors"
    assert run("convert-lora", "--model", TINY, GOLDEN / "lora_cloneofsimo_r2.pt", "--out", out) == 0
    assert "diffusion_model.conv_in.lora_up.weight" in load_file(out)


def test_convert_stable_lora(tmp_path):
    # its convolutions are flat: A (r * k, in * k), B (out * k, r * k)
    a, b = torch.randn(2 * 3, 32 * 3), torch.randn(4 * 3, 2 * 3)
    save_file({"conv_out.lora_A": a, "conv_out.lora_B": b}, tmp_path / "1_lora_text_to_video_unet.safetensors")
    out = tmp_path / "named.safetensors"
    assert run("convert-lora", "--model", TINY, tmp_path / "1_lora_text_to_video_unet.safetensors", "--out", out) == 0
    unet = load_model(TINY).unet
    change = read_lora(out, unet).change("conv_out", unet.conv_out.weight)
    torch.testing.assert_close(change, (b @ a).view(unet.conv_out.weight.shape))


def test_layers_that_fit_nowhere_are_refused_unless_the_command_says_so(tmp_path, capsys):
    a, b = torch.randn(2, 32 * 9), torch.randn(4, 2)
    tensors = {"conv_out.lora_A": a, "conv_out.lora_B": b, "text_model.x.lora_A": a + 1, "text_model.x.lora_B": b + 1}
    save_file(tensors, tmp_path / "x.safetensors")
    for words in (
        ["convert-lora", tmp_path / "x.safetensors", "--out", tmp_path / "y.safetensors"],
        ["merge-lora", tmp_path / "x.safetensors", "--out", tmp_path / "merged.SAFETENSORS"],
    ):
        assert run(*words, "--model", TINY) == 2
        said = capsys.readouterr().err
        assert "1 of the 2 layers" in said and "text encoder" in said and "--lora-partial" in said
        assert not words[-1].exists()
        assert run(*words, "--model", TINY, "--lora-partial") == 0
        assert words[-1].is_file()


def test_a_lora_of_nan_is_named_before_anything_is_made(tmp_path, capsys):
    save_file(
        {"conv_out.lora_A": torch.full((2, 288), torch.nan), "conv_out.lora_B": torch.ones(4, 2)}, tmp_path / "x.sft"
    )
    words = ["generate", "--model", TINY, "--image", GOLDEN / "input.png", "--prompt", "stir", "--fallback", "white"]
    assert run(*words, "--frames", 2, "--steps", 1, "--lora", tmp_path / "x.sft", "--out", tmp_path / "x.mp4") == 2
    said = capsys.readouterr().err
    assert "x.sft holds NaN or infinite values in 1 of 2 tensors" in said and "bfloat16" not in said
    assert not (tmp_path / "x.mp4").exists()


def test_a_picture_is_no_clip(tmp_path, config, capsys):
    save_png(torch.rand(64, 64, 3), tmp_path / "one.png")
    assert run("train", "--config", config, "--out", tmp_path / "run", "--data", tmp_path / "one.png") == 2
    assert "one.png" in capsys.readouterr().err or "one" in capsys.readouterr().err
