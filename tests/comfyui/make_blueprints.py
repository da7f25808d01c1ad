"""Write subgraphs/*.json: parts of the example workflows as single nodes, which ComfyUI lists in its node library.

    COMFYUI_PATH=… PYTHONPATH=.:tests python tests/comfyui/make_blueprints.py

The graphs are built and folded by the newer interface that the tests install; ComfyUI serves them since 0.3.67.
"""

from __future__ import annotations

import dataclasses
import json
import uuid

from batch_graphs import batch_two_stage
from graphs import Box, Graph, two_stage
from make_workflows import ROOT, build

from comfy_harness import ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser
from comfy_harness.standin import installed_frontend

FOLDER = ROOT / "subgraphs"


@dataclasses.dataclass(frozen=True)
class Blueprint:
    """Some boxes of a graph, folded into one node; links that leave them become its inputs and outputs."""

    graph: Graph
    inside: tuple[str, ...]
    shows: tuple[str, ...]  # `box.widget`, in this order on the node
    description: str


def two_stage_seen() -> Graph:
    """The two-stage workflow with its mask and its frames used as well, so that they become outputs."""
    graph = two_stage()
    seen = {"look": Box("MaskPreview", (1430, 800), (320, 320)), "frames": Box("PreviewImage", (1820, 800), (320, 320))}
    links = ["refine.mask > look.mask", "sample.frames > frames.images"]
    return dataclasses.replace(graph, boxes={**graph.boxes, **seen}, links=[*graph.links, *links])


BLUEPRINTS = {
    "Photo to Video (IVG)": Blueprint(
        two_stage_seen(),
        ("model", "predict", "refine", "sample"),
        ("model.model_name", "model.rom_model", "predict.threshold", "refine.grow", "sample.frames", "sample.steps",
         "sample.guidance"),
        "A photo and a sentence become a video of hands doing it: predicts the region of motion, grows it a little, "
        "and makes the video inside it. Runs offline with the embedded model.",
    ),
    "Photo to Mask (IVG)": Blueprint(
        two_stage(),
        ("predict", "refine"),
        ("predict.threshold", "refine.min_area", "refine.grow", "refine.feather"),
        "A photo and a sentence become a mask of all that will move, cleaned and grown; for IVG Sampler, or to hold "
        "any other video model still outside it.",
    ),
    "Batch of Videos (IVG)": Blueprint(
        batch_two_stage(),
        ("loader", "model", "predict", "refine", "sample", "save"),
        ("loader.table", "loader.batch", "loader.prompts", "loader.seeds", "model.model_name", "model.rom_model",
         "sample.frames", "sample.steps", "save.format"),
        "A folder of photos or a table becomes many videos: each run makes the next one, so set the number beside Run. "
        "Finished videos are never made again. Look at output/ivg/<batch>/index.html.",
    ),
}  # fmt: skip

#: Folds nodes of the graph into one; gives its id, and the id that each has inside.
FOLD = """([name, inside]) => {
  const graph = window.app.graph;
  const nodes = Object.entries(inside).map(([box, id]) => [box, graph.nodes.find((node) => String(node.id) === id)]);
  const kinds = Object.fromEntries(nodes.map(([box, node]) => [box, node.type]));
  const { subgraph, node } = graph.convertToSubgraph(new Set(nodes.map(([, node]) => node)));
  subgraph.name = name;
  node.title = name;
  const within = (box) => String(subgraph.nodes.find((n) => n.type === kinds[box]).id);
  return [String(node.id), Object.fromEntries(Object.keys(kinds).map((box) => [box, within(box)]))];
}"""


def fold(browser: ComfyBrowser, name: str, blueprint: Blueprint) -> dict:
    """The blueprint's file: a workflow of one node, with what is inside it beside."""
    _, ids = build(browser, blueprint.graph)
    node_id, within = browser.evaluate(FOLD, [name, {box: ids[box] for box in blueprint.inside}])
    workflow = browser.to_workflow()
    (node,) = [node for node in workflow["nodes"] if str(node["id"]) == node_id]
    (inside,) = [graph for graph in workflow["definitions"]["subgraphs"] if graph["id"] == node["type"]]
    for slot in node.get("inputs", []):
        slot["link"] = None
    for slot in node.get("outputs", []):
        slot["links"] = []
    join_inputs(node, inside)
    shown = [shown.split(".") for shown in blueprint.shows]
    node["properties"] = {"proxyWidgets": [[within[box], widget] for box, widget in shown]}
    node |= {"pos": [0, 0], "order": 0, "widgets_values": []}
    inside |= {"category": "IVG", "description": blueprint.description}
    whole = {
        "revision": 0,
        "last_node_id": node["id"],
        "last_link_id": 0,
        "nodes": [node],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [inside]},
    }
    text = json.dumps(whole)
    for known in [inside["id"], *(slot["id"] for slot in (*inside["inputs"], *inside["outputs"]))]:
        text = text.replace(known, str(uuid.uuid5(uuid.NAMESPACE_URL, f"comfy-ivg {name} {text.index(known)}")))
    return json.loads(text)


def join_inputs(node: dict, inside: dict) -> None:
    """One input for all of a name: `seed_1` is `seed` too."""
    joined = {slot["name"]: slot for slot in inside["inputs"]}
    for slot in inside["inputs"]:
        first = joined.get(slot["name"].removesuffix("_1"), slot)
        if first is not slot:
            first["linkIds"] += slot["linkIds"]
    inside["inputs"] = [slot for slot in inside["inputs"] if joined.get(slot["name"].removesuffix("_1"), slot) is slot]
    for place, slot in enumerate(inside["inputs"]):
        for link in inside["links"]:
            if link["id"] in slot["linkIds"]:
                link["origin_slot"] = place
    kept = {slot["name"] for slot in inside["inputs"]}
    node["inputs"] = [slot for slot in node.get("inputs", []) if slot["name"] in kept]


def main() -> None:
    found = installed_comfyui()
    if found is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    FOLDER.mkdir(exist_ok=True)
    with (
        ComfyServer(found[0], [ROOT], python=found[1], frontend=installed_frontend()) as server,
        ComfyBrowser(server.url, expect_extensions=["ivg"]) as browser,
    ):
        for name, blueprint in BLUEPRINTS.items():
            made = fold(browser, name, blueprint)
            target = FOLDER / f"{name}.json"
            target.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", "utf-8")
            print(name, browser.load(target))


if __name__ == "__main__":
    main()
