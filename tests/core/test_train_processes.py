"""Processes, of one machine or of several, learn what one does with more accumulation."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from accelerate import PartialState
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from test_train_one_shot import clips as video_clips
from test_train_one_shot import config
from training_clips import busy, busy_paths, clips, clips_on_disk, small

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.training.config import presets
from ivg_core.training.engine import make_accelerator, prepare_together, tell_deepspeed
from ivg_core.training.trainer import train

ROOT = Path(__file__).parents[2]
LAUNCH, TINY = ROOT / "ivg_core" / "training" / "launch", ROOT / "tests" / "golden" / "tiny_ckpt"

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


COMMAND = """
model: {model}
steps: 3
precision: fp32
warmup: 0
validation: {{every: 1, draws: 1}}
lora: {{spatial: {{rank: 2}}}}
data: {{source: {source}, masks: white, frames: 2, width: 64, height: 64, buckets: false, heldout: 1}}
"""

ZERO = """
import sys
from accelerate import PartialState
PartialState(backend="gloo")  # accelerate knows no backend for DeepSpeed on processors, and would leave it out
from ivg_core.checkpoints.load import load_model
from ivg_core.training.trainer import train
from test_train_processes import zeroed
from training_clips import clips, small
train(small(sys.argv[2], device="auto", **zeroed(sys.argv[3])), load_model(sys.argv[1]), clips(), clips(3))
"""


def zeroed(method: str) -> dict:
    """Settings of which DeepSpeed could get each wrong."""
    part = {"lora": {}, "trainable": ["attn2"]} if method == "full" else {}
    return {
        "method": method,
        "batch_size": 2,
        "accumulation": 2,
        "clip": 0.05,
        "schedule": "cosine",
        "warmup": 2,
    } | part


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def launch(*words, **place) -> subprocess.Popen:
    """`accelerate launch` on processors."""
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    place = {**os.environ, "PYTHONPATH": path, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", **place}
    words = [sys.executable, "-m", "accelerate.commands.launch", *map(str, words)]
    return subprocess.Popen(words, env=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def on_one_machine(*words, file="several-gpus", **place) -> None:
    """Two processes, by a file that the documentation names."""
    port = ["--num_processes", 2, "--main_process_port", free_port()]
    machine = launch("--config_file", LAUNCH / f"{file}.yaml", *port, *words, **place)
    _, said = machine.communicate(timeout=300)
    assert machine.returncode == 0, said[-3000:]


def on_two_machines(first, second) -> list[tuple[int, str]]:
    """One process on each of two machines that meet over loopback, the first one late; their codes and what they said.

    Args:
        first, second: what each starts.
    """
    shared = ["--config_file", LAUNCH / "several-machines.yaml", "--num_machines", 2, "--num_processes", 2]
    shared += ["--main_process_ip", "127.0.0.1", "--main_process_port", free_port()]
    waiting = launch(*shared, "--machine_rank", 1, *second)
    time.sleep(2)
    late = launch(*shared, "--machine_rank", 0, *first)
    said = [machine.communicate(timeout=300)[1] for machine in (late, waiting)]
    return [(machine.returncode, text) for machine, text in zip((late, waiting), said, strict=True)]


@pytest.fixture
def command(tmp_path):
    """`train` on clips on the disk, without --out."""
    file = tmp_path / "my.yaml"
    file.write_text(COMMAND.format(model=TINY, source=clips_on_disk(tmp_path / "clips")))
    return ["train", "--config", file]


def check_equal(two: Path, one: Path, unet) -> None:
    """Two processes and one with double accumulation wrote the same LoRAs."""
    for path in one.glob("*.safetensors"):
        alone, together = (read_lora(run / path.name, unet) for run in (one, two))
        for name, halves in alone.layers.items():
            for a, b in zip(halves, together.layers[name], strict=True):
                torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def processes_of(run: Path) -> int:
    [checkpoint] = run.glob("checkpoint-*")
    return json.loads((checkpoint / "progress.json").read_text())["processes"]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("machines", [1, 2])
def test_the_command_in_two_processes_equals_it_in_one(tiny_model, tmp_path, command, machines):
    two = ["-m", "ivg_core", *command, "--out", tmp_path / "two"]
    if machines == 1:
        on_one_machine(*two)
    else:
        assert [code for code, _ in on_two_machines(two, two)] == [0, 0]
    assert processes_of(tmp_path / "two") == 2
    alone = [*command, "--out", tmp_path / "one", "--set", "accumulation=2", "--set", "device=cpu"]
    assert main([str(word) for word in alone]) == 0
    check_equal(tmp_path / "two", tmp_path / "one", tiny_model.unet)
    told = [json.loads(line) for line in (tmp_path / "two" / "losses.jsonl").read_text().splitlines()]
    alone = [json.loads(line) for line in (tmp_path / "one" / "losses.jsonl").read_text().splitlines()]
    for a, b in zip(told, alone, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["heldout"] == pytest.approx(b["heldout"], abs=1e-5)
    # nothing half-written is left
    assert not [path for path in (tmp_path / "two").rglob(".*") if path.suffix != ".lock"]


def test_machines_that_share_no_folder_are_refused(tmp_path, command):
    here, there = (["-m", "ivg_core", *command, "--out", tmp_path / name] for name in ("here", "there"))
    for code, said in on_two_machines(here, there):
        assert code and "error: Not all processes see the same folder" in said
    assert not list(tmp_path.glob("*/checkpoint-*")) and not list(tmp_path.glob("*/.seen*"))


def test_one_process_where_several_were_meant_is_refused(tmp_path, command):
    machine = launch("--num_processes", 2, "-m", "ivg_core", *command, "--out", tmp_path / "run")
    _, said = machine.communicate(timeout=100)
    assert machine.returncode and "was to start several processes and started one: add --multi_gpu" in said
    assert not (tmp_path / "run").exists()


def test_processes_that_do_not_meet_are_refused(monkeypatch, tmp_path):
    PartialState._reset_state()
    for name, value in {"WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    settings = small(tmp_path, device="auto")
    with pytest.raises(IVGError, match="speaks of 2 processes and 1 found"):
        prepare_together(settings, lambda shard: iter(()))
    with pytest.raises(IVGError, match="speaks of 2 processes and 1 found"):
        make_accelerator(settings)


TOGETHER = """
import sys, time
from pathlib import Path
from ivg_core.errors import IVGError
from ivg_core.training import engine
from training_clips import small
engine.MEET_EVERY = 0.2
place = Path(sys.argv[1])
def work(shard):
    for item in shard.of(range(20)):
        time.sleep(0.3 * shard.number)  # the other one waits longer than a meeting
        (place / f"{shard.number}-{item}").touch()
        yield item
def broken(shard):
    yield from work(shard)
    if shard.number:
        raise IVGError("The disk is full.")
assert engine.prepare_together(small(place, device="auto"), work)
assert len(list(place.glob("[01]-*"))) == 20  # nobody goes on before all is done
try:
    engine.prepare_together(small(place, device="auto"), broken)
except IVGError as error:
    (place / f"said {error}").touch()
"""


def test_processes_prepare_their_shares_at_once_and_stop_together(tmp_path):
    (tmp_path / "script.py").write_text(TOGETHER)
    on_one_machine(tmp_path / "script.py", tmp_path)
    done = sorted(path.name.split("-") for path in tmp_path.glob("[01]-*"))
    assert all(int(item) % 2 == int(number) for number, item in done)
    said = {path.name for path in tmp_path.glob("said*")}
    assert said == {"said The disk is full.", "said Another process could not prepare its clips: it says why."}


@pytest.mark.parametrize("name", ["several-gpus", "several-machines", "deepspeed"])
def test_accelerate_reads_the_files(name):
    """As its launcher does, with the words at the head of the file."""
    text = (LAUNCH / f"{name}.yaml").read_text()
    head = re.sub(r"\\\n# +", "", text.partition("accelerate launch ")[2])
    words = shlex.split(head.partition("\n")[0])
    parsed, defaults, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    assert Path(parsed.config_file) == (LAUNCH / f"{name}.yaml").relative_to(ROOT)
    assert parsed.mixed_precision == defaults.mixed_precision == "no"
    assert (parsed.num_processes, parsed.num_machines) == ((8, 2) if name == "several-machines" else (4, 1))
    assert bool(parsed.multi_gpu) == (name != "deepspeed") == (not parsed.use_deepspeed)
    if name == "deepspeed":
        assert parsed.zero_stage == 2 and parsed.offload_optimizer_device == "none"
    preset = words[words.index("--preset") + 1]
    assert parsed.training_script == "ivg_core" and preset in presets()


def test_deepspeed_is_told_the_trainings_own_settings(tmp_path):
    settings = {"gradient_accumulation_steps": 7, "gradient_clipping": 9}
    tell_deepspeed(settings, small(tmp_path, **zeroed("full")))
    told = {"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2, "gradient_clipping": 0.05}
    assert settings == told
    for odd in ({"ema": 0.5}, {"precision": "fp16"}, busy_paths()):
        with pytest.raises(IVGError, match="with DeepSpeed"):
            tell_deepspeed({}, small(tmp_path, **odd))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("method", ["lora", "full"])
def test_zero_2_learns_what_one_process_does(tmp_path, method):
    pytest.importorskip("deepspeed")  # no requirement; its ZeRO-2 runs on processors too
    (tmp_path / "script.py").write_text(ZERO)
    words = [tmp_path / "script.py", TINY, tmp_path / "two", method]
    on_one_machine(*words, file="deepspeed", ACCELERATE_USE_CPU="false", DS_ACCELERATOR="cpu")
    assert list((tmp_path / "two").glob("checkpoint-*/pytorch_model/zero_pp_rank_1_*"))
    settings = {**zeroed(method), "accumulation": 4}
    one = train(small(tmp_path / "one", **settings), load_model(TINY), clips(), clips(3))
    two = load_model(tmp_path / "two" / "ivg-lora").unet.state_dict() if method == "full" else None
    if two is None:
        check_equal(tmp_path / "two", tmp_path / "one", load_model(TINY).unet)
        return
    for name, weight in one.network.state_dict().items():
        torch.testing.assert_close(weight, two[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["1", "2", "paths"])
@pytest.mark.usefixtures("one_thread")
def test_two_processes_equal_one_with_double_accumulation(tiny_model, tmp_path, kind):
    (tmp_path / "script.py").write_text(SCRIPT)
    on_one_machine(tmp_path / "script.py", TINY, tmp_path / "two", kind)
    settings = busy_paths() if kind == "paths" else busy(int(kind))
    assert processes_of(tmp_path / "two") == 2

    one = train(small(tmp_path / "one", accumulation=2, **settings), tiny_model, clips(), clips(3))
    check_equal(tmp_path / "two", tmp_path / "one", tiny_model.unet)
    two = read_lora(tmp_path / "two" / "ivg-lora.safetensors", tiny_model.unet)
    assert float(two.metadata["ivg_heldout_loss"]) == pytest.approx(one.history[-1]["heldout"], abs=1e-5)


@pytest.mark.usefixtures("one_thread")
def test_a_clip_of_one_video_rests_in_two_processes_where_none_heard_it(golden, tmp_path):
    folder = golden / "glv_more" / "sd1"
    (tmp_path / "script.py").write_text(CLIPS)
    on_one_machine(tmp_path / "script.py", folder, tmp_path / "two")
    settings = config(tmp_path / "one", steps=3, batch_size=1, accumulation=2)
    one = train(settings, load_model(folder), video_clips(count=5)).network
    two = load_model(tmp_path / "two" / "one-shot").unet.state_dict()
    for name, weight in one.state_dict().items():
        torch.testing.assert_close(weight, two[name], atol=1e-5, rtol=0)
