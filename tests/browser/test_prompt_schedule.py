"""The table of IVG Prompt Schedule under the mouse and the keyboard, in both looks of the real interface."""

import pathlib

import pytest

pytest.importorskip("playwright", reason="no Playwright: pip install playwright")
pytest.importorskip("comfyui_frontend_package", reason="no interface: pip install --no-deps comfyui-frontend-package")

from comfy_harness.browser import ComfyBrowser, find_chromium
from comfy_harness.standin import StandInServer, core_node
from ivg_pack.nodes import NODES

pytestmark = pytest.mark.skipif(not find_chromium(), reason="no Chromium: apt-get install chromium")

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHOTS = ROOT / "out" / "shots"  # to be looked at
TEXT = core_node("PrimitiveStringMultiline", {"value": ["STRING", {"multiline": True}]}, ["STRING"])
SHOW = core_node("PreviewAny", {"source": ["*", {}]}, [])
SHOW["output_node"] = True
#: A fresh graph of the table, linked to something that is run; gives the table's id.
BUILD = """() => {
  const app = window.app, made = (kind, x) => {
    const node = window.LiteGraph.createNode(kind);
    node.pos = [x, 100];
    app.graph.add(node);
    return node;
  };
  app.graph.clear();
  const table = made('IVGPromptSchedule', 500);
  table.connect(0, made('PreviewAny', 1000), 0);
  app.canvas.ds.scale = 1;
  app.canvas.centerOnNode(table);
  app.canvas.setDirty(true, true);
  return table.id;
}"""
LINK_TEXT = """(id) => {
  const text = window.LiteGraph.createNode('PrimitiveStringMultiline'), table = window.__harness.node(id);
  window.app.graph.add(text);
  text.widgets[0].value = '0: wave';
  return text.connect(0, table, table.findInputSlot('sentences')) !== null;
}"""


class Table:
    """The table of a graph, as a person sees it."""

    def __init__(self, browser: ComfyBrowser):
        self.browser, self.page = browser, browser.page
        self.node = browser.evaluate(BUILD)
        self.page.wait_for_timeout(1000)

    def field(self, row: int, column: int):
        return self.page.locator(".ivg-schedule .ivg-table-rows > div").nth(row).locator("input").nth(column)

    def fill(self, row: int, *texts: str) -> None:
        for column, text in enumerate(texts):
            self.field(row, column).fill(text)
            self.field(row, column).blur()

    def press(self, label: str) -> None:
        self.page.locator(".ivg-schedule button", has_text=label).first.click()

    def text(self) -> str:
        """The schedule as the workflow would keep it."""
        (saved,) = [one for one in self.browser.to_workflow()["nodes"] if str(one["id"]) == str(self.node)]
        return saved["widgets_values"][0]

    def set(self, text: str) -> None:
        self.browser.evaluate(
            "([id, text]) => { window.__harness.node(id).widgets[0].value = text; }", [self.node, text]
        )

    def shot(self, name: str) -> None:
        self.browser.screenshot(SHOTS / f"prompt_schedule_{self.browser.look}_{name}.png")


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes2"])
def browser(request):
    settings = {"Comfy.VueNodes.Enabled": request.param}
    with (
        StandInServer(ROOT, NODES, core=[TEXT, SHOW], settings=settings) as server,
        ComfyBrowser(server.url, expect_extensions=["ivg.prompt_schedule"]) as opened,
    ):
        opened.look, opened.server = ("nodes2" if request.param else "classic"), server
        yield opened
        assert not opened.page_errors
        assert not opened.foreign_requests


def test_sentences_are_typed_added_and_removed(browser):
    table = Table(browser)
    assert table.text() == "0: "
    table.fill(0, "0", "chop the carrot")
    table.press("Add a sentence")
    table.page.keyboard.type("stir")  # its field is ready
    table.page.keyboard.press("Tab")
    table.press("Add a sentence")
    table.fill(2, "40", "wipe")
    assert table.text() == "0: chop the carrot\n16: stir\n40: wipe"
    table.shot("three")
    table.page.locator(".ivg-schedule .ivg-table-rows > div button").nth(1).click()
    assert table.text() == "0: chop the carrot\n40: wipe"
    table.press("Add a sentence")
    assert table.text().endswith("\n80: ")


def test_frames_out_of_order_are_marked(browser):
    table = Table(browser)
    table.set("0: chop\n40: stir\n8: wipe")
    marked = [table.field(row, 0).evaluate("field => field.classList.contains('wrong')") for row in range(3)]
    assert marked == [False, False, True]
    table.shot("marked")
    table.fill(2, "50")
    assert not table.field(2, 0).evaluate("field => field.classList.contains('wrong')")


def test_lines_are_pasted(browser):
    table = Table(browser)
    table.field(0, 1).evaluate(
        """(field) => {
          const clipboardData = new DataTransfer();
          clipboardData.setData('text', '0: chop\\n24：stir\\n');
          field.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
        }"""
    )
    assert table.text() == "0: chop\n24: stir"
    assert table.field(1, 1).input_value() == "stir"


def test_a_line_that_is_none_is_kept(browser):
    table = Table(browser)
    table.set("0: chop\nthen stir")
    assert table.text() == "0: chop\nthen stir" and table.field(1, 1).input_value() == "then stir"


def test_many_rows_scroll_within_the_node(browser):
    table = Table(browser)
    table.set("\n".join(f"{8 * i}: step {i}" for i in range(12)))
    table.press("Add a sentence")
    last, listed, button = (
        table.page.locator(at).last.bounding_box()
        for at in (".ivg-schedule .ivg-table-rows > div", ".ivg-schedule .ivg-table-rows", ".ivg-schedule > button")
    )
    assert last["y"] >= listed["y"] and last["y"] + last["height"] <= listed["y"] + listed["height"] + 1
    assert button["y"] >= listed["y"] + listed["height"]
    table.shot("many")


def test_the_workflow_keeps_it_and_sends_it(browser):
    table = Table(browser)
    table.set("0: chop\n24: stir")
    assert browser.run(timeout=20)["status"] == "success"
    sent = {one["class_type"]: one["inputs"] for one in browser.server.prompts[-1].values()}
    assert sent["IVGPromptSchedule"]["sentences"] == "0: chop\n24: stir"
    browser.reload()
    assert table.text() == "0: chop\n24: stir" and table.field(1, 1).input_value() == "stir"


def test_text_from_another_node_takes_its_place(browser):
    table = Table(browser)
    assert browser.evaluate(LINK_TEXT, table.node)
    assert browser.run(timeout=20)["status"] == "success"
    sent = {one["class_type"]: one["inputs"] for one in browser.server.prompts[-1].values()}
    assert isinstance(sent["IVGPromptSchedule"]["sentences"], list)
    table.page.wait_for_timeout(600)
    table.shot("linked")


def test_undo_takes_back_one_change(browser):
    table = Table(browser)
    table.fill(0, "0", "chop")
    table.page.wait_for_timeout(300)
    table.press("Add a sentence")
    assert table.text() == "0: chop\n16: "
    browser.evaluate("() => document.activeElement.blur()")
    table.page.keyboard.press("Control+z")
    table.page.wait_for_timeout(800)
    assert table.text() == "0: chop"
