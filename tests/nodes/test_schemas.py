"""What the nodes declare: the form of saved workflows, and the help a user sees."""

import asyncio
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import pytest

from ivg_pack.nodes import NODES, _compat, comfy_entrypoint

ROOT = pathlib.Path(__file__).resolve().parents[2]
SNAPSHOT = pathlib.Path(__file__).with_name("schema_snapshot.json")
#: What a user types who does not know our names yet -> one of the nodes that this must find.
SOUGHT = {
    "region of motion": "PredictRoMMask",
    "motion mask": "IVGRoMFromThings",
    "hand pose": "HandKeypoints",
    "animate photo": "IVGSampler",
    "image to video": "IVGSampler",
    "instructional": "IVGSampler",
}
NAMED_BY_THE_OWNER = {"LoadIVGModel", "PredictRoMMask", "RefineMask", "HandKeypoints", "IVGSampler", "TrainIVGLoRA"}


def declared() -> dict:
    """Node id -> its inputs and outputs in order, each with its type: what a saved workflow depends on."""
    schemas = [node.GET_SCHEMA() for node in NODES]
    return {
        schema.node_id: {
            "inputs": [f"{item.id}: {item.io_type}" for item in schema.inputs],
            "outputs": [f"{item.display_name}: {item.io_type}" for item in schema.outputs],
        }
        for schema in schemas
    }


def test_the_entry_point_lists_the_nodes():
    extension = asyncio.run(comfy_entrypoint())
    assert asyncio.run(extension.get_node_list()) == NODES


def test_saved_workflows_stay_valid():
    """Widget values are stored by position: inputs and outputs may be appended, never renamed, moved or removed."""
    if os.environ.get("UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(json.dumps(declared(), indent=1) + "\n")
    saved, now = json.loads(SNAPSHOT.read_text()), declared()
    for node, parts in saved.items():
        assert node in now, f"{node} was removed: old workflows would show a missing node"
        for part, items in parts.items():
            assert now[node][part][: len(items)] == items, f"{node}: {part} changed, which breaks saved workflows"
    assert saved == now, "inputs or nodes were added: run pytest once with UPDATE_SNAPSHOT=1 and commit the snapshot"


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_every_node_explains_itself(node):
    schema = node.GET_SCHEMA()
    assert schema.node_id == node.__name__
    assert schema.node_id in NAMED_BY_THE_OWNER or schema.node_id.startswith("IVG")
    assert schema.display_name.startswith("IVG ") and schema.description
    assert schema.category.split("/")[0] == "IVG"
    for item in schema.inputs:
        assert item.options.get("tooltip"), f"{schema.node_id}.{item.id} has no tooltip"
    for item in schema.outputs:
        assert item.tooltip and item.display_name
    assert (ROOT / "web" / "docs" / schema.node_id / "en.md").is_file()


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_every_node_is_found_by_other_words_than_its_name(node):
    assert len(node.GET_SCHEMA().search_aliases) > 1


@pytest.mark.parametrize("phrase", SOUGHT)
def test_the_search_finds_a_node_by_what_it_is_for(phrase):
    found = {node.__name__ for node in NODES if any(phrase in words for words in node.GET_SCHEMA().search_aliases)}
    assert SOUGHT[phrase] in found


def test_a_comfyui_without_search_aliases_gets_schemas_without_them(monkeypatch):
    @dataclasses.dataclass
    class OldSchema:  # as 0.3.64 has it, in this respect
        node_id: str

    monkeypatch.setattr(_compat.latest.io, "Schema", OldSchema)
    assert _compat.found_by("motion mask") == {}


def test_loading_the_pack_imports_nothing_heavy():
    """ComfyUI starts with every pack it has; ours must not make it wait."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); import conftest; "
        "print([m for m in ('diffusers', 'transformers', 'cv2', 'imageio_ffmpeg', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_for_several_cards_knows_our_nodes():
    """Those of the pack ComfyUI-Distributed are its own affair: it was run once with that pack."""
    graph, known = json.loads((ROOT / "docs" / "several_cards.json").read_text()), declared()
    ours = {number: node for number, node in graph.items() if node["class_type"] in known}
    assert {node["class_type"] for node in ours.values()} >= {"IVGSampler", "PredictRoMMask", "IVGSaveVideo"}
    for node in ours.values():
        kinds = dict(text.split(": ") for text in known[node["class_type"]]["inputs"])
        assert node["inputs"].keys() <= kinds.keys()
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] in ours:
                output = known[ours[value[0]]["class_type"]]["outputs"][value[1]]
                assert output.split(": ")[1] == kinds[name]
