"""The notebooks run from their first cell to their last, without a network."""

import json
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def code_of(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run(notebook: str, folder: Path, changes: dict[str, str]) -> dict:
    """What its names stand for in the end; run in `folder/notebooks`."""
    names: dict = {}
    code = "\n".join(code_of(NOTEBOOKS / notebook))
    for words, ours in changes.items():
        assert code.count(words) == 1, words
        code = code.replace(words, ours)
    exec(compile(code, notebook, "exec"), names)
    return names


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A folder such as the notebooks'."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setattr(sys, "path", sys.path[:])
    return tmp_path


def test_first_steps(beside):
    names = run("first_steps.ipynb", beside, {})
    size = names["model"].defaults
    assert names["video"].frames.shape == (size.num_frames, size.height, size.width, 3)
    assert (beside / "out" / "notebooks" / "first_steps.mp4").stat().st_size > 1000
    assert names["score"].hands_found == 1 and names["score"].total > 0.4
    from ivg_core.evaluate.metrics.motion import mask_iou

    assert mask_iou(names["mask"], names["elsewhere"]) < 0.3  # another sentence, another region


def test_train_a_lora(beside):
    names = run("train_a_lora.ipynb", beside, {"STEPS = 60": "STEPS = 3", "warmup=5": "warmup=1"})
    assert names["done"].path.exists() and len(names["done"].history) == 3
    row = names["result"].table["all clips"]
    assert set(row) == {"before", "after"} and row["before"]["psnr"].value > 15
    assert (beside / "out" / "notebooks" / "lora" / "report" / "results.md").exists()


@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_they_are_shown_with_what_they_made(notebook):
    """On GitHub a notebook is read, not run."""
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert sum("image/png" in str(cell["outputs"]) for cell in cells) >= 2
    assert notebook.stat().st_size < 2**20
    text = notebook.read_text(encoding="utf-8")
    assert "/root/" not in text and "/tmp/" not in text and "site-packages" not in text
