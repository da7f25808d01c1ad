"""An instruction video in a real ComfyUI: a recipe is looked through, made step by step, and one step is made again."""

import json
import pathlib
import time

import pytest
from how_to_graphs import how_to
from make_workflows import build
from tour import set_widgets

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser, find_chromium
from ivg_core.howto.plan import read_plan
from ivg_core.media.video import read_video

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None or not find_chromium(), reason="no ComfyUI or no chromium")

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHOTS = ROOT / "out" / "shots"  # to be looked at
QUICK = {"steps": 1, "frames": 4, "guidance": 1.0}
RECIPE = "Push the box to the left. Then pick up the carrot. Rotate the lid."


def quick():
    """The workflow with the random tiny checkpoint, in one step, and with free text."""
    graph = how_to()
    graph.boxes["model"].widgets.update(model_name="tiny", rom_model="tiny")
    graph.boxes["lora"].widgets.update(strength=0.0)  # it is for another network
    graph.boxes["predict"].widgets.update(QUICK, threshold=0.1)
    graph.boxes["sample"].widgets.update(QUICK, width=64, height=32)
    graph.boxes["plan"].widgets.update(text=RECIPE)
    graph.boxes["film"].widgets.update(fps=8, title_seconds=0)
    return graph


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = tmp_path_factory.mktemp("ivg")
    (models / "tiny").symlink_to(ROOT / "tests" / "golden" / "tiny_ckpt")
    base = tmp_path_factory.mktemp("base")
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], models={"ivg": models}, base_dir=base) as running:
        yield running


def events(folder: pathlib.Path) -> list[tuple[str, str]]:
    """What the journal says, in order: number of the step and status."""
    journal = folder / "made" / "results.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [(line["name"][:2], line["status"]) for line in map(json.loads, lines)]


def wait_for(met, browser: ComfyBrowser, what: str, seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"{what}: not after {seconds} s"
        browser.page.wait_for_timeout(200)  # lets the page work on, as time.sleep would not


def idle(server: ComfyServer, browser: ComfyBrowser) -> None:
    """Wait until nothing is queued."""
    browser.page.wait_for_timeout(1000)
    client = ComfyClient(server.url)
    wait_for(lambda: not any(client.get("/queue").values()), browser, "an empty queue")


def test_a_recipe_becomes_a_film_and_one_step_is_made_again(server):
    folder = server.base_dir / "output" / "ivg" / "how_to"
    with ComfyBrowser(server.url, viewport=(2000, 1100), expect_extensions=["ivg.plan_steps"]) as browser:
        _, ids = build(browser, quick())
        # The text is free: it is read, and nothing behind the plan runs.
        assert browser.run(timeout=120)["status"] == "success"
        plan = read_plan(browser.widget(ids["plan"], "steps"))
        assert plan.steps[0].action == "Push the box to the left." and len(plan.steps) == 3
        assert events(folder) == [] and not folder.exists()

        browser.press(ids["loader"], "Make all that is left")
        wait_for((folder / "film.mp4").is_file, browser, "the film")
        idle(server, browser)
        made = [step for number in ("01", "02", "03") for step in ((number, "started"), (number, "done"))]
        assert events(folder) == made
        takes = {path.name: path.stat().st_mtime_ns for path in (folder / "made").glob("*.mp4")}
        frames, fps = read_video(folder / "film.mp4")
        assert len(takes) == 3 and fps == 8 and len(frames) == 3 * (4 + 8) + 2 * 4
        (copy,) = (server.base_dir / "output" / "video").glob("how_to*.mp4")  # of core's Save Video
        assert read_video(copy)[0].shape == frames.shape
        assert "All steps are done." not in browser.widget(ids["loader"], "shown")  # as the last run found it
        assert "3 of 3 steps are in the film" in browser.widget(ids["film"], "shown")
        browser.fit()
        browser.screenshot(SHOTS / "how_to_made.png")

        # Another seed for step 2: it is made again, and step 3 after it.
        browser.click_title(ids["plan"])
        browser.page.locator(".ivg-plan-step").nth(1).locator("button", has_text="⟳").click()
        film = (folder / "film.mp4").stat().st_mtime_ns
        browser.press(ids["loader"], "Make all that is left")
        wait_for(lambda: len(events(folder)) == 10, browser, "two steps more")
        idle(server, browser)
        assert events(folder)[6:] == [("02", "started"), ("02", "done"), ("03", "started"), ("03", "done")]
        after = {path.name: path.stat().st_mtime_ns for path in (folder / "made").glob("*.mp4")}
        assert takes.items() <= after.items() and len(after) == 5
        assert (folder / "film.mp4").stat().st_mtime_ns > film

        # All is done: no model runs, and the film can be made again.
        (folder / "film.mp4").unlink()
        set_widgets(browser, "IVGHowTo", title="Again")
        assert browser.run(timeout=120)["status"] == "success"
        assert (folder / "film.mp4").is_file() and len(events(folder)) == 10
        assert "Again" in (folder / "index.html").read_text()
        assert "All steps are done." in browser.widget(ids["loader"], "shown")


def test_reading_the_text_anew_runs_nothing_else(server):
    graph = quick()
    graph.boxes["loader"].widgets.update(name="anew")
    with ComfyBrowser(server.url, expect_extensions=["ivg.plan_steps"]) as browser:
        _, ids = build(browser, graph)
        set_widgets(browser, "IVGPlanSteps", text="1. Stir\n2. Serve")
        browser.press(ids["plan"], "Read the text")
        wait_for(lambda: browser.widget(ids["plan"], "steps"), browser, "the table")
        idle(server, browser)
        assert [step.action for step in read_plan(browser.widget(ids["plan"], "steps")).steps] == ["Stir", "Serve"]
        assert not (server.base_dir / "output" / "ivg" / "anew").exists()


def test_a_step_that_no_plan_can_have_is_marked(server):
    graph = quick()
    graph.boxes["plan"].widgets.update(text="")
    with ComfyBrowser(server.url, expect_extensions=["ivg.plan_steps"]) as browser:
        _, ids = build(browser, graph)
        browser.click_title(ids["plan"])
        field = browser.page.locator(".ivg-plan-step [data-name=action]").first
        field.fill("chop " * 500)
        field.blur()
        outcome = browser.run(timeout=60)
        assert outcome["status"] == "error" and "Step 1" in outcome["error"] and "500 words" in outcome["error"]
        assert browser.page.locator(".ivg-plan-step.failed").count() == 1
