"""A ComfyUI and its page, in both looks; the tests of this folder share them."""

import dataclasses

import pytest
from tour import LOOKS, all_models, films, hand_photo, interface_of, page_faults

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser, find_chromium


@dataclasses.dataclass
class Interface:
    """A running ComfyUI, its page in one look, and a client of the same server."""

    look: str
    server: ComfyServer
    page: ComfyBrowser
    client: ComfyClient


@pytest.fixture(autouse=True)
def living_tabs():
    """A tab that crashed in an earlier test is open again."""
    for browser in ComfyBrowser.running:
        browser.revive()


@pytest.fixture(scope="module", params=LOOKS)
def interface(request, tmp_path_factory):
    """Not for the session: the browser keeps an event loop, which no other test could have.

    With the models that the workflows name (empty files), a tiny checkpoint of random weights, and a hand to load.
    """
    found = installed_comfyui()
    if found is None or not find_chromium():
        pytest.skip("no ComfyUI, or no Chromium: apt-get install chromium")
    if LOOKS[request.param]:
        pytest.importorskip(
            "comfyui_frontend_package", reason="no newer interface: pip install comfyui-frontend-package"
        )
    folder = tmp_path_factory.mktemp("input")
    inputs = (hand_photo(folder), *films(folder))
    with (
        interface_of(request.param, found, all_models(tmp_path_factory.mktemp("models")), inputs) as server,
        ComfyBrowser(server.url, expect_extensions=["ivg"]) as page,
    ):
        page.foreign_requests.clear()  # of the graph that the interface itself begins with
        yield Interface(request.param, server, page, ComfyClient(server.url))
        assert page_faults(page) == []
