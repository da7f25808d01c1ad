"""The public interface: each name explains itself, and docs/api.md says what the docstrings say.

UPDATE_DOCS=1 pytest tests/core/test_api_reference.py    # writes it
"""

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ivg_core
from recipes.api_reference import PAGE, SUBJECTS, items, names, page, sections, told, wanted

#: What cannot fail for anything that a user does.
NEVER_FAIL = ("presets",)
FUNCTIONS = [name for name in sorted(ivg_core.__all__) if inspect.isfunction(getattr(ivg_core, name))]


def parts(name: str) -> dict[str, str]:
    return sections(inspect.getdoc(getattr(ivg_core, name)) or "")


def test_the_page_is_up_to_date():
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), "run this test once with UPDATE_DOCS=1 and commit docs/api.md"


def test_every_public_name_has_its_place_once():
    assert sorted(names()) == sorted(ivg_core.__all__)


def test_every_name_of_the_page_can_be_imported_and_every_link_leads_somewhere():
    text = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^### (\w+)$", text, re.M)
    assert headings == names() and all(hasattr(ivg_core, name) for name in headings)
    assert set(re.findall(r"\(#(\w+)\)", text)) == {name.lower() for name in headings}
    for link in re.findall(r"\]\((\.\./[^)]+)\)", text):
        assert (PAGE.parent / link).is_file(), link
    assert "object at 0x" not in text and "<class" not in text


@pytest.mark.parametrize("name", sorted(ivg_core.__all__))
def test_every_argument_and_field_is_explained(name):
    assert parts(name)[""], f"{name} does not say what it is"
    assert told(name) == set(wanted(name)), f"{name}: its docstring explains others than it has"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_says_what_it_gives_and_when_it_fails(name):
    back = inspect.signature(getattr(ivg_core, name)).return_annotation
    assert back is not inspect.Signature.empty
    assert back in (None, "None") or parts(name).get("Returns"), f"{name} does not say what it returns"
    assert name in NEVER_FAIL or "IVGError" in parts(name).get("Raises", ""), f"{name} does not say when it fails"


def test_what_a_docstring_is_made_of():
    found = sections("One.\n\nTwo.\n\nArgs:\n    a, b: of\n        both.\n    **c: x.\n\nSource: paper 3:\n    more.")
    assert found == {"": "One.\n\nTwo.", "Args": "a, b: of\n    both.\n**c: x.", "Source": "paper 3:\nmore."}
    assert items(found["Args"]) == {"a, b": "of both.", "**c": "x."}


def test_no_name_hides_a_folder_or_a_file_of_the_library():
    """`ivg_core.evaluate` is a folder: whoever has imported it would get that in place of a function."""
    library = Path(ivg_core.__file__).parent
    modules = {path.stem for path in library.glob("*.py")} | {path.name for path in library.iterdir() if path.is_dir()}
    assert not modules & set(ivg_core.__all__)
    for module in ("evaluate.run", "training.trainer", "plugins"):
        importlib.import_module(f"ivg_core.{module}")
    assert all(hasattr(ivg_core, name) for name in ivg_core.__all__)


def test_names_are_loaded_only_when_they_are_used():
    seen = "print('torch' in sys.modules)"
    code = f"import sys, ivg_core as ivg; ivg.IVGError; {seen}; ivg.train; {seen}"
    done = subprocess.run([sys.executable, "-c", code], cwd=PAGE.parents[1], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_each_subject_says_what_it_is_for():
    assert all(said for title, (said, _) in SUBJECTS.items() if title != "Errors")
