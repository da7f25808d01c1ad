"""What a person does with the pack in ComfyUI's page, with the mouse where there is one: in both looks."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from tour import ROOT, WORKFLOWS, make_short, needs_download, needs_newer, open_workflow, run_workflow, set_widgets

from ivg_core.media.video import read_video

QUICK = {"steps": 2, "frames": 3}
SECONDS = 240  # for a quick run, on a busy machine
MASK_BY_HAND = ROOT / "workflows" / "ivg_22_paint_the_mask.json"
SHOTS = ROOT / "out" / "shots"  # to be looked at


@pytest.fixture
def page(interface):
    return interface.page


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_opens_runs_and_shows_its_video(interface, page, path):
    if newer := needs_newer(path, interface.client):
        pytest.skip(newer)
    assert open_workflow(page, path) == []
    if not needs_download(path):
        make_short(page, **QUICK)
        set_widgets(page, "LoadImage", image="hands.png")
        assert run_workflow(page, SECONDS) == []


# -- the mask -----------------------------------------------------------------


def alpha_of(interface, node) -> np.ndarray:
    """The alpha of the picture that a node showed in the last run: 0 where it moves."""
    (file,) = interface.client.last_outputs()[str(node)]["images"]
    return np.asarray(Image.open(io.BytesIO(interface.client.view(file))).convert("RGBA"))[..., 3]


def film(interface) -> torch.Tensor:
    """The frames (F, H, W, 3) of the video that the last run saved."""
    files = [file for output in interface.client.last_outputs().values() for file in output.get("images", [])]
    (video,) = [file for file in files if file["filename"].endswith(".mp4")]
    return read_video(interface.server.base_dir / video["type"] / video["subfolder"] / video["filename"])[0]


@pytest.fixture
def edited(interface):
    """Photo and predicted mask, painted over with the mouse along the upper edge; (node, film before, film after)."""
    page = interface.page
    assert open_workflow(page, MASK_BY_HAND) == []
    set_widgets(page, **QUICK)
    node = page.find("IVGEditMask")
    assert page.run(timeout=SECONDS)["status"] == "success"
    before = film(interface)
    assert (alpha_of(interface, node)[:24] == 255).all(), "the prediction already covers what is painted here"
    page.press(node, "Edit mask")
    page.paint_mask([[(0.2, 0.08), (0.8, 0.08)]], SHOTS / f"{interface.look}_mask_editor.png")
    page.dismiss_dialogs()
    assert page.run(timeout=SECONDS)["status"] == "success"
    page.fit()
    page.screenshot(SHOTS / f"{interface.look}_mask_painted.png")
    return node, before, film(interface)


def test_a_painted_mask_changes_the_video_and_outlives_a_reload(interface, edited):
    page, (node, before, after) = interface.page, edited
    painted = alpha_of(interface, node)
    height, width = painted.shape
    assert painted[int(0.08 * height), width // 2] == 0 and painted[-1].max() == 255
    change = (after - before).abs().amax((0, 3))  # (H, W)
    assert change[: height // 6].max() > 0.05, "what was painted moves now"
    untouched = torch.from_numpy(painted[:, : width // 12] == 255)
    assert change[:, : width // 12][untouched].mean() < 0.02, "what was not painted stays"

    file, nodes = page.widget(node, "image"), len(page.to_workflow()["nodes"])
    assert "clipspace" in file
    page.reload()
    assert page.widget(node, "image") == file and len(page.to_workflow()["nodes"]) == nodes
    assert page.run(timeout=SECONDS)["status"] == "success"
    assert (alpha_of(interface, node) == painted).all() and torch.equal(film(interface), after)

    set_widgets(page, "IVGExampleScene", seed=8)
    outcome = page.run(timeout=SECONDS)
    assert outcome["status"] == "error" and "another photo" in outcome["error"]
    page.dismiss_dialogs()
    page.press(node, "Discard edit")
    assert page.widget(node, "image") == ""


def test_a_mask_is_painted_from_nothing(interface):
    page = interface.page
    assert open_workflow(page, MASK_BY_HAND) == []
    set_widgets(page, **QUICK)
    node = page.find("IVGEditMask")
    page.evaluate("(id) => { const n = window.__harness.node(id); n.disconnectInput(n.findInputSlot('mask')); }", node)
    outcome = page.run(timeout=SECONDS)  # shows the photo, though nothing can move yet
    assert outcome["status"] == "error" and "mask is empty" in outcome["error"]
    page.dismiss_dialogs()
    assert (alpha_of(interface, node) == 255).all()
    page.press(node, "Edit mask")
    page.paint_mask([[(0.2, 0.2), (0.8, 0.2)]])
    page.dismiss_dialogs()
    assert page.run(timeout=SECONDS)["status"] == "success"
    painted = alpha_of(interface, node)
    height, width = painted.shape
    assert painted[height // 5, width // 2] == 0 and painted[-1].min() == 255


# -- cancel, language, help ---------------------------------------------------


def test_cancel_in_the_page_and_run_again(interface):
    page = interface.page
    assert open_workflow(page, ROOT / "workflows" / "ivg_20_drawn_photo_to_video.json") == []
    set_widgets(page, **QUICK, seed=3)
    set_widgets(page, "IVGSampler", steps=60)
    page.press_run()
    at = page.cancel_after("IVGSampler", 2)
    assert page.wait_for_end(timeout=SECONDS)["status"] == "interrupted"
    assert page.evaluate("() => window.__harness.step.value") <= at + 2, "it ends within a step or so"
    set_widgets(page, **QUICK)
    assert run_workflow(page, SECONDS) == []


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_the_language_of_the_nodes(interface, language):
    page = interface.page
    path = ROOT / "locales" / language / "nodeDefs.json"
    if not path.is_file():
        pytest.skip(f"no {path.relative_to(ROOT)}")
    named = {kind: one["display_name"] for kind, one in json.loads(path.read_text("utf-8")).items()}
    try:
        page.speak(language)
        assert open_workflow(page, ROOT / "workflows" / "ivg_20_drawn_photo_to_video.json") == []
        titles = page.evaluate("() => Object.fromEntries(window.app.graph.nodes.map((n) => [n.type, n.title]))")
        page.fit()
        page.screenshot(SHOTS / f"{interface.look}_{language}.png")
        ours = {kind: title for kind, title in titles.items() if kind in named}
        assert len(ours) == 5 and ours == {kind: named[kind] for kind in ours}
    finally:
        page.speak("en")


def test_a_node_explains_itself(interface):
    page = interface.page
    assert open_workflow(page, ROOT / "workflows" / "ivg_20_drawn_photo_to_video.json") == []
    shown = page.help(page.find("IVGSampler"))
    assert shown.startswith("IVG Sampler") and "motion_strength" in shown
    page.screenshot(SHOTS / f"{interface.look}_help.png")
    pictures = page.evaluate(
        "() => [...document.querySelectorAll('.node-help-content img')].map((i) => i.complete && i.naturalWidth)"
    )
    assert all(pictures), pictures
