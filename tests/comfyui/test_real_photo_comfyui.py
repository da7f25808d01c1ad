"""The workflows for real photos in a real ComfyUI: what a fresh Run says, the region shown, prompts that are valid."""

import dataclasses
import io
import json

import numpy as np
import pytest
from long_graphs import NEWER as LONG_GRAPHS
from PIL import Image
from real_graphs import GRAPHS, NEWER
from rom_graphs import GRAPHS as ROM_GRAPHS
from rom_parts import MODELS
from tour import ROOT, all_models, hand_clip, hand_photo, needs_newer, open_workflow, page_faults, set_widgets
from window_graphs import GRAPHS as WINDOW_GRAPHS

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser, find_chromium

VIDEO_GRAPHS = {**ROM_GRAPHS, **WINDOW_GRAPHS, **LONG_GRAPHS}
FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(
    FOUND is None or not find_chromium(), reason="no ComfyUI (name its folder in COMFYUI_PATH), or no Chromium"
)

REAL = ROOT / "workflows" / "ivg_01_real_photo.json"
NO_HAND = "There is no hand in this photo: choose your own photo in Load Image"
SECONDS = 240


@dataclasses.dataclass
class Opened:
    """A running ComfyUI with its own interface, and a client of the same server."""

    server: ComfyServer
    page: ComfyBrowser
    client: ComfyClient
    moved: np.ndarray  # (H, W), where the drawn hand is, before or after


@pytest.fixture(scope="module")
def comfy(tmp_path_factory):
    """With the names of all models, and two frames of a drawn clip to load."""
    models, folder = all_models(tmp_path_factory.mktemp("models")), tmp_path_factory.mktemp("input")
    clip = hand_clip()
    later = folder / "hands_later.png"
    Image.fromarray(clip.frames[-1]).save(later)
    with (
        ComfyServer(FOUND[0], [ROOT], python=FOUND[1], models=models, inputs=[hand_photo(folder), later]) as server,
        ComfyBrowser(server.url, expect_extensions=["ivg"]) as page,
    ):
        page.foreign_requests.clear()
        yield Opened(server, page, ComfyClient(server.url), (clip.hands > 127).any(0))
        assert page_faults(page) == []


def submitted(comfy: Opened, name: str) -> dict:
    """The prompt that the interface would send for a workflow as it is."""
    path = ROOT / "workflows" / f"{name}.json"
    if newer := needs_newer(path, comfy.client):
        pytest.skip(newer)
    assert open_workflow(comfy.page, path) == []
    return comfy.page.to_api()


@pytest.mark.parametrize("name", [*GRAPHS, *NEWER, *VIDEO_GRAPHS])
def test_a_prompt_is_valid_but_for_files_that_are_not_there(comfy, name):
    """ComfyUI takes it with empty files in the models' place; without them it names these, and nothing else."""
    prompt = submitted(comfy, name)
    absent = json.loads(json.dumps(prompt))
    files = [
        (node, widget)
        for node, one in absent.items()
        for widget, value in one["inputs"].items()
        if isinstance(value, str) and value in MODELS
    ]
    for node, widget in files:
        absent[node]["inputs"][widget] = "absent.safetensors"
    _, answer = comfy.client.post("/prompt", {"prompt": absent})
    faults = [(node, fault) for node, one in answer["node_errors"].items() for fault in one["errors"]]
    assert {node for node, _ in faults} == {node for node, _ in files}
    assert all("absent.safetensors" in fault["details"] for _, fault in faults)
    status, answer = comfy.client.post("/prompt", {"prompt": prompt})
    comfy.client.post("/queue", {"clear": True})
    comfy.client.interrupt()
    assert status == 200 and not answer["node_errors"], answer


@pytest.mark.parametrize("name", ["ivg_01_real_photo", "ivg_15_any_video"])
def test_a_fresh_run_says_in_one_sentence_that_the_photo_shows_no_hand(comfy, name):
    result = comfy.client.run(submitted(comfy, name), timeout=SECONDS)
    assert result.status == "error"
    (error,) = result.errors
    assert NO_HAND in error and "\n" not in error


def shown_by(comfy: Opened, kind: str) -> np.ndarray:
    """The picture that a node of a class showed in the last run."""
    (file,) = comfy.client.last_outputs()[str(comfy.page.find(kind))]["images"]
    return np.asarray(Image.open(io.BytesIO(comfy.client.view(file))).convert("RGBA"))


def test_run_in_the_page_with_the_picture_of_every_comfyui(comfy):
    """One error and no more: the sampler and what saves its video are muted."""
    submitted(comfy, "ivg_01_real_photo")
    outcome = comfy.page.run(timeout=SECONDS)
    comfy.page.dismiss_dialogs()
    assert outcome["status"] == "error" and NO_HAND in outcome["error"]


def test_a_photo_with_a_hand_shows_its_region(comfy):
    submitted(comfy, "ivg_01_real_photo")
    set_widgets(comfy.page, "LoadImage", image="hands.png")
    outcome = comfy.page.run(timeout=SECONDS)
    assert outcome["status"] == "success", outcome
    region = shown_by(comfy, "IVGEditMask")[..., 3] == 0  # (H, W)
    assert 0.08 < region.mean() < 0.25
    assert region[256:, 384:].sum() > 0.9 * region.sum(), "the hand reaches in from below, on the right"
    height, width = shown_by(comfy, "IVGPreviewRoM").shape[:2]
    assert width / height > 1.9 * region.shape[1] / region.shape[0], "photo and region side by side"
    assert not any(one["videos"] for one in outcome["shown"].values())


def test_no_hand_is_no_end(comfy):
    """What the note says: with the node muted a region is painted from nothing."""
    submitted(comfy, "ivg_01_real_photo")
    comfy.page.evaluate("(id) => { window.__harness.node(id).mode = 2; }", comfy.page.find("IVGRoMFromThings"))
    outcome = comfy.page.run(timeout=SECONDS)
    assert outcome["status"] == "success", outcome
    assert (shown_by(comfy, "IVGEditMask")[..., 3] == 255).all()


def test_unmuted_nodes_make_the_video(comfy):
    """What the note says: the three muted nodes, once they are on."""
    submitted(comfy, "ivg_01_real_photo")
    set_widgets(comfy.page, "LoadImage", image="hands.png")
    set_widgets(comfy.page, "IVGSampler", steps=2, frames=3)
    on = comfy.page.evaluate(
        """() => window.app.graph.nodes.filter((node) => node.mode === 2)
          .map((node) => { node.mode = 0; return node.type; })"""
    )
    assert sorted(on) == ["IVGSampler", "LoadIVGModel", "SaveVideo"]
    outcome = comfy.page.run(timeout=SECONDS)
    assert outcome["status"] == "success", outcome
    assert sum(one["videos"] for one in outcome["shown"].values()) == 1


@pytest.mark.parametrize("name", [name for name in [*GRAPHS, *NEWER] if "draft" in name])
def test_a_draft_gives_the_region_of_what_moves(comfy, name):
    """The draft's own nodes, with two frames of a drawn clip in the place of the video model's."""
    kinds = ("LoadImage", "HandKeypoints", "IVGRoMFromVideo", "IVGEditMask", "RefineMask", "IVGPreviewRoM")
    part = {node: one for node, one in submitted(comfy, name).items() if one["class_type"] in kinds}
    of = {one["class_type"]: node for node, one in part.items()}
    photo, find = of["LoadImage"], of["IVGRoMFromVideo"]
    part[photo]["inputs"]["image"] = "hands.png"
    part["later"] = {"class_type": "LoadImage", "inputs": {"image": "hands_later.png"}}
    part["draft"] = {"class_type": "ImageBatch", "inputs": {"image1": [photo, 0], "image2": ["later", 0]}}
    part[find]["inputs"]["frames"] = ["draft", 0]
    part["said"] = {"class_type": "PreviewAny", "inputs": {"source": [find, 3]}}
    result = comfy.client.run(part, timeout=SECONDS)
    assert result.ok, result.errors
    assert "of the draft moves" in "".join(result.outputs["said"]["text"])
    (file,) = result.outputs[of["IVGEditMask"]]["images"]
    region = np.asarray(Image.open(io.BytesIO(comfy.client.view(file))).convert("RGBA"))[..., 3] == 0
    assert (region & comfy.moved).sum() > 0.5 * region.sum() and region.mean() < 0.25
