"""The box track editor under the mouse, in both looks of the real interface."""

import json
import pathlib

import pytest

pytest.importorskip("playwright", reason="no Playwright: pip install playwright")
pytest.importorskip("comfyui_frontend_package", reason="no interface: pip install --no-deps comfyui-frontend-package")

from comfy_harness.browser import ComfyBrowser, find_chromium
from comfy_harness.standin import StandInServer, core_node
from ivg_pack.ivg_core.media.tracks import Track
from ivg_pack.nodes import NODES

pytestmark = pytest.mark.skipif(not find_chromium(), reason="no Chromium: apt-get install chromium")

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHOTS = ROOT / "out" / "shots"  # to be looked at
LOAD = core_node("LoadImage", {"image": [["example.png"], {"image_upload": True}]}, ["IMAGE", "MASK"])
#: A fresh graph of the editor alone, with or without a photo; gives the editor's id.
BUILD = """async (photo) => {
  const app = window.app, made = (kind, x) => {
    const node = window.LiteGraph.createNode(kind);
    node.pos = [x, 100];
    app.graph.add(node);
    return node;
  };
  app.graph.clear();
  const editor = made('IVGBoxTrack', 500);
  if (photo) made('LoadImage', 100).connect(0, editor, editor.findInputSlot('image'));
  app.canvas.ds.scale = 1;
  app.canvas.centerOnNode(editor);
  app.canvas.setDirty(true, true);
  return editor.id;
}"""


class Editor:
    """The editor of the one node of a graph, as a person sees it."""

    def __init__(self, browser: ComfyBrowser, photo: bool = False):
        self.browser, self.page = browser, browser.page
        self.node = browser.evaluate(BUILD, photo)
        self.page.wait_for_timeout(1200)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A point of the picture on the screen."""
        box = self.page.locator(".ivg-boxes canvas").bounding_box()
        margin = 6 * self.zoom()
        return (
            box["x"] + margin + x * (box["width"] - 2 * margin),
            box["y"] + margin + y * (box["height"] - 2 * margin),
        )

    def zoom(self) -> float:
        return self.browser.evaluate(
            "() => { const c = document.querySelector('.ivg-boxes canvas');"
            " return c.getBoundingClientRect().width / c.offsetWidth; }"
        )

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*end), steps=6)
        self.page.mouse.up()
        self.page.wait_for_timeout(150)

    def time(self, value: float) -> None:
        self.page.locator(".ivg-boxes input[type=range]").fill(str(value))

    def button(self, label: str, row: int = 0) -> None:
        self.page.locator(".ivg-boxes-things .ivg-boxes-row").nth(row).locator("button", has_text=label).click()

    def name(self, row: int = 0):
        return self.page.locator(".ivg-boxes-things input").nth(row)

    def text(self) -> str:
        """The track as the workflow would keep it."""
        (saved,) = [one for one in self.browser.to_workflow()["nodes"] if str(one["id"]) == str(self.node)]
        return saved["widgets_values"][0]

    def track(self) -> Track:
        return Track.of_json(json.loads(self.text()))

    def shot(self, name: str) -> None:
        self.browser.screenshot(SHOTS / f"box_track_{name}.png")


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes2"])
def browser(request):
    settings = {"Comfy.VueNodes.Enabled": request.param}
    with (
        StandInServer(ROOT, NODES, core=[LOAD], settings=settings) as server,
        ComfyBrowser(server.url, expect_extensions=["ivg.box_track"]) as opened,
    ):
        opened.look, opened.server = ("nodes2" if request.param else "classic"), server
        yield opened
        assert not opened.page_errors
        assert not opened.foreign_requests


def near(box, wanted) -> bool:
    return all(abs(one - other) < 0.012 for one, other in zip(box, wanted, strict=True))


def test_a_thing_is_drawn_named_and_sent_on_its_way(browser):
    editor = Editor(browser, photo=True)
    assert json.loads(editor.text()) == {"things": []}
    editor.shot(f"{browser.look}_empty")
    editor.drag((0.1, 0.2), (0.3, 0.5))
    editor.page.keyboard.type("cup")  # its name is chosen, to be typed over
    editor.page.keyboard.press("Enter")
    editor.time(1)
    editor.drag((0.2, 0.35), (0.7, 0.65))
    (cup,) = editor.track().things
    assert (cup.phrase, cup.easing, [key.at for key in cup.keyframes]) == ("cup", "smooth", [0, 1])
    assert near(cup.keyframes[0].box, (0.1, 0.2, 0.3, 0.5)) and near(cup.keyframes[1].box, (0.6, 0.5, 0.8, 0.8))
    editor.time(0.5)
    editor.shot(f"{browser.look}_way")
    browser.evaluate("() => window.app.extensionManager.setting.set('Comfy.ColorPalette', 'light')")
    editor.page.wait_for_timeout(500)
    editor.shot(f"{browser.look}_light")
    browser.evaluate("() => window.app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
    editor.drag((0.45, 0.5), (0.45, 0.3))
    assert [key.at for key in editor.track().things[0].keyframes] == [0, 0.5, 1]


def test_two_things_one_vanishes_and_comes_back(browser):
    editor = Editor(browser)
    editor.drag((0.1, 0.1), (0.3, 0.3))
    editor.drag((0.6, 0.6), (0.9, 0.9))
    assert editor.track().phrases == ["thing 1", "thing 2"]
    editor.time(0.4)
    editor.button("vanishes here", 1)
    editor.time(0.8)
    editor.button("appears here", 1)
    first, second = editor.track().things
    assert [key.at for key in second.keyframes] == [0, 0.4, 0.8] and second.keyframes[1].box is None
    assert second.at(0.6) is None and near(second.at(0.9), (0.6, 0.6, 0.9, 0.9)) and len(first.keyframes) == 1
    editor.shot(f"{browser.look}_two")
    editor.button("✕", 0)
    assert editor.track().phrases == ["thing 2"]
    editor.page.locator(".ivg-boxes-things select").first.select_option("linear")
    assert editor.track().things[0].easing == "linear"


def test_edges_are_dragged_and_the_picture_is_not_left(browser):
    editor = Editor(browser)
    editor.drag((0.3, 0.3), (0.6, 0.6))
    editor.drag((0.6, 0.6), (0.7, 0.8))
    editor.drag((0.3, 0.5), (0.2, 0.5))
    assert near(editor.track().things[0].keyframes[0].box, (0.2, 0.3, 0.7, 0.8))
    editor.drag((0.45, 0.5), (1.4, 0.1))
    assert near(editor.track().things[0].keyframes[0].box, (0.5, 0, 1, 0.5))
    editor.drag((0.02, 0.9), (0.025, 0.9))  # too small to be meant
    assert len(editor.track().things) == 1


def test_delete_takes_a_keyframe_then_the_thing_and_never_the_node(browser):
    editor = Editor(browser)
    editor.drag((0.2, 0.2), (0.4, 0.4))
    editor.time(1)
    editor.drag((0.3, 0.3), (0.8, 0.3))
    editor.page.keyboard.press("Delete")
    assert [key.at for key in editor.track().things[0].keyframes] == [0]
    editor.time(0)
    editor.drag((0.3, 0.3), (0.3, 0.3))  # a click
    editor.page.keyboard.press("Delete")
    assert json.loads(editor.text()) == {"things": []}


def test_no_more_than_eight_things(browser):
    editor = Editor(browser)
    for number in range(9):
        left, top = 0.05 + 0.3 * (number % 3), 0.05 + 0.3 * (number // 3)
        editor.drag((left, top), (left + 0.2, top + 0.2))
    assert len(editor.track().things) == 8
    assert "Eight things are the most" in editor.page.locator(".ivg-boxes-hint").inner_text()
    editor.drag((0.1, 0.1), (0.1, 0.1))
    editor.drag((0.4, 0.7), (0.4, 0.7))  # a click shows the thing in the list
    row, listed = (editor.page.locator(at).bounding_box() for at in (".ivg-boxes-things .chosen", ".ivg-boxes-things"))
    assert listed["y"] - 1 <= row["y"] and row["y"] + row["height"] <= listed["y"] + listed["height"] + 1
    editor.shot(f"{browser.look}_eight")


def test_it_works_zoomed_and_resized(browser):
    editor = Editor(browser)
    browser.evaluate(
        """(id) => {
          const node = window.__harness.node(id), {canvas} = window.app;
          node.setSize([620, 700]);
          canvas.ds.scale = 0.6;
          canvas.centerOnNode(node);
          canvas.setDirty(true, true);
        }""",
        editor.node,
    )
    editor.page.wait_for_timeout(1200)
    editor.drag((0.25, 0.25), (0.75, 0.5))
    assert near(editor.track().things[0].keyframes[0].box, (0.25, 0.25, 0.75, 0.5))
    editor.shot(f"{browser.look}_zoomed")


def test_the_workflow_keeps_the_track(browser):
    editor = Editor(browser, photo=True)
    editor.drag((0.2, 0.2), (0.4, 0.4))
    editor.time(1)
    editor.drag((0.3, 0.3), (0.6, 0.6))
    kept = editor.text()
    assert len(editor.track().things[0].keyframes) == 2
    assert browser.run(timeout=20)["status"] == "success"
    sent = {one["class_type"]: one["inputs"] for one in browser.server.prompts[-1].values()}
    assert sent["IVGBoxTrack"]["track"] == kept
    browser.reload()
    assert editor.text() == kept
    copied = browser.evaluate(
        "(id) => { const copy = window.__harness.node(id).clone(); window.app.graph.add(copy);"
        " return copy.widgets.find((w) => w.name === 'track').value; }",
        editor.node,
    )
    assert copied == kept


def test_undo_takes_back_one_box(browser):
    editor = Editor(browser)
    editor.page.wait_for_timeout(300)
    editor.drag((0.1, 0.1), (0.3, 0.3))
    editor.page.keyboard.press("Enter")
    editor.drag((0.5, 0.5), (0.8, 0.8))
    editor.button("✕", 1)
    assert editor.track().phrases == ["thing 1"]
    browser.evaluate("() => document.activeElement.blur()")
    editor.page.keyboard.press("Control+z")
    editor.page.wait_for_timeout(800)
    assert editor.track().phrases == ["thing 1", "thing 2"]
    editor.page.keyboard.press("Control+z")
    editor.page.wait_for_timeout(800)
    assert editor.track().phrases == ["thing 1"]


def test_what_is_no_track_is_kept_and_told(browser):
    editor = Editor(browser)
    browser.evaluate("(id) => { window.__harness.node(id).widgets[0].value = '{\"things\": [1]}'; }", editor.node)
    assert editor.text() == '{"things": [1]}'
    assert "cannot be read" in editor.page.locator(".ivg-boxes-hint").inner_text()
    editor.drag((0.1, 0.1), (0.3, 0.3))
    assert editor.track().phrases == ["thing 1"]
