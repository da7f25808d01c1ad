"""The table of IVG Plan Steps under the mouse and the keyboard, in both looks of the real interface."""

import json

import pytest

pytest.importorskip("playwright", reason="no Playwright: pip install playwright")
pytest.importorskip("comfyui_frontend_package", reason="no interface: pip install --no-deps comfyui-frontend-package")

from table_page import SHOW, TablePage, opened

from comfy_harness.browser import find_chromium
from ivg_pack.ivg_core.howto.plan import Plan, Step, read_plan, write_plan
from ivg_pack.nodes.plan_steps import mark_of

pytestmark = pytest.mark.skipif(not find_chromium(), reason="no Chromium: apt-get install chromium")

TEXT = "# Salad\n1. Peel the carrot\n2. Cut it"
READ = Plan((Step("Peel the carrot", 4, 2**64 - 1), Step("Cut it", mask="white", title="Cutting")), "Salad", 7)
OUTPUTS = {"IVGPlanSteps": {"ivg_plan": [write_plan(READ)], "ivg_read": [mark_of(TEXT)]}}
FAIL = """([id, message]) => window.app.api.dispatchCustomEvent('execution_error',
  {node_id: String(id), node_type: 'IVGPlanSteps', exception_message: message, exception_type: 'IVGError',
   traceback: [], executed: [], prompt_id: 'x', current_inputs: {}, current_outputs: {}})"""


class Table(TablePage):
    kind, output, size = "IVGPlanSteps", 1, (520, 160)
    css, row, shots = ".ivg-plan", ".ivg-plan-step", "plan_steps"

    def step(self, number: int):
        return self.page.locator(".ivg-plan-step").nth(number - 1)

    def field(self, number: int, name: str):
        return self.step(number).locator(f"[data-name={name}]")

    def fill(self, number: int, **texts: str) -> None:
        for name, text in texts.items():
            self.field(number, name).fill(text)
            self.field(number, name).blur()

    def widget(self, name: str) -> str:
        return self.browser.widget(self.node, name)

    def plan(self) -> Plan:
        """The plan as the workflow would keep it, read as the node would."""
        assert self.saved()[1] == self.widget("steps")
        return read_plan(self.widget("steps"))

    def actions(self) -> list[str]:
        return [step.action for step in self.plan().steps]

    def wrong(self, number: int) -> list[str]:
        """The names of a step's fields that are marked."""
        return self.step(number).locator("input.wrong").evaluate_all("all => all.map((one) => one.dataset.name)")

    def failed(self) -> list[int]:
        marks = self.page.locator(".ivg-plan-step").evaluate_all(
            "all => all.map((e) => e.classList.contains('failed'))"
        )
        return [number for number, marked in enumerate(marks, 1) if marked]


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes2"])
def browser(request):
    with opened(request, "ivg.plan_steps", [SHOW], outputs=OUTPUTS) as found:
        yield found


def test_steps_are_typed_added_moved_and_removed(browser):
    table = Table(browser)
    assert table.widget("steps") == ""
    table.fill(1, action="peel the carrot", seconds="4")
    table.press("Add a step")
    table.page.keyboard.type("cut it")  # its field is ready
    table.page.keyboard.press("Tab")
    table.press("Add a step")
    table.fill(3, action="serve it", seed="18446744073709551615", mask="white", title="Serving", image="plate.png")
    table.page.locator(".ivg-plan [data-name=title]").first.fill("Salad")
    assert json.loads(table.widget("steps"))["steps"][2]["image"] == "plate.png"
    table.fill(3, image="")
    assert table.plan() == Plan(
        (
            Step("peel the carrot", 4),
            Step("cut it"),
            Step("serve it", seed=2**64 - 1, mask="white", title="Serving"),
        ),
        "Salad",
    )
    table.shot("three")
    table.press("↑", table.step(3))
    assert table.actions() == ["peel the carrot", "serve it", "cut it"]
    table.press("↓", table.step(1))
    assert table.actions() == ["serve it", "peel the carrot", "cut it"]
    table.press("✕", table.step(2))
    assert table.actions() == ["serve it", "cut it"]
    assert table.step(2).locator("span").inner_text() == "2"


def test_another_seed_at_a_press(browser):
    table = Table(browser)
    table.fill(1, action="peel")
    table.press("⟳", table.step(1))
    first = table.plan().steps[0].seed
    table.press("⟳", table.step(1))
    assert first is not None and table.plan().steps[0].seed != first
    table.press("⟳", table.page.locator(".ivg-plan"))  # the plan's own
    assert table.plan().seed > 0


def test_lines_are_pasted(browser):
    table = Table(browser)
    table.field(1, "action").evaluate(
        """(field) => {
          const clipboardData = new DataTransfer();
          clipboardData.setData('text', '1. peel it\\n\\n2) cut it\\n- serve it\\n');
          field.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
        }"""
    )
    assert table.actions() == ["peel it", "cut it", "serve it"]


@pytest.mark.parametrize(
    ("value", "actions"),
    [
        (2, []),
        ("null", []),
        ('{"steps": 3}', []),
        ("peel\n2. cut", ["peel", "cut"]),
        ('["peel", {"action": "cut"}]', ["peel", "cut"]),
    ],
)
def test_whatever_a_script_puts_into_it(browser, value, actions):
    table = Table(browser)
    table.put("steps", value)
    assert (table.actions() if actions else table.widget("steps")) == (actions or "")


def test_what_no_plan_can_have_is_marked(browser):
    table = Table(browser)
    table.fill(1, action="peel", seed="x", seconds="500")
    table.press("Add a step")
    assert table.wrong(1) == ["seconds", "seed"] and table.wrong(2) == ["action"]
    table.shot("marked")
    table.fill(1, seed="007", seconds="5")
    table.fill(2, action="cut")
    assert table.wrong(1) == table.wrong(2) == [] and table.plan().steps[0].seed == 7


def test_the_step_at_which_a_run_ended_is_marked_until_it_is_changed(browser):
    table = Table(browser)
    table.put("steps", write_plan(READ))
    browser.evaluate(FAIL, [table.node, 'Step 2 ("chop chop…") has 500 words, and at most 100 can be used.'])
    assert table.failed() == [2]
    table.page.keyboard.press("Escape")
    table.fill(2, action="chop")
    assert table.failed() == []
    browser.dismiss_dialogs()


def test_what_was_read_fills_the_table_and_the_workflow_keeps_it(browser):
    table = Table(browser)
    table.put("text", TEXT)
    assert browser.run(timeout=20)["status"] == "success"
    assert table.plan() == READ and table.widget("read_from") == mark_of(TEXT)
    table.shot("read")
    browser.reload()
    assert table.plan() == READ and table.field(1, "action").input_value() == "Peel the carrot"
    assert table.field(1, "seed").input_value() == str(2**64 - 1)
    assert browser.run(timeout=20)["status"] == "success"
    sent = {one["class_type"]: one["inputs"] for one in browser.server.prompts[-1].values()}
    assert read_plan(sent["IVGPlanSteps"]["steps"]) == READ and sent["IVGPlanSteps"]["read_from"] == mark_of(TEXT)


def test_reading_anew_asks_for_this_node_alone(browser):
    table = Table(browser)
    table.fill(1, action="something else")
    browser.press(table.node, "Read the text")
    table.page.wait_for_timeout(2500)
    sent = {one["class_type"]: one["inputs"] for one in browser.server.prompts[-1].values()}
    assert sent["IVGPlanSteps"]["steps"] == "" and browser.server.targets[-1] == [str(table.node)]
    assert table.plan() == READ


def test_a_text_that_cannot_be_read_gives_the_table_back(browser):
    table = Table(browser)
    table.fill(1, action="peel")
    browser.server.outputs = {}
    try:
        browser.press(table.node, "Read the text")
        table.page.wait_for_timeout(1500)
        browser.evaluate(FAIL, [table.node, "Line 2 and line 3 have one number."])
        assert table.actions() == ["peel"]
    finally:
        browser.server.outputs = OUTPUTS
        browser.dismiss_dialogs()


def test_many_steps_scroll_within_the_node(browser):
    table = Table(browser)
    table.put("steps", write_plan(Plan(tuple(Step(f"do thing {i}") for i in range(12)))))
    table.press("Add a step")
    table.assert_rows_scroll()
    table.shot("many")


def test_undo_takes_back_one_change(browser):
    table = Table(browser)
    table.fill(1, action="peel")
    table.page.wait_for_timeout(300)
    table.press("Add a step")
    table.fill(2, action="cut")
    table.page.wait_for_timeout(300)
    table.press("✕", table.step(1))
    assert table.actions() == ["cut"]
    browser.evaluate("() => document.activeElement.blur()")
    table.page.keyboard.press("Control+z")
    table.page.wait_for_timeout(800)
    assert table.actions() == ["peel", "cut"]
