"""docs/training.md: its script runs, and its tables are those of the settings; and what `train --show` prints."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from benchmarks.research import pipeline
from ivg_core.cli import main
from ivg_core.training.config import presets
from ivg_core.training.explain import SECTIONS, reference, settings_of, show
from ivg_core.training.losses import LOSSES

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "training.md"
MARK = "<!-- what follows is made"


def test_its_tables_are_those_of_the_settings():
    text = GUIDE.read_text(encoding="utf-8")
    head = text[: text.index("\n", text.index(MARK)) + 1]
    whole = f"{head}\n{reference()}"
    if os.environ.get("UPDATE_DOCS"):
        GUIDE.write_text(whole, encoding="utf-8")
    assert GUIDE.read_text(encoding="utf-8") == whole, "run UPDATE_DOCS=1 pytest tests/core/test_training_guide.py"


@pytest.mark.parametrize("cls", [cls for cls, _ in SECTIONS.values()] + [kind.cls for kind in LOSSES.values()])
def test_every_setting_is_explained(cls):
    settings = settings_of(cls)
    assert [one.name for one in settings] == [f.name for f in fields(cls)]
    assert all(one.meaning and one.meaning[-1] in ".)" for one in settings)


@pytest.mark.parametrize("preset", presets())
def test_a_preset_is_shown_with_all_that_it_leaves(preset, capsys):
    assert main(["train", "--show", preset]) == 0
    text = capsys.readouterr().out
    assert text == show(preset)
    file = (ROOT / "ivg_core" / "training" / "presets" / f"{preset}.yaml").read_text()
    assert text.startswith(file.rstrip()) and yaml.safe_load(text) == yaml.safe_load(file)
    told = set(re.findall(r"^#   ([\w.]+)=", text, re.MULTILINE))
    given = yaml.safe_load(file)
    for name in ("ema", "clip", "save_every"):
        assert (name in told) != (name in given)
    for name in ("stride", "camera", "frames"):
        assert (f"data.{name}" in told) != (name in given["data"])


def test_what_is_no_preset_is_told(capsys, tmp_path):
    assert main(["train", "--show", "stage3"]) == 2
    assert "give a yaml file, or a preset" in capsys.readouterr().err
    (tmp_path / "mine.yaml").write_text("steps: 7\nlosses: {noise: 2}\n")
    assert main(["train", "--show", str(tmp_path / "mine.yaml")]) == 0
    shown = capsys.readouterr().out
    assert "losses.noise.inside=1.0" in shown and "steps=500" not in shown


def test_its_script_goes_from_clips_to_a_table(tmp_path):
    script = pipeline()
    for words, fewer in {"--scenes 12": "--scenes 2", "--scenes 4": "--scenes 1"}.items():
        assert words in script
        script = script.replace(words, fewer)
    (tmp_path / "pipeline.sh").write_text(script)
    place = {**os.environ, "OUT": "out", "STEPS": "1", "MORE": "--set precision=fp32 --set accumulation=1"}
    place |= {"IVG": f"{sys.executable} -m ivg_core", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "pipeline.sh"], cwd=tmp_path, env=place, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    out = tmp_path / "out"
    for folder in ("sheets", "masks", "predicted"):
        assert {path.name for path in (out / folder).glob("*.png")} == {"0.png", "1.png"}
    assert (out / "stage1" / "ivg-stage1.safetensors").exists() and (out / "stage2" / "ivg-stage2.safetensors").exists()
    table = (out / "report" / "results.md").read_text(encoding="utf-8")
    assert "before" in table and "after" in table and "HS-Err" in table and "RoM IoU" in table
