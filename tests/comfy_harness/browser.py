"""Drive ComfyUI's web interface in a real Chromium, through Playwright."""

from __future__ import annotations

import base64
import dataclasses
import json
import pathlib
import shutil
import time
from typing import ClassVar

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from playwright.sync_api import sync_playwright

_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_PAGE_SCRIPT = pathlib.Path(__file__).with_name("page.js")
_NODES = "(window.app.graph.nodes || window.app.graph._nodes)"
_DROP = """async ([name, type, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, {type}));
  const canvas = document.querySelector('#graph-canvas');
  canvas.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


@dataclasses.dataclass
class LoadReport:
    """What the interface made of a workflow file.

    `notes` are harmless differences, such as a core node that has more widgets today than when the file was saved;
    everything else is a fault.
    """

    nodes: int
    missing_nodes: list
    widget_problems: list
    lost_links: int
    alerts: list
    notes: list

    @property
    def ok(self) -> bool:
        return not (self.missing_nodes or self.widget_problems or self.lost_links or self.alerts)


def find_chromium() -> str | None:
    """Path of an installed Chromium or Chrome."""
    return next(filter(None, map(shutil.which, _CHROMIUM_NAMES)), None)


class ComfyBrowser:
    """The web interface of a running ComfyUI, in a headless browser; use as a context manager.

    Requests that leave the server's address are blocked and listed in `foreign_requests`; uncaught exceptions of the
    page are kept in `page_errors`.

    Args:
        url: address of the server.
        viewport: (width, height) of the page in pixels.
        timeout: seconds to wait for anything in the page.
        expect_extensions: names of web extensions that must have registered.
    """

    #: Those that are open now.
    running: ClassVar[list[ComfyBrowser]] = []

    def __init__(self, url, *, viewport=(1600, 1000), timeout=90.0, expect_extensions=()):
        self.url = url.rstrip("/")
        self.viewport = viewport
        self.timeout_ms = timeout * 1000
        self.expect_extensions = list(expect_extensions)
        self.page_errors: list[str] = []
        self.foreign_requests: list[str] = []

    def __enter__(self) -> ComfyBrowser:
        self._playwright = sync_playwright().start()
        self._start()
        ComfyBrowser.running.append(self)
        return self

    def __exit__(self, *exc) -> None:
        ComfyBrowser.running.remove(self)
        self._browser.close()
        self._playwright.stop()

    def _start(self) -> None:
        self._browser = self._playwright.chromium.launch(executable_path=find_chromium(), args=list(_FLAGS))
        width, height = self.viewport
        context = self._browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        self.page = context.new_page()
        self.page.set_default_timeout(self.timeout_ms)
        self.page.add_init_script(path=_PAGE_SCRIPT)
        self.page.route("**/*", self._gate)
        self.page.on("pageerror", lambda error: self.page_errors.append(str(error)))
        self.open()

    def revive(self) -> None:
        """Start again if the tab has crashed or the browser has ended: one such test must not fail those after it."""
        try:
            self.page.evaluate("1")
        except PlaywrightError:
            self._browser.close()
            before = len(self.foreign_requests)
            self._start()
            del self.foreign_requests[before:]  # of the graph that the interface itself begins with

    # -- the page -----------------------------------------------------------

    def open(self) -> None:
        """Load the interface and wait until its extensions are set up."""
        self.page.goto(self.url)
        self._wait_until_set_up()
        self.dismiss_dialogs()

    def reload(self) -> None:
        """Reload the page, as a user would; it comes back with the graph that it had."""
        self.page.wait_for_timeout(2000)  # it stores the graph a moment after the last change
        self.page.reload()
        self._wait_until_set_up()

    def _wait_until_set_up(self) -> None:
        self.page.wait_for_function("() => window.app && window.app.graph && window.app.extensionManager")
        self.page.wait_for_function(
            "(names) => names.every((n) => window.app.extensions.some((e) => e.name === n))",
            arg=self.expect_extensions,
        )
        # The restored or default graph is loaded last.
        self.page.wait_for_function(f"() => {_NODES}.length > 0", timeout=15000)
        self.evaluate("() => window.__harness.follow()")

    def dismiss_dialogs(self) -> None:
        """Close first-run and missing-model dialogs of the default graph."""
        for _ in range(3):
            close = self.page.locator(".p-dialog-close-button:visible")
            if not close.count():
                return
            close.first.click()
            self.page.wait_for_timeout(400)

    def evaluate(self, script: str, argument=None):
        """Run JavaScript in the page."""
        return self.page.evaluate(script, argument)

    def command(self, command_id: str) -> None:
        """Run one of the interface's commands, such as `Comfy.Canvas.FitView`."""
        self.evaluate("(id) => window.app.extensionManager.command.execute(id)", command_id)

    def fit(self) -> None:
        """Fit the whole graph on the screen."""
        self.command("Comfy.Canvas.FitView")
        self.page.wait_for_timeout(800)

    def screenshot(self, path) -> pathlib.Path:
        """Save what is on the screen."""
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(path))
        return path

    # -- workflows ----------------------------------------------------------

    def load(self, workflow) -> LoadReport:
        """Open a workflow (a file, or its JSON as a dict) and say what is wrong with it."""
        if not isinstance(workflow, dict):
            workflow = json.loads(pathlib.Path(workflow).read_text("utf-8"))
        self.evaluate("async (data) => { await window.app.loadGraphData(data); }", workflow)
        return self._report(workflow)

    def drop_workflow(self, path) -> LoadReport:
        """Drop a workflow file on an empty canvas and say what is wrong with it."""
        self.drop(path, "application/json")
        return self._report(json.loads(pathlib.Path(path).read_text("utf-8")))

    def drop(self, path, kind: str) -> None:
        """Drop a file of a MIME type on an empty canvas."""
        path = pathlib.Path(path)
        self.evaluate("() => window.app.graph.clear()")
        self.evaluate(_DROP, [path.name, kind, base64.b64encode(path.read_bytes()).decode()])

    def _report(self, workflow: dict) -> LoadReport:
        self.page.wait_for_function(f"(n) => {_NODES}.length === n", arg=len(workflow.get("nodes", [])), timeout=20000)
        self.page.wait_for_timeout(500)
        return LoadReport(**self.evaluate("(source) => window.__harness.inspect(source)", workflow))

    def to_workflow(self) -> dict:
        """The graph as the interface would save it."""
        return json.loads(self.evaluate("() => JSON.stringify(window.app.graph.serialize())"))

    def to_api(self) -> dict:
        """The graph in API format, as the interface would submit it."""
        return self.evaluate("async () => (await window.app.graphToPrompt()).output")

    def run(self, *, timeout=600.0) -> dict:
        """Press Run; wait for the end; give status, error and what nodes show."""
        self.press_run()
        return self.wait_for_end(timeout=timeout)

    def press_run(self) -> None:
        """Press Run."""
        self.evaluate("() => { window.__harness.last = null; window.__harness.step = null; }")
        button = self.page.locator('[data-testid="queue-button"] button, button[data-testid="queue-button"]').first
        try:
            button.click(timeout=6000)
        except PlaywrightTimeout:
            # No such button, or something lies over it (an overlay that is still fading out).
            self.evaluate("() => window.app.queuePrompt(0)")

    def cancel_after(self, kind: str, steps: int) -> int:
        """Press Cancel when the node of a class has done so many steps; gives the steps it had done then."""
        reached = "([kind, steps]) => { const s = window.__harness.step; return s?.type === kind && s.value >= steps; }"
        self.page.wait_for_function(reached, arg=[kind, steps])
        self.page.locator('button[aria-label="Cancel current run"]').first.click()
        return self.evaluate("() => window.__harness.step.value")

    def wait_for_end(self, *, timeout=600.0) -> dict:
        """Wait for the end of a run; give status, error and what nodes show."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            last = self.evaluate("() => window.__harness.last && window.__harness.runs[window.__harness.last]")
            if last:
                self.page.wait_for_timeout(1500)
                return {**last, "shown": self.shown()}
            errors = self.evaluate("() => window.app.lastNodeErrors || null")
            if errors:
                return {"status": "rejected", "error": json.dumps(errors), "shown": {}}
            self.page.wait_for_timeout(250)
        return {"status": "timeout", "error": None, "shown": self.shown()}

    def shown(self) -> dict:
        """Node id -> number of pictures and videos it shows, and its text."""
        return self.evaluate("() => window.__harness.shown()")

    def playing(self, timeout=30.0) -> list[dict]:
        """The videos in the page, once each has a picture: address, size in pixels, seconds, whether it loops."""
        ready = "() => { const all = [...document.querySelectorAll('video')]; return all[0] && all.every(READY); }"
        self.page.wait_for_function(ready.replace("READY", "(v) => v.readyState >= 2"), timeout=timeout * 1000)
        return self.evaluate(
            "() => [...document.querySelectorAll('video')].map((v) =>"
            " ({url: v.currentSrc, size: [v.videoWidth, v.videoHeight], seconds: v.duration, loop: v.loop}))"
        )

    def find(self, kind: str) -> int:
        """The id of the first node of a class."""
        return self.evaluate("(kind) => window.app.graph.nodes.find((n) => n.type === kind).id", kind)

    def click_title(self, node_id) -> None:
        """Bring a node to the middle of the screen and select it with the mouse."""
        self.page.mouse.click(*self.evaluate("(id) => window.__harness.title(id)", node_id))
        self.page.wait_for_timeout(500)

    def press(self, node_id, label: str) -> None:
        """Press a button of a node with the mouse."""
        self.click_title(node_id)
        drawn = self.page.locator(f'[data-node-id="{node_id}"] button', has_text=label)
        if drawn.count():  # Nodes 2.0
            drawn.first.click()
        else:
            self.page.mouse.click(*self.evaluate("(wanted) => window.__harness.button(wanted)", [node_id, label]))

    def widget(self, node_id, name: str):
        """The value of a widget."""
        return self.evaluate(
            "([id, name]) => window.__harness.node(id).widgets.find((w) => w.name === name).value", [node_id, name]
        )

    def help(self, node_id) -> str:
        """Open a node's help from its toolbox; gives the text."""
        self.click_title(node_id)
        self.page.locator('[data-testid="info-button"]').first.click()
        page = self.page.locator(".node-help-content").first
        page.locator("h1").first.wait_for()
        self.page.wait_for_timeout(500)
        return page.inner_text()

    def speak(self, language: str) -> None:
        """Choose the language of the interface, such as `zh`, and reload: not every version changes titles at once."""
        self.evaluate("(code) => window.app.extensionManager.setting.set('Comfy.Locale', code)", language)
        self.reload()

    def paint_mask(self, strokes, shot=None) -> None:
        """Paint in the mask editor, which must be opening, and save.

        Args:
            strokes: each a list of (x, y) points, as fractions of the picture.
            shot: file for a screenshot before it is saved.
        """
        area = self.page.locator("#maskEditorCanvasContainer").first
        area.wait_for(timeout=15000)
        self.page.wait_for_timeout(1500)
        box = area.bounding_box()
        for stroke in strokes:
            points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
            self.page.mouse.move(*points[0])
            self.page.mouse.down()
            for point in points[1:]:
                self.page.mouse.move(*point, steps=12)
            self.page.mouse.up()
            self.page.wait_for_timeout(400)
        if shot:
            self.screenshot(shot)
        old_save = self.page.locator("#maskEditor_topBarSaveButton")
        save = old_save if old_save.count() else self.page.locator("[role=dialog] button", has_text="Save")
        save.first.click()
        self.page.wait_for_timeout(2500)

    # -- inside -------------------------------------------------------------

    def _gate(self, route) -> None:
        address = route.request.url
        if address.startswith((self.url, "data:", "blob:")):
            route.continue_()
            return
        self.foreign_requests.append(address)
        route.abort()
