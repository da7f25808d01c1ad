"""A batch in a real ComfyUI, whose server is killed in the middle; and the buttons of the two nodes with one."""

import json
import pathlib
import signal
import time

import pytest
from batch_graphs import GRAPHS
from graphs import FIXED
from make_workflows import build
from PIL import Image

from comfy_harness import ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser, find_chromium
from ivg_core.media.video import read_video

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None or not find_chromium(), reason="no ComfyUI or no chromium")

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUICK = {"steps": 1, "frames": 2, "guidance": 1.0}


def quick(name: str):
    """A workflow with the random tiny checkpoint, in one step."""
    graph = GRAPHS[name]()
    graph.boxes["model"].widgets.update(model_name="tiny", rom_model="tiny")
    graph.boxes["predict"].widgets.update(QUICK, threshold=0.1)
    graph.boxes["sample"].widgets.update(QUICK, width=64, height=32)
    return graph


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ivg")
    (folder / "tiny").symlink_to(ROOT / "tests" / "golden" / "tiny_ckpt")
    return folder


def start(models, base=None) -> ComfyServer:
    return ComfyServer(FOUND[0], [ROOT], python=FOUND[1], models={"ivg": models}, base_dir=base)


def finished(folder: pathlib.Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*.mp4")}


def wait_for(count: int, folder: pathlib.Path, browser: ComfyBrowser, seconds: float = 150) -> dict[str, int]:
    deadline = time.monotonic() + seconds
    while len(finished(folder)) < count:
        assert time.monotonic() < deadline, f"{len(finished(folder))} of {count} after {seconds} s"
        browser.page.wait_for_timeout(100)  # lets the page work on, as time.sleep would not
    return finished(folder)


def test_a_batch_goes_on_after_its_server_was_killed(models, tmp_path):
    graph = quick("ivg_24_many_videos")
    graph.boxes["loader"].widgets.update(table="photos", batch="night", prompts="hold it\nwash it", seeds="0-1")
    base = tmp_path / "base"
    folder = base / "output" / "ivg" / "night"
    server = start(models, base).start()
    photos = base / "input" / "photos"
    photos.mkdir(parents=True)
    for name, colour in (("a", "orange"), ("b", "green"), ("c", "blue")):
        Image.new("RGB", (64, 32), colour).save(photos / f"{name}.png")
    try:
        with ComfyBrowser(server.url, expect_extensions=["ivg.batch"]) as browser:
            workflow, ids = build(browser, graph)
            browser.press(ids["loader"], "Run all that is left")
            before = wait_for(4, folder, browser)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    finally:
        server.stop()
    with start(models, base) as server, ComfyBrowser(server.url) as browser:
        browser.load(workflow)
        browser.press(ids["loader"], "Run all that is left")
        after = wait_for(12, folder, browser)
        browser.page.wait_for_timeout(2000)
    assert before.items() <= after.items() and len(after) == 12
    assert all(read_video(folder / name)[0].shape == (2, 32, 64, 3) for name in after)
    events = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    done = [event["name"] for event in events if event["status"] == "done"]
    assert sorted(done) == sorted(pathlib.Path(name).stem for name in after)
    assert (folder / "index.html").read_text().count("<article>") == 12


def test_the_sentence_is_shown_and_can_be_edited(models):
    graph = quick("ivg_21_few_words_to_video")
    graph.boxes["scene"].widgets.update(FIXED)
    with start(models) as server, ComfyBrowser(server.url, expect_extensions=["ivg.enrich"]) as browser:
        _, ids = build(browser, graph)
        assert browser.run(timeout=240)["status"] == "success"
        first = browser.widget(ids["enrich"], "shown")
        assert first.startswith("The person ") and "in the right hand" in first
        browser.press(ids["enrich"], "Edit")
        assert browser.widget(ids["enrich"], "edited") == first
        assert browser.widget(ids["enrich"], "edited_for")
        browser.press(ids["enrich"], "Discard edit")
        assert browser.widget(ids["enrich"], "edited") == ""
