"""The ablation at its smallest: every row is measured and both trainings run."""

from math import isfinite

import pytest

from benchmarks.ablation import ROWS, AblationSettings, bench_ablation
from ivg_core.checkpoints.load import load_model
from ivg_core.errors import IVGError

TINY = AblationSettings(steps=1, batch=1, clips=1, hands={"weight": 1.0, "frames": 1, "min_snr": 0.0})


def test_every_row_is_measured(tmp_path):
    lines: list[str] = []
    figures = bench_ablation(load_model("embedded"), tmp_path, scenes=1, seeds=1, settings=TINY, log=lines.append)
    assert [line.split()[2] for line in lines] == list(ROWS)
    for row in ROWS:
        for name in ("hs_err", "hs_err_sd", "rom_miou", "motion_precision", "distance"):
            assert isfinite(figures[f"{name}_{row}"]), (name, row)
    assert figures["rom_miou_gt"] > figures["rom_miou_white"]
    assert figures["rom_miou_stage1"] == figures["rom_miou_stage1_hand"]
    kinds = {path.name for path in tmp_path.iterdir()}
    assert {"seed0-plain", "seed0-hands"} <= kinds


def test_nothing_to_measure_is_said(tmp_path):
    with pytest.raises(IVGError, match="0 seeds"):
        bench_ablation(load_model("embedded"), tmp_path, seeds=0)
