"""All numbers of MotionDirector's trainings, through the library's own code: tests/golden/check_relatives.py."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDER = GOLDEN / "motiondirector" / "training"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("check_relatives", GOLDEN / "check_relatives.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_relatives"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("part", ["network", "several_adapters", "inversion", "priors", "text", "sampling"])
def test_a_part_is_as_the_reference(script, part):
    checks = list(getattr(script.MotionDirector(FOLDER), part)())
    assert checks and not [str(check) for check in checks if not check.within]


@pytest.mark.parametrize("run", ["one_clip", "one_clip_clean", "two_clips", "hflip", "offset"])
def test_a_training_is_as_the_reference(script, run):
    checks = list(script.MotionDirector(FOLDER).training(run))
    assert len(checks) >= 2 and not [str(check) for check in checks if not check.within]


def test_all_of_the_folder_is_checked(script):
    meta = json.loads((FOLDER / "md_meta.json").read_text())
    assert list(meta["runs"]) == ["one_clip", "one_clip_clean", "two_clips", "hflip", "offset"]


def test_a_wrong_number_is_told_and_fails(script, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "spoilt"
    shutil.copytree(FOLDER, folder)
    meta = json.loads((folder / "md_meta.json").read_text())
    meta["runs"] = {"offset": meta["runs"]["offset"]}
    meta["runs"]["offset"]["losses"][0] += 1e-3
    (folder / "md_meta.json").write_text(json.dumps(meta))
    monkeypatch.setattr(script.MotionDirector, "checks", lambda self: self.training("offset"))
    monkeypatch.setattr(sys, "argv", ["check_relatives.py", "motiondirector", str(folder)])
    assert script.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].startswith("offset: 2 losses: 1.00e-03 (1e-05)")
        and lines[-1] == f"{len(lines) - 2} of {len(lines) - 1} within"
    )
