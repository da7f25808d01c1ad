"""Two processes learn what one does with twice the accumulation."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_train_one_shot import clips as video_clips
from test_train_one_shot import config
from training_clips import busy, busy_paths, clips, small

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.training.trainer import train

SCRIPT = """
import sys
from ivg_core.checkpoints.load import load_model
from ivg_core.training.trainer import train
from training_clips import busy, busy_paths, clips, small
settings = busy_paths() if sys.argv[3] == "paths" else busy(int(sys.argv[3]))
train(small(sys.argv[2], **settings), load_model(sys.argv[1]), clips(), clips(3))
"""


@pytest.fixture
def one_thread():
    """As many threads as each of the two processes has: where a gradient is ~0, rounding decides Adam's step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


CLIPS = """
import sys
from ivg_core.checkpoints.load import load_model
from ivg_core.training.trainer import train
from test_train_one_shot import clips, config
train(config(sys.argv[2], steps=3, batch_size=1), load_model(sys.argv[1]), clips(count=5))
"""


def in_two_processes(tmp_path, program, *words):
    script = tmp_path / "script.py"
    script.write_text(program)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # With --cpu, accelerate starts a single process and does not say so.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", port]
    path = os.pathsep.join([str(Path.cwd()), str(Path(__file__).parent)])
    place = {**os.environ, "PYTHONPATH": path, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    words = [*launch, str(script), *map(str, words)]
    done = subprocess.run(words, env=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("kind", ["1", "2", "paths"])
@pytest.mark.usefixtures("one_thread")
def test_two_processes_equal_one_with_double_accumulation(golden, tiny_model, tmp_path, kind):
    in_two_processes(tmp_path, SCRIPT, golden / "tiny_ckpt", tmp_path / "two", kind)
    settings = busy_paths() if kind == "paths" else busy(int(kind))
    last = f"checkpoint-{settings['steps']:06d}"
    progress = json.loads((tmp_path / "two" / last / "progress.json").read_text())
    assert progress["processes"] == 2
    two = read_lora(tmp_path / "two" / "ivg-lora.safetensors", tiny_model.unet)

    one = train(small(tmp_path / "one", accumulation=2, **settings), tiny_model, clips(), clips(3))
    for path in (tmp_path / "one").glob("*.safetensors"):
        alone, together = (read_lora(tmp_path / run / path.name, tiny_model.unet) for run in ("one", "two"))
        for name, halves in alone.layers.items():
            for a, b in zip(halves, together.layers[name], strict=True):
                torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    said = {key: text for key, text in two.metadata.items() if "loss" in key}
    assert float(said["ivg_heldout_loss"]) == pytest.approx(one.history[-1]["heldout"], abs=1e-5)


@pytest.mark.usefixtures("one_thread")
def test_a_clip_of_one_video_rests_in_two_processes_where_none_heard_it(golden, tmp_path):
    folder = golden / "glv_more" / "sd1"
    in_two_processes(tmp_path, CLIPS, folder, tmp_path / "two")
    settings = config(tmp_path / "one", steps=3, batch_size=1, accumulation=2)
    one = train(settings, load_model(folder), video_clips(count=5)).network
    two = load_model(tmp_path / "two" / "one-shot").unet.state_dict()
    for name, weight in one.state_dict().items():
        torch.testing.assert_close(weight, two[name], atol=1e-5, rtol=0)
