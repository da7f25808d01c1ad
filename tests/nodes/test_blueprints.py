"""The blueprints in subgraphs/: each node, widget and link in them is one that there is."""

import json
import pathlib

import pytest

from ivg_pack.nodes import NODES

FILES = sorted((pathlib.Path(__file__).resolve().parents[2] / "subgraphs").glob("*.json"))
SCHEMAS = {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in NODES)}
WIDGETS = {"INT", "FLOAT", "BOOLEAN", "STRING", "COMBO"}
INPUTS, OUTPUTS = -10, -20  # the ids that ComfyUI gives a subgraph's own ends


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def blueprint(request):
    """(the node that is put on the canvas, what is inside it)."""
    whole = json.loads(request.param.read_text("utf-8"))
    (node,), (inside,) = whole["nodes"], whole["definitions"]["subgraphs"]
    assert node["type"] == inside["id"] and inside["name"] == request.param.stem and inside["description"]
    return node, inside


def test_there_are_three():
    assert len(FILES) >= 3


def test_its_nodes_are_ours_and_have_what_the_file_says(blueprint):
    for node in blueprint[1]["nodes"]:
        schema = SCHEMAS[node["type"]]
        names = [one.id for one in schema.inputs]
        assert {slot["name"] for slot in node["inputs"]} <= set(names)
        assert [slot["name"] for slot in node["outputs"]] == [one.display_name for one in schema.outputs]
        values = [value for value in node["widgets_values"] if value not in ("fixed", "randomize")]
        assert len(values) == sum(one.io_type in WIDGETS for one in schema.inputs)


def test_its_links_are_known_at_both_ends(blueprint):
    outer, inside = blueprint
    nodes = {node["id"]: node for node in inside["nodes"]}
    for link in inside["links"]:
        if link["origin_id"] == INPUTS:
            start = inside["inputs"][link["origin_slot"]]
            assert link["id"] in start["linkIds"]
        else:
            start = nodes[link["origin_id"]]["outputs"][link["origin_slot"]]
            assert link["id"] in start["links"]
        if link["target_id"] == OUTPUTS:
            end = inside["outputs"][link["target_slot"]]
            assert end["linkIds"] == [link["id"]]
        else:
            end = nodes[link["target_id"]]["inputs"][link["target_slot"]]
            assert end["link"] == link["id"]
        assert start["type"] == end["type"] == link["type"]
    known = {link["id"] for link in inside["links"]}
    assert known >= {one for slot in (*inside["inputs"], *inside["outputs"]) for one in slot["linkIds"]}
    for ours, its in ((outer["inputs"], inside["inputs"]), (outer["outputs"], inside["outputs"])):
        assert [slot["name"] for slot in ours] == [slot["name"] for slot in its]


def test_what_the_node_shows_is_there(blueprint):
    outer, inside = blueprint
    nodes = {str(node["id"]): node["type"] for node in inside["nodes"]}
    shown = outer["properties"]["proxyWidgets"]
    assert shown
    for node, widget in shown:
        assert widget in {one.id for one in SCHEMAS[nodes[node]].inputs}
