"""Text files of every editor: read as they were written, or one sentence with the file's name."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.media import text
from ivg_core.media.text import decode, plain, read_text

SAID = "sauté the crème, then plate it…"
WAYS = {
    "UTF-8": SAID.encode(),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + SAID.encode(),
    "UTF-16": b"\xff\xfe" + SAID.encode("utf-16-le"),
    "UTF-16, big end first": b"\xfe\xff" + SAID.encode("utf-16-be"),
    "ANSI": SAID.encode("cp1252"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_editors_write_is_read(tmp_path, way, caplog):
    (tmp_path / "a.txt").write_bytes(WAYS[way])
    with caplog.at_level(logging.WARNING, "ivg"):
        assert read_text(tmp_path / "a.txt") == SAID
    assert ("a.txt is not UTF-8" in caplog.text) == (way == "ANSI")


def test_two_marks_are_none_of_the_text():
    assert decode(b"\xef\xbb\xbf" * 2 + b"stir", "a") == decode("\ufeffstir".encode("utf-16"), "a") == "stir"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_alike(end):
    assert decode(f"a{end}b{end}".encode("utf-16"), "a") == "a\nb\n"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"stir\x00", r"a\.txt holds what is no letter \(U\+0000\)"),
        ("stir".encode("utf-16-le"), "what is no letter"),  # without its mark
        (b"\x81\x8d stir", r"a\.txt is no text .* save it as UTF-8"),
        (b"\xff\xfea", r"a\.txt is no text"),
        (b"\xef\xbb\xbf\xe9", r"a\.txt is no text"),
        ("saut\ufffd".encode(), r"a\.txt holds letters that a program lost"),
        (b"\x89PNG\r\n\x1a\n\0\0", r"a\.txt holds what is no letter"),
    ],
)
def test_what_is_no_text_is_one_sentence(tmp_path, data, sentence):
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(IVGError, match=sentence):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["gone.txt", ".", "a\0.txt", "a" * 300])
def test_what_is_no_file_is_one_sentence(tmp_path, name):
    with pytest.raises(IVGError, match="cannot be read"):
        read_text(f"{tmp_path}/{name}")


def test_what_is_far_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "MOST_BYTES", 1 << 20)
    (tmp_path / "a.txt").write_bytes(b"a" * (1 << 20))
    assert len(read_text(tmp_path / "a.txt")) == 1 << 20
    (tmp_path / "a.txt").write_bytes(b"a" * ((1 << 20) + 1))
    with pytest.raises(IVGError, match=r"a\.txt has more than 1 MiB"):
        read_text(tmp_path / "a.txt")


@given(st.binary(max_size=60) | st.text(max_size=20).map(lambda said: said.encode("utf-16", "surrogatepass")))
def test_any_bytes_are_a_text_without_lost_letters_or_one_sentence(data):
    try:
        said = decode(data, "a.txt")
    except IVGError as error:
        assert str(error).startswith("a.txt ") and "\n" not in str(error)
        return
    assert plain(said, "it") == said.encode().decode()
    assert not set(said) & {"\ufffd", "\0", "\r"} and not said.startswith("\ufeff")


@given(st.text(st.characters(exclude_categories=("C",)), max_size=30).filter(lambda said: "\ufffd" not in said))
def test_what_was_written_in_unicode_comes_back(said):
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert decode(said.encode(encoding), "a") == said


@pytest.mark.parametrize("value", [3, None, ["stir"], {"a": 1}, True])
def test_what_is_no_text_in_a_list_is_named(value):
    with pytest.raises(IVGError, match=r"the caption is .* which is no text"):
        plain(value, "the caption")


def test_halves_of_letters_are_refused():
    with pytest.raises(IVGError, match=r"the caption holds what is no letter \(U\+D800\)"):
        plain("stir \ud800", "the caption")
