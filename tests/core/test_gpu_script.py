"""The runner of everything that needs a GPU: what was measured is kept, whatever becomes of the rest."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.gpu import Setting, Step, make_setting, run_steps
from benchmarks.gpu_profile import kind_of, shares_of_time
from benchmarks.gpu_programs import any_model, told_by
from benchmarks.gpu_steps import STEPS
from ivg_core.errors import IVGError

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture
def setting(tmp_path) -> Setting:
    return Setting(CPU, True, tmp_path / "out", time.monotonic() + 60)


def read(setting: Setting, name: str = "speed_gpu") -> dict:
    return json.loads((setting.out / f"{name}.json").read_text())


def product(setting, told):
    side = 8
    return {"sum": float((torch.ones(side, side) @ torch.ones(side, side)).sum())}


def broken(setting, told):
    return {"never": float(torch.ones(2, 3) @ torch.ones(2, 3))}


def twice(setting, told):
    return {"twice": 2 * told["sum"]}


def test_each_step_is_written_before_the_next_begins(setting):
    def look(setting, told):
        seen.update(read(setting))
        return {}

    seen: dict = {}
    assert run_steps([Step("product", product), Step("look", look)], setting) == []
    assert seen["sum"] == 512 and seen["machine"] and "failed" not in seen


def test_a_step_that_fails_takes_no_other_with_it(setting, capsys):
    steps = [Step("product", product), Step("broken", broken), Step("twice", twice), Step("apart", product, "other")]
    (said,) = run_steps(steps, setting)
    assert said.startswith("broken failed: RuntimeError: ")
    kept = read(setting)
    assert (kept["sum"], kept["twice"], kept["failed"]) == (512, 1024, said)
    assert read(setting, "other")["sum"] == 512 and "failed" not in read(setting, "other")
    told = capsys.readouterr().err
    assert [line.split(":")[0] for line in told.splitlines() if line.endswith("seconds")] == [s.name for s in steps]


def test_no_step_begins_when_the_time_is_over(setting, monkeypatch):
    def late(setting, told):
        monkeypatch.setattr(time, "monotonic", lambda: setting.ends)
        return product(setting, told)

    said = run_steps([Step("late", late), Step("twice", twice), Step("product", product)], setting)
    assert said == ["twice was not run: the time was over.", "product was not run: the time was over."]
    assert read(setting)["sum"] == 512 and "twice" not in read(setting)


def test_a_step_that_is_left_out_leaves_no_file(setting, monkeypatch, capsys):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    assert run_steps([Step("any_model", any_model, "any_model_gpu")], setting) == []
    assert not setting.out.exists() and "COMFYUI_PATH is not set" in capsys.readouterr().err


def test_a_program_tells_its_figures_in_its_last_line_or_why_it_has_none(setting):
    say = "import json, sys; print('words'); print(json.dumps({'arguments': len(sys.argv)}))"
    assert told_by([sys.executable, "-c", say], setting) == {"arguments": 2}  # --tiny is one of them
    with pytest.raises(IVGError, match="ended with 3"):
        told_by([sys.executable, "-c", "raise SystemExit(3)"], setting)
    over = Setting(CPU, False, setting.out, time.monotonic())
    with pytest.raises(IVGError, match="time was over"):
        told_by([sys.executable, "-c", "import time; time.sleep(60)"], over)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_full_size_needs_a_gpu(tmp_path, capsys):
    with pytest.raises(IVGError, match="no GPU"):
        make_setting(tmp_path, False, 8)
    assert main(["gpu", "--out", str(tmp_path)]) == 2 and "--tiny" in capsys.readouterr().err


def test_what_was_not_measured_is_told_at_the_end(tmp_path, capsys):
    assert main(["gpu", "--out", str(tmp_path), "--tiny", "--minutes", "0"]) == 2
    told = capsys.readouterr().err
    assert all(f"{step.name} was not run" in told for step in STEPS)


def test_the_golden_numbers_are_met_by_the_step_too(setting):
    (golden,) = (step for step in STEPS if step.name == "golden")
    assert run_steps([golden], setting) == []
    found = read(setting)
    assert found["golden_unet_worst"] < 1e-5 and found["golden_latents_worst"] < 1e-5
    assert found["golden_levels_worst"] <= 1 and found["golden_levels_share"] < 1e-3


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::cudnn_convolution", "convolution"),
        ("aten::_scaled_dot_product_flash_attention", "attention"),
        ("aten::addmm", "linear"),
        ("aten::mm", "linear"),
        ("aten::native_group_norm", "normalisation"),
        ("aten::add_", "elementwise_and_copies"),
        ("aten::copy_", "elementwise_and_copies"),
        ("aten::sort", "other"),
    ],
)
def test_an_operation_belongs_to_a_kind(name, kind):
    assert kind_of(name) == kind


def test_shares_of_time_are_of_all_of_it(tmp_path):
    a = torch.ones(200, 200)
    found = shares_of_time(lambda: torch.nn.functional.silu(a @ a), CPU, tmp_path / "list.txt")
    assert sum(found.values()) == pytest.approx(1) and found["share_of_time_linear"] > 0
    assert found["share_of_time_convolution"] == 0 and "aten::mm" in (tmp_path / "list.txt").read_text()


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell")
def test_the_shell_script_says_what_it_needs():
    done = subprocess.run(["sh", ROOT / "benchmarks" / "gpu.sh"], capture_output=True, text=True)
    assert done.returncode == 2 and "DIR" in done.stderr
