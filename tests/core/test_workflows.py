"""The workflow files by themselves, without a ComfyUI: how they lie, what they load, what their notes promise."""

import itertools
import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "workflows").glob("*.json"))
FOR_PHOTOS = [path for path in FILES if path.stem.startswith("ivg_rom_")]
TITLE = 30  # pixels, above a node's place


def nodes_of(path: pathlib.Path) -> list[dict]:
    return json.loads(path.read_text("utf-8"))["nodes"]


def note_of(path: pathlib.Path) -> str:
    return next(node["widgets_values"][0] for node in nodes_of(path) if node["type"] == "MarkdownNote")


def rectangle(node: dict) -> tuple[float, float, float, float]:
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_node_lies_over_another(path):
    for one, other in itertools.combinations(nodes_of(path), 2):
        a, b = rectangle(one), rectangle(other)
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (one["type"], other["type"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_note_names_only_workflows_that_are_there(path):
    named = {name.rstrip("_") for name in re.findall(r"\bivg_\w+", note_of(path))}
    known = {other.stem for other in FILES} | {"ivg_rom", "ivg_example"}
    assert named <= known


@pytest.mark.parametrize("path", FOR_PHOTOS, ids=lambda path: path.stem)
def test_a_workflow_for_photos_begins_with_the_picture_that_every_comfyui_has(path):
    nodes = nodes_of(path)
    (photo,) = [node for node in nodes if node["type"] == "LoadImage"]
    assert photo["widgets_values"][0] == "example.png"
    assert "Load Image" in note_of(path) and not any(node["type"] == "IVGExampleScene" for node in nodes)


@pytest.mark.parametrize("path", FOR_PHOTOS, ids=lambda path: path.stem)
def test_a_note_says_what_its_models_take(path):
    models = [model["name"] for node in nodes_of(path) for model in node["properties"].get("models", [])]
    note = note_of(path)
    assert all(f"[{name}]" in note for name in models)
    assert ("GB of disk" in note and "**Memory:**" in note) == bool(models)


@pytest.mark.parametrize("name", ["ivg_two_stage", "ivg_enriched_action", "ivg_batch_two_stage"])
def test_a_workflow_with_the_embedded_model_says_what_that_knows(name):
    note = note_of(ROOT / "workflows" / f"{name}.json")
    assert "drawn scenes only" in note and "ivg_rom_real" in note
