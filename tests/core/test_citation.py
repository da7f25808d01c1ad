"""CITATION.cff is what tools read, and says the same as the page for people."""

import re
from pathlib import Path

import pytest
import yaml

from ivg_core import __version__

ROOT = Path(__file__).parents[2]
PAPERS = {"2412.04189", "2310.08465", "2403.10179", "2305.18264"}


@pytest.fixture(scope="module")
def cited() -> dict:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_it_is_of_this_version_and_complete(cited):
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert all(cited[key] for key in ("title", "message", "authors", "license", "repository-code"))
    assert cited["version"] == __version__
    assert f"{{{__version__}}}" in (ROOT / "docs" / "citing.md").read_text(encoding="utf-8")


def test_it_names_the_four_papers_with_their_authors(cited):
    assert {paper["url"].rpartition("/")[2] for paper in cited["references"]} == PAPERS
    for paper in cited["references"]:
        assert paper["title"] and paper["year"] and paper["type"] in ("article", "conference-paper")
        assert all(author["family-names"] and author["given-names"] for author in paper["authors"])
        assert paper["identifiers"][0]["value"] == f"arXiv:{paper['url'].rpartition('/')[2]}"


def test_the_page_gives_the_same_papers(cited):
    page = (ROOT / "docs" / "citing.md").read_text(encoding="utf-8")
    entries = re.findall(r"^@(?!software)\w+{.*?^}", page, re.M | re.S)
    assert len(entries) == len(cited["references"])
    for paper in cited["references"]:
        (entry,) = (entry for entry in entries if f"{{{paper['title']}}}" in entry)
        said = re.search(r"author += {(.*?)}", entry, re.S)
        assert said and all(author["family-names"] in said[1] for author in paper["authors"])
        assert f"{{{paper['year']}}}" in entry
