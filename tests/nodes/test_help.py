"""The help pages: one a node and language, each with the node's picture, all small enough to ship."""

import json
import pathlib
import re

import pytest
from PIL import Image

from ivg_pack.nodes import NODES

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "web" / "docs"
LANGUAGES = ("en", "zh", "ja")
MOST_A_PICTURE, MOST_IN_ALL = 60_000, 1_500_000
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]*)\)")
NAMES = [node.__name__ for node in NODES]


def page(node: str, language: str) -> str:
    """The text of a help page."""
    return (DOCS / node / f"{language}.md").read_text("utf-8")


def parts_of(text: str) -> list[int]:
    """How many headings, pictures, table rows, numbered steps and pieces of code a page has."""
    patterns = (r"^#", r"^!\[", r"^\|", r"^\d+\. ", r"^    \S", r"`[^`]+`")
    return [len(re.findall(pattern, text, re.M)) for pattern in patterns]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("node", NAMES)
def test_a_page_is_headed_by_the_nodes_name_and_shows_its_picture(node, language):
    text = page(node, language)
    names = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8"))
    assert text.startswith(f"# {names[node]['display_name']}\n")
    ((alt, picture),) = PICTURE.findall(text)
    assert alt and picture == f"{node}/node.webp"  # the interface looks for it beside the folder of the page
    with Image.open(DOCS / picture) as opened:
        opened.load()
        assert opened.width <= 1200
    assert (DOCS / picture).stat().st_size < MOST_A_PICTURE


@pytest.mark.parametrize("node", NAMES)
def test_translated_pages_have_the_parts_of_the_english_one(node):
    for language in LANGUAGES[1:]:
        headings, pictures, rows, steps, *_ = parts_of(page(node, language))
        assert [headings, pictures, rows, steps] == parts_of(page(node, "en"))[:4], f"{node}/{language}.md"


@pytest.mark.parametrize("node", NAMES)
def test_messages_are_quoted_alike_in_every_language(node):
    """What a page says about an error begins with the error's own words, which are English everywhere."""
    quoted = {language: re.findall(r"^- (\*[A-Za-z][^*]*…?\*)", page(node, language), re.M) for language in LANGUAGES}
    assert quoted["zh"] == quoted["ja"] == quoted["en"]


def test_quoted_messages_are_said_by_the_code():
    code = " ".join(path.read_text("utf-8") for folder in ("nodes", "ivg_core", "web/js")
                    for path in (ROOT / folder).rglob("*.[pj][ys]"))  # fmt: skip
    code = re.sub(r'"\s+f?"', "", code)  # sentences that go over several lines
    for node in NAMES:
        section = page(node, "en").partition("**When it complains**")[2]
        for message in re.findall(r"\*([A-Za-z][^*]*)\*:|\*([A-Za-z][^*]*)\*, \*", section):
            for piece in re.split(r"\s*…\s*", "".join(message)):
                assert piece in code, f"{node}: nothing says {piece!r}"


def test_there_is_nothing_else_and_it_is_small():
    files = {path for path in DOCS.rglob("*") if path.is_file()}
    wanted = {DOCS / node / name for node in NAMES for name in ("node.webp", *(f"{one}.md" for one in LANGUAGES))}
    assert files == wanted
    assert sum(path.stat().st_size for path in files) < MOST_IN_ALL
