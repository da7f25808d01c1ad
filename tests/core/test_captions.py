"""Captions as subtitles and in the picture; the fonts and the breaking of lines behind them."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from ivg_core.errors import IVGError
from ivg_core.howto.captions import Span, clock, draw_caption, draw_title, lay_on, one_line, srt
from ivg_core.media import fonts
from ivg_core.media.fonts import font_for
from ivg_core.media.lines import NOT_FIRST, NOT_LAST, columns, wrapped

LONG = "Take the spoon in your right hand and stir the food in the bowl slowly, until nothing sticks to it"


@pytest.fixture
def no_fonts(monkeypatch):
    """A machine that has no font but PIL's own."""
    monkeypatch.setattr(fonts, "_installed", lambda name, number: "")


@pytest.fixture
def a_font(tmp_path):
    """PIL's own font as a file."""
    path = tmp_path / "own.ttf"
    path.write_bytes(ImageFont.load_default(10).font_bytes)
    return path


def test_srt_holds_numbers_times_and_lines():
    text = srt([Span("Cut it", 0, 2.5), Span(LONG, 3661.0415, 3662)])
    first, second = text.split("\n\n")
    assert first == "1\n00:00:00,000 --> 00:00:02,500\nCut it"
    number, times, *lines = second.splitlines()
    assert (number, times) == ("2", "01:01:01,042 --> 01:01:02,000")
    assert " ".join(lines) == LONG and max(map(len, lines)) <= 42


def test_chinese_and_japanese_are_broken_without_spaces():
    text = "布巾でカウンターを拭いて、「きれい」になるまでゆっくりと繰り返してください。"
    lines = wrapped(text, columns, 12)
    assert "".join(lines) == text and max(map(columns, lines)) <= 14  # one sign more, where it may not begin a line
    assert not any(line[0] in NOT_FIRST or line[-1] in NOT_LAST for line in lines)
    assert wrapped("用刀，切", columns, 4) == ["用", "刀，", "切"]
    assert wrapped("加「盐」", columns, 4) == ["加", "「盐", "」"]  # three signs that belong together, and room for two


def test_a_word_longer_than_a_line_is_broken_anywhere():
    assert wrapped("a incomprehensibilities b", len, 10) == ["a", "incomprehe", "nsibilitie", "s b"]


@given(st.text("ab 切の、「」ー(", max_size=60), st.integers(2, 20))
def test_breaking_keeps_every_letter(text, most):
    text = " ".join(text.split())
    assert "".join(wrapped(text, columns, most)).replace(" ", "") == text.replace(" ", "")
    assert all(columns(line) <= most for line in wrapped(text, columns, most))


def test_players_take_nothing_in_a_caption_for_markup():
    shown = srt([Span(r"Heat <b>it</b> if a < b {\an8} {x}", 0, 1)])
    assert not re.search(r"<[/a-z]|\{\\", shown)
    assert shown.replace("\u2060", "").endswith("Heat <b>it</b> if a < b {\\an8} {x}\n")


@pytest.mark.parametrize("text", ["bell \x07", "half \ud83d", "lost \ufffd", 7])
def test_a_text_that_is_none_is_refused(text):
    with pytest.raises(IVGError, match="The caption of step 2"):
        one_line(text, "The caption of step 2")


def test_a_caption_is_one_line_and_not_empty():
    assert one_line(" cut\n\tit　up ", "x") == "cut it up"
    with pytest.raises(IVGError, match="The title is empty"):
        one_line(" \n", "The title")


def test_a_clock_counts_minutes():
    assert [clock(seconds) for seconds in (0, 59.99, 61, 3600)] == ["0:00", "0:59", "1:01", "60:00"]


def test_a_caption_covers_the_lower_edge_only_and_can_be_read():
    drawing = draw_caption("stir", (512, 320), "the caption")
    covered = drawing[..., 3] > 0
    rows = covered.any(1).nonzero()
    assert rows.min() > 250 and rows.max() == 319
    white = drawing[..., :3].amin(2) > 0.9
    ys, xs = white.nonzero(as_tuple=True)
    assert 12 < ys.max() - ys.min() < 40  # letters 23 pixels high
    assert abs((xs.min() + xs.max()).item() / 2 - 256) < 3
    assert (drawing[..., 3][white] > 0.9).all()


def test_a_long_caption_gets_more_lines_then_smaller_letters_then_is_refused():
    def top(text):
        return int((draw_caption(text, (512, 320), "the caption of step 3")[..., 3] > 0).any(1).nonzero().min())

    assert top("stir") > top(LONG) > top(LONG + LONG) >= 320 * 0.6
    with pytest.raises(IVGError, match=r"^The caption of step 3 does not fit into 512 x 320 pixels"):
        top(LONG * 10)


def test_laying_on_mixes_by_opacity():
    picture, drawing = torch.full((1, 2, 3), 0.5), torch.tensor([[[1.0, 1, 1, 0], [1.0, 0, 0, 1]]])
    assert lay_on(picture, drawing).tolist() == [[[0.5, 0.5, 0.5], [1, 0, 0]]]


def test_a_title_stands_in_the_middle_of_a_darkened_picture():
    card = draw_title("Tea", torch.ones(120, 200, 3), "the title")
    assert card[0, 0, 0] < 0.5
    ys, xs = (card.amin(2) > 0.9).nonzero(as_tuple=True)
    assert abs(ys.float().mean() - 60) < 8 and abs(xs.float().mean() - 100) < 8


@pytest.mark.parametrize("text, letter", [("cut 切", "切 U+5207"), ("の", "の U+306E"), ("a 🍅", "🍅 U+1F345")])
def test_letters_that_no_font_has_are_named(no_fonts, text, letter):
    sign, code = letter.split()
    with pytest.raises(IVGError, match=f"has '{sign}' \\({re.escape(code)}\\).* the caption of step 4: give the path"):
        draw_caption(text, (512, 320), "the caption of step 4")


def test_pils_own_font_is_enough_for_english(no_fonts):
    assert font_for("Stir, don't shake: 50 %", 12, "x").getname() == ImageFont.load_default(12).getname()


def test_a_font_on_the_system_is_taken_where_pils_own_lacks_a_letter(monkeypatch):
    """The second of two installed ones, as the first lacks it too; of a machine with DejaVu."""
    if not (place := fonts._installed("DejaVuSans.ttf", 0)):
        pytest.skip("needs DejaVuSans.ttf")
    monkeypatch.setattr(fonts, "_installed", lambda name, number: place if name == "arial.ttf" else "")
    assert font_for("œuf", 12, "x").getname()[0] == "DejaVu Sans"


def test_a_space_is_no_missing_letter(monkeypatch):
    """In fonts that draw nothing in place of a letter that they lack."""
    monkeypatch.setattr(fonts, "_drawn", lambda font, letter: "" if letter in (" ", "切", fonts.NO_LETTER) else letter)
    assert fonts._known(ImageFont.load_default(9), "a b切") == 3


def test_japanese_comes_first_where_there_are_kana(monkeypatch):
    asked = []
    monkeypatch.setattr(fonts, "_installed", lambda name, number: asked.append((name, number)) or "")
    for text, first in (("切の", 0), ("切", 2)):
        asked.clear()
        with pytest.raises(IVGError):
            font_for(text, 12, "x")
        assert next(number for name, number in asked if name == "NotoSansCJK-Regular.ttc") == first


def test_a_font_of_the_users(a_font, tmp_path):
    assert font_for("stir", 14, "x", a_font).size == 14
    with pytest.raises(IVGError, match=r"own.ttf has no '切' \(U\+5207\), which is in the title"):
        font_for("切", 14, "the title", a_font)
    with pytest.raises(IVGError, match="There is no font at"):
        font_for("stir", 14, "x", tmp_path / "none.ttf")
    (tmp_path / "bad.ttf").write_text("no font")
    with pytest.raises(IVGError, match="cannot be read as a font"):
        font_for("stir", 14, "x", tmp_path / "bad.ttf")
