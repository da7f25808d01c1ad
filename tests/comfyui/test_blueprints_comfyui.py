"""The blueprints in the newer interface: they open, would be submitted whole, and one of them runs."""

import json
import urllib.error

import pytest
from tour import ROOT, page_faults

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser, find_chromium
from comfy_harness.standin import installed_frontend

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None or not find_chromium(), reason="no ComfyUI or no chromium")

FILES = sorted((ROOT / "subgraphs").glob("*.json"))

#: Gives the node on the canvas a drawn photo with its sentence, and saves its video.
COMPLETE = """() => {
  const graph = window.app.graph, node = graph.nodes[0];
  const [scene, save] = ["IVGExampleScene", "SaveVideo"].map((kind) => window.LiteGraph.createNode(kind));
  graph.add(scene);
  graph.add(save);
  for (const name of ["image", "action"]) scene.connect(scene.findOutputSlot(name), node, node.findInputSlot(name));
  node.connect(node.findOutputSlot("video"), save, save.findInputSlot("video"));
  node.widgets.find((widget) => widget.name === "steps").value = 1;
  return node.widgets.map((widget) => widget.name);
}"""


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("comfyui_frontend_package", reason="no newer interface: pip install comfyui-frontend-package")
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], frontend=installed_frontend()) as server:
        yield server


@pytest.fixture(scope="module")
def page(server):
    with ComfyBrowser(server.url, expect_extensions=["ivg"]) as page:
        page.foreign_requests.clear()
        yield page
        assert page_faults(page) == []


def test_comfyui_lists_them(server):
    client = ComfyClient(server.url)
    try:
        listed = client.get("/global_subgraphs")
    except urllib.error.HTTPError:
        pytest.skip("this ComfyUI is older than blueprints")
    ours = {entry["name"] for entry in listed.values() if entry["info"]["node_pack"] == f"custom_nodes.{ROOT.name}"}
    assert ours == {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_opens_and_would_be_submitted_whole(page, path):
    report = page.load(path)
    assert report.ok, report
    (inside,) = json.loads(path.read_text("utf-8"))["definitions"]["subgraphs"]
    assert sorted(node["class_type"] for node in page.to_api().values()) == sorted(
        node["type"] for node in inside["nodes"]
    )


def test_photo_to_video_runs(page):
    page.load(ROOT / "subgraphs" / "Photo to Video (IVG).json")
    shown = page.evaluate(COMPLETE)
    assert {"model_name", "threshold", "grow", "frames", "steps", "seed"} <= set(shown)
    outcome = page.run(timeout=300)
    assert outcome["status"] == "success", outcome["error"]
    steps = {node["inputs"].get("steps") for node in page.to_api().values() if node["class_type"] == "IVGSampler"}
    assert steps == {1}
    assert all(video["seconds"] for video in page.playing())
