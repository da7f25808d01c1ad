"""The help pages in the panel where people read them: ComfyUI's real web interface over a stand-in server."""

import json
import pathlib

import pytest

pytest.importorskip("playwright", reason="no Playwright: pip install playwright")
pytest.importorskip("comfyui_frontend_package", reason="no interface: pip install --no-deps comfyui-frontend-package")

from comfy_harness.browser import ComfyBrowser, find_chromium
from comfy_harness.standin import StandInServer
from ivg_pack.nodes import NODES

pytestmark = pytest.mark.skipif(not find_chromium(), reason="no Chromium: apt-get install chromium")

ROOT = pathlib.Path(__file__).resolve().parents[2]
TITLES = """() => Object.fromEntries(
  Object.values(window.LiteGraph.registered_node_types).map((type) => [type.comfyClass, type.title]))"""
#: What the open panel shows: its heading, and how wide each picture is (0: it did not load).
PANEL = """() => {
  const panel = document.querySelector('.node-help-content');
  const pictures = [...(panel?.querySelectorAll('img') ?? [])];
  if (!pictures.length || !pictures.every((picture) => picture.complete)) return null;
  return {text: panel.innerText, widths: pictures.map((picture) => picture.naturalWidth)};
}"""


def plain(line: str) -> str:
    """A line of Markdown as it is read."""
    return line.replace("*", "").replace("`", "")


@pytest.fixture(params=["en", "zh", "ja"])
def interface(request):
    """(language, page) of an interface in that language."""
    with (
        StandInServer(ROOT, NODES, settings={"Comfy.Locale": request.param}) as server,
        ComfyBrowser(server.url, expect_extensions=["ivg"]) as page,
    ):
        yield request.param, page
        assert not page.page_errors


def open_help(page: ComfyBrowser, kind: str) -> dict:
    """Put a node on an empty canvas, open its help and give what the panel shows."""
    page.evaluate(
        """(kind) => {
          const app = window.app, node = window.LiteGraph.createNode(kind);
          app.graph.clear();
          app.graph.add(node);
          node.pos = [300, 300];
          app.canvas.deselectAll();
          app.canvas.select(node);
          app.canvas.setDirty(true, true);
        }""",
        kind,
    )
    if not page.page.locator(".node-help-content").count():
        page.page.locator('[data-testid="info-button"]').click()
    return page.page.wait_for_function(PANEL).json_value()


def test_help_pages_show_text_and_picture_in_the_readers_language(interface):
    language, page = interface
    names = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text("utf-8"))
    titles = page.evaluate(TITLES)
    for node in (node.__name__ for node in NODES):
        assert titles[node] == names[node]["display_name"]
        shown = open_help(page, node)
        assert shown["widths"] and min(shown["widths"]) > 100
        first = (ROOT / "web" / "docs" / node / f"{language}.md").read_text("utf-8").splitlines()[2]
        assert plain(first)[:12] in shown["text"]
        assert "**" not in shown["text"], f"{node}/{language}.md: a mark is not read as bold type"
