"""The page of a batch that is too large for one file."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from ivg_core.batch import page
from ivg_core.batch.journal import DONE, Journal
from ivg_core.batch.table import Item


@pytest.mark.parametrize("most", [3, 2])
def test_the_pictures_of_many_results_stay_beside_the_page(tmp_path, monkeypatch, most):
    monkeypatch.setattr(page, "MOST_INSIDE", most)
    with Journal(tmp_path) as journal:
        for seed in range(3):
            item = Item(Path("a & b.png"), "hold", seed)
            page.save_thumbnail(torch.rand(2, 16, 24, 3), 8, tmp_path / "thumbnails" / f"{item.name}.webp")
            journal.write(item, DONE, file=f"{item.name}.mp4")
    text = page.write_page(tmp_path).read_text()
    assert "3 made" in text and text.count("<article>") == text.count("<img") == 3
    assert text.count("data:image/webp") == (3 if most == 3 else 0)
    assert text.count('src="thumbnails/a%20%26%20b_s') == (0 if most == 3 else 3)
    with Image.open(tmp_path / "sheet.png") as sheet:
        tall = round(page.TILE * 16 / 24) + 16 * page.LINES + page.GAP
        assert sheet.height == page.GAP + (2 if most == 3 else 1) * (tall + page.GAP)
