"""The measurement of regions in real photos: what it needs, and what it counts."""

import pytest
import torch

from benchmarks.rom_real import THINGS, _on_drawn, _on_sentences, bench_rom_real
from benchmarks.spoil import FAULTS, FEW, spoilt
from ivg_core.errors import IVGError


def page_of(sentences: dict[str, str]) -> str:
    row = '“Do it.” <span>→</span> <b>"{}"</b><img src="input/{}.png">'
    rows = [row.format(sentence, photo) for photo, sentence in sentences.items()]
    return "<html>" + "\n".join(rows)


def test_names_are_counted_against_what_each_photo_shows(tmp_path):
    sentences = {photo: f"Take the {' and the '.join(names)}." for photo, names in THINGS.items()}
    sentences["83"] = "roll the dough into a ball"
    sentences["13"] = "throw it away"
    (tmp_path / "index.html").write_text(page_of(sentences), encoding="utf-8")
    named = sum(map(len, THINGS.values()))
    assert _on_sentences(tmp_path) == {"things_found": named - 2, "things_named": named, "things_extra": 1}


def test_a_folder_that_is_no_page_is_told(tmp_path):
    with pytest.raises(IVGError, match="no page at"):
        bench_rom_real(tmp_path)


def test_motion_of_drawn_clips_is_measured_clean_and_spoilt():
    figures = _on_drawn(2, lambda text: None)
    assert figures["drawn_clips"] == 2 and 0.5 < figures["drawn_clean"] <= 1 and 0 < figures["drawn_spoilt"] <= 1


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_keep_size_and_first_place_and_follow_from_the_seed(fault):
    frames = torch.rand(12, 40, 64, 3, generator=torch.Generator().manual_seed(0))
    one, again, other = spoilt(frames, fault, 1), spoilt(frames, fault, 1), spoilt(frames, fault, 2)
    assert one.shape == (FEW if fault in ("low", "all") else 12, 40, 64, 3)
    assert torch.equal(one, again) and one.min() >= 0 and one.max() <= 1
    assert fault == "low" or not torch.equal(one, other)
    if fault in ("camera", "colours"):
        assert (one[0] - frames[0]).abs().mean() < 0.02 < (one[-1] - frames[-1]).abs().mean() + 0.015
