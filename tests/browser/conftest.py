"""What the tests of this folder share."""

import pytest


@pytest.fixture(autouse=True)
def living_tabs():
    """A tab that crashed in an earlier test is open again."""
    browser = pytest.importorskip("comfy_harness.browser", reason="no Playwright: pip install playwright")
    for one in browser.ComfyBrowser.running:
        one.revive()
