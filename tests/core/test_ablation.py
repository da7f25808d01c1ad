"""The ablation at its smallest: every row is measured and both trainings run; and the table made of it."""

import json
import subprocess
from math import isfinite

import pytest

from benchmarks import table2
from benchmarks.__main__ import main
from benchmarks.ablation import ROWS, bench_ablation
from ivg_core.checkpoints.load import load_model
from ivg_core.cli import main as ivg
from ivg_core.errors import IVGError


def test_every_row_is_measured_and_stands_beside_the_papers(tmp_path, capsys):
    words = ["table2", "--model", "embedded", "--work", str(tmp_path), "--record", str(tmp_path / "benchmarks")]
    words += ["--steps", "1", "--scenes", "1", "--seeds", "1", "--clips", "1"]
    assert main([*words, "--hands", json.dumps({"weight": 1.0, "frames": 1, "min_snr": 0.0})]) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert lines[0].startswith("base: ") and "steps=1" in lines[0]  # before anything is trained
    assert lines[1].startswith("about ") and lines[1].endswith("minutes on two cores")
    assert any(line.endswith("minutes left") for line in lines)
    assert [line.split()[2] for line in lines if line.startswith("seed 0")] == list(ROWS)

    figures = json.loads((tmp_path / "benchmarks" / "results" / "ablation.json").read_text())
    for row in ROWS:
        for name in ("hs_err", "hs_err_sd", "rom_miou", "motion_precision", "distance"):
            assert isfinite(figures[f"{name}_{row}"]), (name, row)
    assert figures["rom_miou_gt"] > figures["rom_miou_white"]
    assert figures["rom_miou_stage1"] == figures["rom_miou_stage1_hand"]
    assert figures["distance_prior"] != figures["distance_prior_hand"]  # the same mask, another network

    text = (tmp_path / "table2.md").read_text()
    assert text in said
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(ROWS) and len({row.count("|") for row in rows}) == 1
    assert f"| mask of stage 1, hand loss | 5 | 0.01512 | {figures['hs_err_stage1_hand']:.3f} " in rows[-1]
    # the command that it names for the paper's other columns works on what it left
    command = text[text.index("ivg_core evaluate") :].replace("\\\n", " ").split()[1:]
    assert ivg(command) == 0
    assert set(json.loads((tmp_path / "report" / "results.json").read_text())["clips"]) == set(ROWS)


def test_nothing_to_measure_is_said(tmp_path):
    with pytest.raises(IVGError, match="0 seeds"):
        bench_ablation(load_model("embedded"), tmp_path, seeds=0)


def test_the_base_is_known_by_its_hash(tmp_path, monkeypatch):
    there = subprocess.run(["git", "-C", table2.ROOT, "cat-file", "-e", table2.BASE_BLOB], capture_output=True)
    if there.returncode:
        pytest.skip("the history of this repository is not here: a shallow clone, or none")
    path = table2.base_weights(tmp_path)
    model = load_model(path)
    assert model.unet is not None and model.rom_unet is not None
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IVGError, match="is not the base of Table 2"):
        table2.base_weights(tmp_path)


def test_without_the_history_the_ways_to_a_base_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(table2, "ROOT", tmp_path)
    with pytest.raises(IVGError, match=r"git fetch --unshallow.*recipes\.embedded"):
        table2.base_weights(tmp_path)
