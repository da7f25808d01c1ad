"""The table of IVG Prompt Schedule under the mouse and the keyboard, in both looks of the real interface."""

import pytest

pytest.importorskip("playwright", reason="no Playwright: pip install playwright")
pytest.importorskip("comfyui_frontend_package", reason="no interface: pip install --no-deps comfyui-frontend-package")

from table_page import SHOW, TablePage, opened

from comfy_harness.browser import find_chromium
from comfy_harness.standin import core_node

pytestmark = pytest.mark.skipif(not find_chromium(), reason="no Chromium: apt-get install chromium")

TEXT = core_node("PrimitiveStringMultiline", {"value": ["STRING", {"multiline": True}]}, ["STRING"])
LINK_TEXT = """(id) => {
  const text = window.LiteGraph.createNode('PrimitiveStringMultiline'), table = window.__harness.node(id);
  window.app.graph.add(text);
  text.widgets[0].value = '0: wave';
  return text.connect(0, table, table.findInputSlot('sentences')) !== null;
}"""


class Table(TablePage):
    kind, css, shots = "IVGPromptSchedule", ".ivg-schedule", "prompt_schedule"
    row = ".ivg-schedule .ivg-table-rows > div"

    def field(self, row: int, column: int):
        return self.page.locator(self.row).nth(row).locator("input").nth(column)

    def fill(self, row: int, *texts: str) -> None:
        for column, text in enumerate(texts):
            self.field(row, column).fill(text)
            self.field(row, column).blur()

    def text(self) -> str:
        """The schedule as the workflow would keep it."""
        return self.saved()[0]

    def set(self, text: str) -> None:
        self.put("sentences", text)


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes2"])
def browser(request):
    with opened(request, "ivg.prompt_schedule", [TEXT, SHOW]) as found:
        yield found


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
    table.assert_rows_scroll()
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
