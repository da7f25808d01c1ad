import http.server
import json
import logging
import pathlib
import threading

import comfy.model_management as mm
import folder_paths
import pytest
import torch
from tiny_vlm import make_vlm

from ivg_pack.ivg_core.enrich.answer import EXAMPLE
from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.nodes import _language
from ivg_pack.nodes._language import find_language_models
from ivg_pack.nodes.enrich import IVGEnrichAction

PLAIN = {
    "how": "template", "local_model": _language.NONE, "server_url": "http://127.0.0.1:9/v1", "server_model": "",
    "timeout": 5.0, "edited": "", "edited_for": "",
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def enriched(action, **widgets):
    output = IVGEnrichAction.execute(action, **{**PLAIN, **widgets})
    assert output.ui["text"] == [output[0]]  # what it shows is what it gives
    return output[0]


def test_the_template_is_the_default():
    assert enriched("julienne carrot") == EXAMPLE


def test_an_edit_goes_out_for_its_action_only(caplog):
    mine = {"edited": "I do it my way.", "edited_for": "julienne carrot"}
    assert enriched("julienne carrot", **mine) == "I do it my way."
    with caplog.at_level(logging.WARNING, "ivg"):
        assert "onion" in enriched("slice onion", **mine)
    assert "set aside" in caplog.text
    assert enriched("slice onion", edited="Always this.") == "Always this."


def test_nothing_to_enrich():
    with pytest.raises(IVGError, match="no action"):
        enriched(" ")


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if self.server.stopped.wait(20 if self.server.hangs else 0):
                return
            body = json.dumps({"choices": [{"message": {"content": "The person does it."}}]}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as it:
        it.asked, it.hangs, it.stopped = [], False, threading.Event()
        it.daemon_threads = True
        thread = threading.Thread(target=it.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield it
        it.stopped.set()
        it.shutdown()
        thread.join()


def test_a_server_is_asked_once_for_the_same_photo(server):
    widgets = {"how": "server", "server_url": f"http://127.0.0.1:{server.server_port}/v1", "server_model": "qwen2.5vl"}
    photo = torch.rand(2, 16, 24, 3)
    for _ in range(2):
        assert enriched("hold pot", **widgets, image=photo) == "The person does it."
    assert len(server.asked) == 1 and server.asked[0]["model"] == "qwen2.5vl"
    enriched("hold pot", **widgets, image=1 - photo)
    assert len(server.asked) == 2


def test_waiting_for_a_server_can_be_cancelled(server):
    server.hangs = True
    mm.interrupt_current_processing()
    with pytest.raises(mm.InterruptProcessingException):
        enriched("hold pot", how="server", server_url=f"http://127.0.0.1:{server.server_port}/v1", timeout=60.0)


def test_a_local_model_is_held_by_comfyui(caplog):
    folder = pathlib.Path(folder_paths.get_folder_paths("LLM")[0]) / "makers" / "tiny-vlm"
    make_vlm(folder, "hold it", {"red pot": torch.ones(24, 32, 3)})
    assert find_language_models() == {"makers/tiny-vlm": str(folder)}
    assert IVGEnrichAction.GET_SCHEMA().inputs[2].options["options"] == ["makers/tiny-vlm"]
    mm.loads.clear()
    widgets = {"how": "local model", "local_model": "makers/tiny-vlm", "image": torch.ones(1, 24, 32, 3)}
    with torch.inference_mode():  # as ComfyUI runs nodes
        assert [enriched("hold it", **widgets) for _ in range(2)] == ["Hold the red pot."] * 2
        assert len(mm.loads) == 1  # the second time the cache knew
        assert enriched("hold it", **{**widgets, "image": torch.full((1, 24, 32, 3), 0.9)})
    networks = [patchers[0].model.net for patchers, _ in mm.loads]
    assert networks[0] is networks[1] and not next(networks[0].parameters()).is_inference()


def test_a_model_that_is_not_there():
    with pytest.raises(IVGError, match="press R"):
        enriched("hold pot", how="local model", local_model="gone")
