"""A table in a node, as a person sees it; for the tests of those that have one."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from comfy_harness.browser import ComfyBrowser
from comfy_harness.standin import StandInServer, core_node
from ivg_pack.nodes import NODES

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHOTS = ROOT / "out" / "shots"  # to be looked at
SHOW = core_node("PreviewAny", {"source": ["*", {}]}, [])
SHOW["output_node"] = True
#: A fresh graph of the node, linked to something that is run; gives the node's id.
BUILD = """([kind, output, wide, tall]) => {
  const app = window.app, made = (kind, x) => {
    const node = window.LiteGraph.createNode(kind);
    node.pos = [x, 100];
    app.graph.add(node);
    return node;
  };
  app.graph.clear();
  const table = made(kind, 500);
  table.setSize([Math.max(table.size[0], wide), table.size[1] + tall]);
  table.connect(output, made('PreviewAny', 1150), 0);
  app.canvas.ds.scale = 1;
  app.canvas.centerOnNode(table);
  app.canvas.setDirty(true, true);
  return table.id;
}"""


class TablePage:
    """The table of a graph of one node.

    Attributes:
        kind: of the node.
        output: of the node, by its place, that is connected.
        size: how wide the node is at least, and by how much it is taller than it would be.
        css: the class of the table.
        row: selects its rows.
        shots: the beginning of the names of its screenshots.
    """

    kind = css = row = shots = ""
    output, size = 0, (0, 0)

    def __init__(self, browser: ComfyBrowser):
        self.browser, self.page = browser, browser.page
        self.node = browser.evaluate(BUILD, [self.kind, self.output, *self.size])
        self.page.wait_for_timeout(1000)

    def press(self, label: str, within=None) -> None:
        (within or self.page.locator(self.css)).locator("button", has_text=label).first.click()

    def saved(self) -> list:
        """The values of the node's widgets as the workflow would keep them."""
        (node,) = [one for one in self.browser.to_workflow()["nodes"] if str(one["id"]) == str(self.node)]
        return node["widgets_values"]

    def put(self, name: str, text: str) -> None:
        """Give a widget a value, as a script would."""
        self.browser.evaluate(
            "([id, name, text]) => { window.__harness.node(id).widgets.find((w) => w.name === name).value = text; }",
            [self.node, name, text],
        )

    def shot(self, name: str) -> None:
        self.browser.screenshot(SHOTS / f"{self.shots}_{self.browser.look}_{name}.png")

    def assert_rows_scroll(self) -> None:
        """The last row is within the list of rows, and the button below it is below the list."""
        last, listed, button = (
            self.page.locator(at).last.bounding_box()
            for at in (self.row, f"{self.css} .ivg-table-rows", f"{self.css} > button")
        )
        assert last["y"] >= listed["y"] and last["y"] + last["height"] <= listed["y"] + listed["height"] + 1
        assert button["y"] >= listed["y"] + listed["height"]


@contextmanager
def opened(request: pytest.FixtureRequest, extension: str, core: list, **given) -> Iterator[ComfyBrowser]:
    """The interface in the look that a fixture asks for, True: nodes 2.0; nothing may fail in it."""
    settings = {"Comfy.VueNodes.Enabled": request.param}
    with (
        StandInServer(ROOT, NODES, core=core, settings=settings, **given) as server,
        ComfyBrowser(server.url, expect_extensions=[extension]) as browser,
    ):
        browser.look, browser.server = ("nodes2" if request.param else "classic"), server
        yield browser
        assert not browser.page_errors
        assert not browser.foreign_requests
