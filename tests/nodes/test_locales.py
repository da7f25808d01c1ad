"""What the interface shows in each language: complete, and saying the same.

    UPDATE_LOCALES=1 pytest tests/nodes/test_locales.py

writes the English file anew after a schema has changed. The other languages are written by people; the tests name what
they lack.
"""

import json
import os
import pathlib
import re

import pytest

from ivg_pack.nodes import NODES

LOCALES = pathlib.Path(__file__).resolve().parents[2] / "locales"
TRANSLATED = ("zh", "ja")
#: Names that are the same in every language.
SAME_EVERYWHERE = {"VAE", "HS-Err", "PSNR"}
CJK = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
#: What a translation must not lose: numbers; paths, endings and other code; names such as LTX or HunyuanVideo.
KEPT = (
    re.compile(r"\d+(?:\.\d+)*"),
    re.compile(r"[\w.<>:%+-]*[/_%][\w./<>:%+-]*\w[/%>]?|(?<!\w)\.\w+|\w+\.[a-z]\w+"),
    re.compile(r"\b(?=\w*[A-Z]\w*[A-Z])\w+?(?=s?\b)"),
)
#: vue-i18n takes these for its own syntax.
MEANT_FOR_VUE = set("{}@|")


def read(language: str, file: str) -> dict:
    return json.loads((LOCALES / language / file).read_text("utf-8"))


def english() -> dict:
    """nodeDefs.json, made from the nodes' schemas."""
    return {
        schema.node_id: {
            "display_name": schema.display_name,
            "description": schema.description,
            "inputs": {item.id: {"name": item.id, "tooltip": item.options["tooltip"]} for item in schema.inputs},
            "outputs": {
                str(number): {"name": item.display_name, "tooltip": item.tooltip}
                for number, item in enumerate(schema.outputs)
            },
        }
        for schema in (node.GET_SCHEMA() for node in NODES)
    }


def texts(tree: dict, path: str = "") -> dict[str, str]:
    """Every text of a tree, by its path: `IVGSampler.inputs.seed.tooltip`."""
    found = {}
    for key, value in tree.items():
        found |= texts(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found


def everything(language: str) -> dict[str, str]:
    return texts(read(language, "nodeDefs.json")) | texts(read(language, "main.json"))


def name_of(display_name: str) -> str:
    """As other texts call the node: without what stands in brackets behind it."""
    return re.sub(r" \(.*", "", display_name)


def test_english_is_what_the_nodes_say():
    if os.environ.get("UPDATE_LOCALES"):
        (LOCALES / "en" / "nodeDefs.json").write_text(
            json.dumps(english(), indent=2, ensure_ascii=False) + "\n", "utf-8"
        )
    assert read("en", "nodeDefs.json") == english(), "a schema changed: run this test once with UPDATE_LOCALES=1"


@pytest.mark.parametrize("language", TRANSLATED)
def test_nothing_is_missing_and_nothing_is_left_over(language):
    wanted = texts(english()).keys() | texts(read("en", "main.json")).keys()
    there = everything(language).keys()
    missing, left_over = sorted(wanted - there), sorted(there - wanted)
    assert not missing, f"add to locales/{language}: " + ", ".join(missing)
    assert not left_over, f"remove from locales/{language}: " + ", ".join(left_over)


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated(language):
    english = everything("en")
    for path, text in everything(language).items():
        assert text in SAME_EVERYWHERE or CJK.search(text), f"{language}: {path} is not translated: {text}"
        assert text in SAME_EVERYWHERE or text != english[path]
        assert text == text.strip() and "  " not in text


@pytest.mark.parametrize("language", TRANSLATED)
def test_numbers_paths_and_names_survive(language):
    translated, lost = everything(language), []
    for path, text in everything("en").items():
        if path.endswith(".name"):
            continue
        node = path.split(".")[0]
        for kept in (kept for pattern in KEPT for kept in pattern.findall(text)):
            # Another input of the node goes by its translated name.
            if translated.get(f"{node}.inputs.{kept}.name", kept) not in translated[path]:
                lost.append(f"{path}: {kept}")
    assert not lost, f"locales/{language} lost:\n" + "\n".join(lost)


@pytest.mark.parametrize("language", TRANSLATED)
def test_other_nodes_are_called_by_their_translated_names(language):
    english, translated = everything("en"), everything(language)
    names = {
        name_of(english[f"{node.__name__}.display_name"]): name_of(translated[f"{node.__name__}.display_name"])
        for node in NODES
    }
    for path, text in english.items():
        for name in sorted(names, key=len, reverse=True):  # one name can be the beginning of another
            if name in text:
                text, translation = text.replace(name, ""), names[name]
                assert translation in translated[path], f"{language}: {path} should say {translation}"


@pytest.mark.parametrize("language", ("en", *TRANSLATED))
def test_the_interface_can_read_every_text(language):
    for path, text in everything(language).items():
        assert text and not MEANT_FOR_VUE & set(text), f"{language}: {path} holds one of {MEANT_FOR_VUE}: {text}"


@pytest.mark.parametrize("language", TRANSLATED)
def test_slots_of_a_node_have_different_names(language):
    for node, parts in read(language, "nodeDefs.json").items():
        for part in ("inputs", "outputs"):
            names = [slot["name"] for slot in parts[part].values()]
            assert len(names) == len(set(names)), f"{language}: {node} has two {part} of one name"
