"""The sentence of an error can be printed and sent, whatever it quotes."""

import json
import pickle

from hypothesis import given
from hypothesis import strategies as st

from ivg_core.errors import IVGError


@given(st.text(st.characters(codec=None, categories=None)))
def test_any_text_can_be_quoted(text):
    said = str(IVGError(f"There is no photo at {text}: check the path."))
    assert json.loads(json.dumps(said).encode()) == said and said.encode("utf-8")
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert text in said


def test_half_a_character_is_written_out():
    error = IVGError("no photo at /a\udcff.png")
    assert str(error) == "no photo at /a\\udcff.png"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
