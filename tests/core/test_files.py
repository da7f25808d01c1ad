"""Names and folders as they are on people's disks."""

import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.media.clips import open_media
from ivg_core.media.files import PICTURES, UNREADABLE, atomic_write, entries_in, short_name
from ivg_core.media.video import write_video


@pytest.mark.parametrize("name", ["a" * 251 + ".png", "持" * 83 + ".png", "é" * 120 + ".safetensors"])
def test_a_file_of_any_legal_name_is_written(tmp_path, name):
    with atomic_write(tmp_path / name) as outer, atomic_write(outer.with_stem(outer.stem + ".plain")) as inner:
        assert inner.suffix == outer.suffix == (tmp_path / name).suffix
        inner.write_text("whole")
        outer.write_text("whole")
    assert (tmp_path / name).read_text() == "whole"


@pytest.mark.parametrize("name", ["a\0.png", "a\0/b.png", "a" * 256 + ".png"])
def test_a_name_that_cannot_be_is_one_sentence(tmp_path, name):
    with pytest.raises(IVGError, match=r"null character|too long"), atomic_write(tmp_path / name) as temporary:
        temporary.write_text("never")
    assert not list(tmp_path.iterdir())


@given(st.text(max_size=400), st.integers(0, 40))
def test_a_short_name_is_text_that_fits(stem, more):
    name = short_name(stem, more)
    assert len(name.encode()) + more <= 219 and short_name(name, more) == name
    assert len(stem.encode(errors="ignore")) + more > 219 or len(name) == len(stem)


def test_what_lies_in_a_folder(tmp_path):
    for name in ("b", "a", ".hidden", "._a"):
        (tmp_path / name).touch()
    assert [path.name for path in entries_in(tmp_path)] == ["a", "b"]
    for place in (tmp_path / "gone", tmp_path / "a", tmp_path / "a\0"):
        with pytest.raises(IVGError, match="cannot be looked into"):
            entries_in(place)


def test_endings_of_pictures_are_those_that_can_be_read():
    assert {".png", ".jpg", ".jfif", ".tif", ".tiff", ".webp", ".bmp"} <= set(PICTURES)
    assert not set(PICTURES) & set(UNREADABLE) and ".dng" in UNREADABLE


def test_a_clip_may_have_the_name_of_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a:b.mp4", "-c.gif", "%03d.webm"):
        if os.name != "nt":
            write_video(torch.rand(2, 16, 16, 3), name, 8)
            assert open_media(tmp_path / name).facts().frames == 2
