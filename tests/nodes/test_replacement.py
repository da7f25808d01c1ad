"""Renamed nodes: told to a ComfyUI that replaces them in old workflows, kept from one that cannot."""

import asyncio
import types

import comfy_api.latest
import pytest

import ivg_pack.nodes as nodes

RENAMED = {
    "old_node_id": "IVGOldSampler",
    "new_node_id": "IVGSampler",
    "old_widget_ids": ["seed"],
    "input_mapping": [{"new_id": "image", "old_id": "photo"}, {"new_id": "seed", "old_id": "seed"}],
}


def load() -> None:
    asyncio.run(nodes.IVGExtension().on_load())


@pytest.fixture
def registered(monkeypatch):
    """What a ComfyUI with node replacement was told."""
    told = []

    class Registry:
        async def register(self, replacement):
            told.append(vars(replacement))

    io, api = comfy_api.latest.io, types.SimpleNamespace(node_replacement=Registry())
    monkeypatch.setattr(io, "NodeReplace", types.SimpleNamespace, raising=False)
    monkeypatch.setattr(comfy_api.latest, "ComfyAPI", lambda: api, raising=False)
    return told


def test_a_comfyui_that_can_replace_is_told(registered, monkeypatch):
    monkeypatch.setattr(nodes, "RENAMED", [RENAMED])
    load()
    assert registered == [RENAMED]


def test_a_comfyui_that_cannot_still_loads_the_pack(monkeypatch):
    monkeypatch.delattr(comfy_api.latest.io, "NodeReplace", raising=False)
    monkeypatch.setattr(nodes, "RENAMED", [RENAMED])
    load()


def test_each_renamed_node_leads_to_one_that_is_there():
    schemas = {schema.node_id: schema for schema in (node.define_schema() for node in nodes.NODES)}
    for entry in nodes.RENAMED:
        assert entry["old_node_id"] not in schemas
        inputs = {one.id for one in schemas[entry["new_node_id"]].inputs}
        assert {one["new_id"] for one in entry["input_mapping"]} <= inputs
