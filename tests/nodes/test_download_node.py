import http.server
import io
import pathlib
import shutil
import tarfile
import threading
from dataclasses import replace

import comfy.model_management as mm
import comfy.utils
import folder_paths
import pytest

from ivg_pack.ivg_core.checkpoints import sources
from ivg_pack.nodes.download import IVGDownloadModel
from ivg_pack.nodes.loaders import find_models

NAME = "zeroscope_v2_576w"
TINY = pathlib.Path(__file__).resolve().parents[1] / "golden" / "tiny_ckpt"


@pytest.fixture
def requests(monkeypatch):
    """A server that has the tiny checkpoint under a published name; the requests it gets."""
    data, asked = io.BytesIO(), []
    with tarfile.open(fileobj=data, mode="w") as packed:
        packed.add(TINY, "x")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.command)
            self.send_response(200)
            self.send_header("Content-Length", str(len(data.getvalue())))
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(data.getvalue())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        here = replace(sources.SOURCES[NAME], repo="", url=f"http://127.0.0.1:{server.server_port}/x.tar")
        monkeypatch.setitem(sources.SOURCES, NAME, here)
        yield asked
        server.shutdown()
    for folder in (NAME, ".download"):
        shutil.rmtree(pathlib.Path(folder_paths.get_folder_paths("ivg")[0]) / folder, ignore_errors=True)


def test_nothing_is_fetched_unless_it_is_switched_on(requests):
    output = IVGDownloadModel.execute(NAME, False)
    assert requests == ["HEAD"]
    assert all(word in output[0] for word in ("CC-BY-NC-4.0", "0.00 GB", "switch download on"))
    assert output.ui["text"] == [output[0]]
    assert NAME not in find_models()


def test_it_is_fetched_and_listed(requests):
    before = IVGDownloadModel.fingerprint_inputs(NAME, True)
    comfy.utils.ProgressBar.log.clear()
    said = IVGDownloadModel.execute(NAME, True)[0]
    assert all(words in said for words in ("lies in", "generate --model", "init-model"))
    assert NAME in find_models() and IVGDownloadModel.fingerprint_inputs(NAME, True) != before
    value, total, _ = comfy.utils.ProgressBar.log[-1]
    assert value == total > 1
    requests.clear()
    assert "lies in" in IVGDownloadModel.execute(NAME, True)[0] and not requests


def test_it_can_be_cancelled(requests):
    mm.interrupt_current_processing()
    with pytest.raises(mm.InterruptProcessingException):
        IVGDownloadModel.execute(NAME, True)
    assert NAME not in find_models()
    IVGDownloadModel.execute(NAME, True)
    assert NAME in find_models()


def test_without_a_network_it_still_explains(monkeypatch):
    here = replace(sources.SOURCES[NAME], repo="", url="http://127.0.0.1:9/x.tar")
    monkeypatch.setitem(sources.SOURCES, NAME, here)
    text = IVGDownloadModel.execute(NAME, False)[0]
    assert "of unknown size" in text and "CC-BY-NC-4.0" in text
