"""The report of `evaluate`: tables that can be read, HS-Err with what it hides beside it, and what it was made with."""

import json
import math
import re

import pytest

import ivg_core
from ivg_core.evaluate.bootstrap import Estimate
from ivg_core.evaluate.families import FAMILIES, METRICS
from ivg_core.evaluate.grid import best_of, cell_of, grid_of, legend
from ivg_core.evaluate.metrics.hs_err import LEGEND
from ivg_core.evaluate.page import write_page
from ivg_core.evaluate.report import WIDEST, as_json, as_markdown, write_report
from ivg_core.evaluate.run import ALL, Evaluation, evaluate_methods
from ivg_core.hands.score import LEGEND as OF_SCORE
from ivg_core.media.files import sha256_of


def measured(methods: int, keys=tuple(METRICS), low=0.1) -> Evaluation:
    result = Evaluation({f"method {number}": [] for number in range(methods)}, subsets={ALL: ["a", "b"]})
    row = {key: Estimate(0.25, low, 0.9, 2) for key in keys}
    result.table[ALL] = dict.fromkeys(result.methods, row)
    return result


def tables(result: Evaluation) -> list[list[list[str]]]:
    found = re.findall(r"(?:^\|.*\n?)+", as_markdown(result), re.M)
    return [[[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()] for table in found]


def test_metrics_are_rows_and_methods_columns():
    (table,) = tables(measured(2))
    assert table[0] == ["", "method 0", "method 1"]
    titles = [row[0] for row in table[2:]]
    assert titles[::2] == [f"{m.title} {'↑' if m.better == 'higher' else '↓'}" for m in METRICS.values()]
    assert set(titles[1::2]) == {"95 %"} and table[3][1:] == ["0.10000–0.90000"] * 2


def test_where_there_are_more_methods_they_are_the_rows():
    (table,) = tables(measured(5, ("psnr", "ssim"), low=math.nan))
    assert table[0] == ["", "PSNR ↑", "SSIM ↑"] and [row[0] for row in table[2:]] == list(measured(5).methods)


@pytest.mark.parametrize("methods", [1, 3, 9, 17, 40])
def test_no_table_is_wider_than_a_terminal_and_nothing_is_lost(methods):
    result = measured(methods)
    assert max(map(len, (line for line in as_markdown(result).splitlines() if line[:1] == "|"))) <= WIDEST
    columns = [head for table in tables(result) for head in table[0][1:]]
    assert columns == grid_of(result, ALL).heads and len(columns) in (methods, len(METRICS))


def test_the_share_of_hands_found_stands_beside_every_mean_of_hs_err():
    result = measured(2)
    for title in ("HS-Err ↓", "HS-Err, found hands ↓"):
        (row,) = (row for row in tables(result)[0] if row[0] == title)
        assert all("25% hands found" in cell for cell in row[1:])
    unknown = {"hs_err": Estimate(0.5, math.nan, math.nan, 1)}
    assert str(cell_of("hs_err", unknown)) == "0.50000" and str(cell_of("psnr", unknown)) == "–"
    unknown["hand_recall"] = Estimate(math.nan, math.nan, math.nan, 1)
    assert str(cell_of("hs_err", unknown)) == "0.50000"


def test_what_is_shown_alike_is_best_alike():
    rows = {name: {"psnr": Estimate(value, value, value, 2)} for name, value in (("a", 23.2151), ("b", 23.2149))}
    assert METRICS["psnr"].digits == 2 and best_of("psnr", rows) == {"a"}  # 23.22 and 23.21
    rows["b"] = {"psnr": Estimate(23.216, 23, 24, 2)}
    assert best_of("psnr", rows) == {"a", "b"}


def test_what_is_there_is_explained_once_and_nothing_else(tmp_path):
    assert legend(measured(1)) == [LEGEND, OF_SCORE] and legend(measured(1, ("psnr",))) == []
    assert "(0, 0)" in LEGEND and "How to read it" not in as_markdown(measured(1, ("psnr",)))
    assert as_markdown(measured(1)).count(LEGEND) == 1 and as_json(measured(1))["legend"] == [LEGEND, OF_SCORE]
    page = write_page(measured(2), tmp_path).read_text()
    assert page.count("corner (0, 0)") == 1 and page.count("<small>25% hands found</small>") == 4
    assert "<tr><th></th><th>method 0</th><th>method 1</th></tr>" in page


def test_results_say_what_they_were_made_with(tmp_path):
    result = measured(1)
    result.networks = {"clip/config.json": "0" * 64}
    write_report(result, tmp_path)
    made_with = json.loads((tmp_path / "results.json").read_text())["made_with"]
    assert made_with["versions"]["comfy-ivg"] == ivg_core.__version__ and made_with["command"]
    assert made_with["networks"] == {"clip/config.json": "0" * 64} and "commit" in made_with


def test_networks_are_told_by_their_sha256(tmp_path, monkeypatch):
    import torch

    from ivg_core.evaluate import families, run, tasks
    from ivg_core.evaluate.clips import pair_clips
    from ivg_core.media.video import write_video

    write_video(torch.rand(2, 32, 32, 3), tmp_path / "made" / "a.mp4", 8)
    (tmp_path / "weights").mkdir()
    file = tmp_path / "weights" / families.published.INCEPTION.places[0]
    file.write_bytes(b"weights")
    by_clip = families.Family(
        ("hand_score",), lambda folder, device: lambda clip: {"hand_score": 0.5}, (families.published.INCEPTION,)
    )
    other = families.Family(("clip_consecutive",), FAMILIES[4].load, (families.published.CLIP,))
    for module in (tasks, families):
        monkeypatch.setattr(module, "FAMILIES", (by_clip, other))
    assert run.METRICS is METRICS
    result = evaluate_methods({"made": pair_clips(tmp_path / "made")}, tmp_path / "weights")
    assert result.networks == {file.name: sha256_of(file)}  # and none that nothing was measured through
    assert {path.name for path in FAMILIES[1].shipped} == {
        "hands-mediapipe-palm.safetensors", "hands-mediapipe-landmark.safetensors",
    }  # fmt: skip
    assert all(path.is_file() for path in FAMILIES[1].shipped)
