"""The sweep of made-up inputs: what becomes of one is called by its name, and its kinds can still be made and tried."""

import numpy as np
import pytest
import torch

from benchmarks.kinds.case import KINDS, OUTCOMES, Case, judge, oddity
from benchmarks.malformed import bench_malformed, load_kinds
from ivg_core.cli import build_parser
from ivg_core.errors import IVGError

#: Some of each surface, quick ones.
QUICK = [
    "masks_of_other_tools", "damaged_pictures", "captions_in_encodings", "tables_with_odd_cells",
    "settings_of_trainings", "lora_files", "configs_of_checkpoints", "code_in_weights", "archives",
    "addresses_of_servers", "frames_in_other_forms", "commands_of_masks", "commands_for_weights",
    "tensors_from_other_nodes", "paths_that_lead_out",
]  # fmt: skip


def raising(error):
    def call():
        raise error

    return call


@pytest.mark.parametrize(
    "case, outcome",
    [
        (Case("", lambda: 1), "fine"),
        (Case("", raising(IVGError("mend it"))), "sentence"),
        (Case("", raising(IVGError("mend it")), good=True), "nonsense"),
        (Case("", raising(KeyError("x"))), "tracebacks"),
        (Case("", raising(IVGError(" "))), "tracebacks"),
        (Case("", raising(MemoryError())), "over_memory"),
        (Case("", lambda: 1, lambda found: "it is one"), "nonsense"),
        (Case("", lambda: 1, lambda found: found.size), "nonsense"),
        (Case("", lambda: 1, success="outside"), "outside"),
        (Case("", lambda: torch.tensor([float("nan")])), "nonsense"),
    ],
)
def test_what_becomes_of_an_input(case, outcome):
    assert judge(case).outcome == outcome


@pytest.mark.parametrize(
    "found",
    [torch.ones(0, 3), np.array([np.inf]), {"a": ["saut\ufffd"]}, (1, float("nan")), Case("\ufffd", print)],
)
def test_what_is_wrong_with_any_result(found):
    assert oddity(found)


def test_the_whole_pack_is_tried():
    load_kinds()
    assert {kind.surface for kind in KINDS.values()} == {"library", "commands", "nodes"}
    assert sum(kind.count for kind in KINDS.values()) >= 3000
    from benchmarks.kinds.commands import GOOD, _options

    assert GOOD.keys() == _options().keys() - {"demo"}, "a new command is not tried yet"
    assert build_parser()


def test_some_dozens_of_inputs_are_tried(tmp_path):
    figures = bench_malformed(QUICK, share=0.02, out=tmp_path / "table.txt")
    assert figures["tried"] > 24 and figures["tried"] == sum(figures[outcome] for outcome in OUTCOMES)
    assert figures["fine"] and figures["sentence"] and not figures["unmade"]
    assert not figures["executed"] and not figures["outside"]
    table = (tmp_path / "table.txt").read_text()
    assert all(f"{name} (" in table for name in QUICK)


def test_a_kind_that_is_none():
    with pytest.raises(IVGError, match="no kind 'x'"):
        bench_malformed(["x"])
