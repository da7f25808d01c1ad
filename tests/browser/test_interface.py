"""The pack in ComfyUI's real web interface (from PyPI), over a stand-in server: needs a Chromium, but no ComfyUI."""

import json
import pathlib

import pytest

pytest.importorskip("playwright", reason="no Playwright: pip install playwright")
pytest.importorskip("comfyui_frontend_package", reason="no interface: pip install --no-deps comfyui-frontend-package")

from playwright.sync_api import Error as PlaywrightError

from comfy_harness.browser import ComfyBrowser, find_chromium
from comfy_harness.standin import StandInServer, core_node
from ivg_pack.nodes import NODES

pytestmark = pytest.mark.skipif(not find_chromium(), reason="no Chromium: apt-get install chromium")

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: Workflows that name models to download need core's own nodes: `tests/comfyui` opens those in a real ComfyUI.
WORKFLOWS = [
    path for path in sorted((ROOT / "workflows").glob("*.json")) if '"directory":' not in path.read_text("utf-8")
]
SIDE = ["INT", {"default": 512, "min": 1, "max": 16384}]
COUNT, CFG = ["INT", {"default": 4, "min": 0, "max": 999}], ["FLOAT", {"default": 8.0, "min": 0, "max": 100}]
SEED = ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}]
TOLD = {"positive": ["CONDITIONING", {}], "negative": ["CONDITIONING", {}], "latent_image": ["LATENT", {}]}
CORE = [
    core_node("LoadImage", {"image": [["example.png"], {"image_upload": True}]}, ["IMAGE", "MASK"]),
    core_node("SolidMask", {"value": ["FLOAT", {"default": 1.0, "min": 0, "max": 1}], "width": SIDE, "height": SIDE},
              ["MASK"]),
    core_node("MaskComposite", {"destination": ["MASK", {}], "source": ["MASK", {}],
                                "x": ["INT", {"default": 0, "min": 0, "max": 16384}],
                                "y": ["INT", {"default": 0, "min": 0, "max": 16384}],
                                "operation": [["multiply", "add", "subtract", "and", "or", "xor"], {}]}, ["MASK"]),
    core_node("PreviewAny", {"source": ["*", {}]}, output_node=True),
    core_node("PreviewImage", {"images": ["IMAGE", {}]}, output_node=True),
    core_node("CreateVideo", {"images": ["IMAGE", {}], "fps": ["FLOAT", {"default": 30.0, "min": 1.0, "max": 120.0}],
                              "audio": ["AUDIO", {}]}, ["VIDEO"]),
    core_node("SaveVideo", {"video": ["VIDEO", {}], "filename_prefix": ["STRING", {"default": "video/ComfyUI"}],
                            "format": [["auto", "mp4"], {}], "codec": [["auto", "h264"], {}]}, output_node=True),
    core_node("CLIPTextEncode", {"text": ["STRING", {"multiline": True}], "clip": ["CLIP", {}]}, ["CONDITIONING"]),
    core_node("VAEDecode", {"samples": ["LATENT", {}], "vae": ["VAE", {}]}, ["IMAGE"]),
    core_node("KSampler", {"model": ["MODEL", {}], "seed": SEED, "steps": COUNT, "cfg": CFG,
                           "sampler_name": [["euler", "dpmpp_2m"], {}], "scheduler": [["simple", "sgm_uniform"], {}],
                           **TOLD, "denoise": ["FLOAT", {"default": 1.0, "min": 0, "max": 1}]}, ["LATENT"]),
    core_node("KSamplerSelect", {"sampler_name": [["euler", "dpmpp_2m"], {}]}, ["SAMPLER"]),
    core_node("SamplerCustom", {"model": ["MODEL", {}], "add_noise": ["BOOLEAN", {"default": True}],
                                "noise_seed": SEED, "cfg": CFG, "sampler": ["SAMPLER", {}], "sigmas": ["SIGMAS", {}],
                                **TOLD}, ["LATENT", "LATENT"]),
    core_node("ContextWindowsManual", {"model": ["MODEL", {}], "context_length": COUNT, "context_overlap": COUNT,
                                       "context_schedule": [["standard_static", "batched"], {}],
                                       "context_stride": COUNT, "closed_loop": ["BOOLEAN", {}],
                                       "fuse_method": [["pyramid", "flat"], {}], "dim": COUNT,
                                       "freenoise": ["BOOLEAN", {}], "cond_retain_index_list": ["STRING", {}],
                                       "split_conds_to_windows": ["BOOLEAN", {}],
                                       "latent_retain_index_list": ["STRING", {}],
                                       "causal_window_fix": ["BOOLEAN", {}]}, ["MODEL"]),
]  # fmt: skip

SHOWN = {"IVGEditMask": {"images": [{"filename": "photo.png", "subfolder": "", "type": "temp"}]}}


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes2"])
def interface(request):
    """(server, page) in the classic look and in the one that draws nodes as HTML."""
    settings = {"Comfy.VueNodes.Enabled": request.param}
    with (
        StandInServer(ROOT, NODES, core=CORE, outputs=SHOWN, settings=settings) as server,
        ComfyBrowser(server.url, expect_extensions=["ivg"]) as page,
    ):
        yield server, page
        assert not page.page_errors
        assert not page.foreign_requests


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_opens_and_runs(interface, path):
    server, page = interface
    report = page.load(path)
    assert report.ok and not report.notes, report
    outcome = page.run(timeout=20)
    assert outcome["status"] == "success", outcome
    submitted = {node["class_type"] for node in server.prompts[-1].values()}
    muted = 2
    shown = {node["type"] for node in json.loads(path.read_text("utf-8"))["nodes"] if node.get("mode") != muted}
    assert submitted == shown - {"MarkdownNote"}


def test_every_widget_is_there_with_its_default(interface):
    _, page = interface
    for node in NODES:
        schema = node.GET_SCHEMA()
        widgets = page.evaluate(
            """(kind) => {
              const node = window.LiteGraph.createNode(kind);
              window.app.graph.add(node);
              return Object.fromEntries((node.widgets ?? []).map((w) => [w.name, w.value]));
            }""",
            schema.node_id,
        )
        expected = {item.id: item.options["default"] for item in schema.inputs if "default" in item.options}
        assert {name: widgets.get(name) for name in expected} == expected, schema.node_id


def test_a_mask_is_painted_and_discarded(interface):
    server, page = interface
    page.load(ROOT / "workflows" / "ivg_22_paint_the_mask.json")
    node = next(n["id"] for n in page.to_workflow()["nodes"] if n["type"] == "IVGEditMask")
    assert page.run(timeout=20)["status"] == "success"
    page.press(node, "Edit mask")
    page.paint_mask([[(0.3, 0.5), (0.7, 0.5)]])
    painted = page.widget(node, "image")
    assert "clipspace" in painted and any("painted-masked" in name for name in server.uploads)
    assert page.run(timeout=20)["status"] == "success"
    submitted = {one["class_type"]: one["inputs"] for one in server.prompts[-1].values()}
    assert submitted["IVGEditMask"]["image"] == painted
    page.press(node, "Discard edit")
    saved = next(n for n in page.to_workflow()["nodes"] if n["type"] == "IVGEditMask")
    assert saved["widgets_values"][:2] == ["", False]  # the buttons come after them and add nothing of their own


@pytest.mark.parametrize(
    ("saved", "opened"),
    [
        (["stroke.png [input]"], True),  # from before there was `any_photo`: it goes on as it did
        (["stroke.png [input]", False], False),
        ([""], False),
    ],
)
def test_for_which_photo_an_edit_of_a_saved_workflow_holds(interface, saved, opened):
    _, page = interface
    workflow = json.loads((ROOT / "workflows" / "ivg_22_paint_the_mask.json").read_text("utf-8"))
    editor = next(node for node in workflow["nodes"] if node["type"] == "IVGEditMask")
    editor["widgets_values"] = saved
    page.load(workflow)
    assert [page.widget(editor["id"], name) for name in ("image", "any_photo")] == [saved[0], opened]
    page.press(editor["id"], "Discard edit")
    assert [page.widget(editor["id"], name) for name in ("image", "any_photo")] == ["", False]


def test_a_tab_that_crashes(interface):
    _, page = interface
    with pytest.raises(PlaywrightError, match="crash"):
        page.page.goto("chrome://crash")


def test_the_tests_after_it_have_another_one(interface):
    _, page = interface
    assert page.load(ROOT / "workflows" / "ivg_22_paint_the_mask.json").ok
