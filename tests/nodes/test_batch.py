"""A batch as ComfyUI runs it: prompt after prompt, each with one item."""

import itertools
import json
import pathlib
import types

import folder_paths
import pytest
import torch
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import CurrentNodeContext
from PIL import Image
from server import PromptServer

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.media.video import read_video
from ivg_pack.nodes.batch import IVGBatchLoader, IVGBatchSave
from ivg_pack.nodes.sampling import IVGSampler


@pytest.fixture
def widgets(request):
    """Two photos with masks in ComfyUI's input folder, three prompts in all."""
    name = request.node.name.replace("[", "_").replace("]", "").replace("/", "_")
    folder = pathlib.Path(folder_paths.get_input_directory()) / name
    (folder / "masks").mkdir(parents=True)
    for stem, colour in (("pan", "black"), ("cup", "white")):
        Image.new("RGB", (64, 32), colour).save(folder / f"{stem}.png")
        Image.new("L", (64, 32), 128).save(folder / "masks" / f"{stem}.png")
    (folder / "pan.txt").write_text("stir the pan\nwash the pan\n")
    return {"table": name, "batch": name, "prompts": "hold it", "seeds": "7", "mask_folder": f"{name}/masks"}


def results(widgets) -> pathlib.Path:
    return pathlib.Path(folder_paths.get_output_directory()) / "ivg" / widgets["batch"]


def save(loaded, **inputs):
    frames = loaded[0].expand(3, -1, -1, -1)
    return IVGBatchSave.execute(loaded[4], frames, 8.0, "gif", **inputs)


def test_every_run_takes_the_next_item_until_none_is_left(widgets):
    seen, marks = [], []
    for left in (2, 1, 0):
        marks.append(IVGBatchLoader.fingerprint_inputs(**widgets))
        loaded = IVGBatchLoader.execute(**widgets)
        image, action, seed, mask, *_ = loaded.args
        assert image.shape == (1, 32, 64, 3) and mask.shape == (1, 32, 64) and seed == 7
        assert 0.4 < mask.mean() < 0.6
        assert loaded.ui["ivg_left"] == [left]
        seen.append(action)
        shown = save(loaded, mask=mask).ui["images"][0]
        file = pathlib.Path(folder_paths.get_output_directory()) / shown["subfolder"] / shown["filename"]
        assert shown["type"] == "output" and read_video(file)[0].shape == (3, 32, 64, 3)
    assert sorted(seen) == ["hold it", "stir the pan", "wash the pan"]
    marks.append(IVGBatchLoader.fingerprint_inputs(**widgets))
    assert all(a != b for a, b in itertools.pairwise(marks))  # else ComfyUI would show the cached item

    done = IVGBatchLoader.execute(**widgets)
    assert all(isinstance(value, ExecutionBlocker) and value.message is None for value in done.args)
    assert done.ui["ivg_left"] == [0] and "All 3 are done" in done.ui["text"][0]
    assert IVGBatchLoader.fingerprint_inputs(**widgets) == marks[-1]  # now it may be cached
    assert (results(widgets) / "index.html").read_text().count("<article>") == 3


def test_frames_that_are_no_numbers_are_failed_and_made_again(widgets):
    loaded = IVGBatchLoader.execute(**widgets)
    with pytest.raises(IVGError, match="NaN"):
        IVGBatchSave.execute(loaded[4], torch.full((3, 32, 64, 3), float("nan")), 8.0, "gif")
    last = json.loads((results(widgets) / "results.jsonl").read_text().splitlines()[-1])
    assert last["status"] == "failed" and "NaN" in last["error"] and not list(results(widgets).glob("*.gif"))
    actions = []
    for _ in range(3):
        again = IVGBatchLoader.execute(**widgets)
        actions.append(again[1])
        save(again)
    assert actions[-1] == loaded[1]


def test_one_bad_item_fails_alone(widgets, monkeypatch):
    server = PromptServer()
    monkeypatch.setattr(PromptServer, "instance", server)
    folder = pathlib.Path(folder_paths.get_input_directory()) / widgets["table"]
    (folder / "a.png").write_bytes(b"no picture")
    (folder / "a bad text.png").write_bytes((folder / "cup.png").read_bytes())
    (folder / "a bad text.txt").write_bytes(b"\0\0")
    actions, left = [], []
    for _ in range(3):
        with CurrentNodeContext("prompt", "6"):
            loaded = IVGBatchLoader.execute(**widgets)
        actions.append(loaded[1])
        left.append(loaded.ui["ivg_left"][0])
        save(loaded)
    assert left == [2, 3, 2]  # the first tells how many runs to queue; later the bad ones are waiting, too
    assert sorted(actions) == ["hold it", "stir the pan", "wash the pan"]
    said = server.shown[0][1]
    assert (
        "a_s7_" in said and "cannot be read as a picture" in said and "a bad text.txt holds what is no letter" in said
    )
    with pytest.raises(IVGError, match=r"a bad text|cannot be read"):  # only the bad ones are left
        IVGBatchLoader.execute(**widgets)
    lines = [json.loads(line) for line in (results(widgets) / "results.jsonl").read_text().splitlines()]
    assert {line["status"] for line in lines if pathlib.Path(line["image"]).stem.startswith("a")} == {
        "started",
        "failed",
    }


def test_several_sentences_are_passed_on_as_a_schedule(widgets):
    folder = pathlib.Path(folder_paths.get_input_directory()) / widgets["table"]
    (folder / "t.csv").write_text("image,prompt,prompts\npan.png,,0: chop | 8: stir\ncup.png,hold it,\n")
    widgets |= {"table": f"{widgets['table']}/t.csv", "mask_folder": ""}
    given = []
    for _ in range(2):
        loaded = IVGBatchLoader.execute(**widgets)
        given.append((loaded[1], loaded[7] and [(one.frame, one.sentence) for one in loaded[7].stretches]))
        save(loaded)
    assert sorted(given) == [("", [(0, "chop"), (8, "stir")]), ("hold it", None)]
    assert [type(value) for value in IVGBatchLoader.execute(**widgets).args] == [ExecutionBlocker] * 8


def test_any_error_of_the_saver_is_noted(widgets, monkeypatch):
    loaded = IVGBatchLoader.execute(**widgets)

    def odd(*_):
        raise KeyError("what PIL raises")

    monkeypatch.setattr("ivg_pack.ivg_core.batch.run.save_result", odd)
    with pytest.raises(KeyError):
        save(loaded)
    last = json.loads((results(widgets) / "results.jsonl").read_text().splitlines()[-1])
    assert last["status"] == "failed" and "KeyError" in last["error"]


def test_the_saver_says_where_the_page_lies(widgets, monkeypatch):
    server = PromptServer()
    monkeypatch.setattr(PromptServer, "instance", server)
    loaded = IVGBatchLoader.execute(**widgets)
    with CurrentNodeContext("prompt", "7"):
        save(loaded)
    assert server.shown == [("7", f"All results so far: {results(widgets) / 'index.html'}")]


def test_a_run_that_failed_is_tried_again_after_the_others(widgets):
    failed = IVGBatchLoader.execute(**widgets)[1]
    mark = IVGBatchLoader.fingerprint_inputs(**widgets)
    actions = []
    for _ in range(3):
        loaded = IVGBatchLoader.execute(**widgets)
        actions.append(loaded[1])
        save(loaded)
    assert actions[-1] == failed and len(set(actions)) == 3
    assert mark != IVGBatchLoader.fingerprint_inputs(**widgets)


def test_the_command_line_goes_on_with_it(widgets):
    from ivg_pack.ivg_core.batch.journal import pending
    from ivg_pack.nodes.batch import items_of

    save(IVGBatchLoader.execute(**widgets))
    items, folder = items_of(**widgets)
    assert len(pending(items, folder)) == 2
    events = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert [event["status"] for event in events] == ["started", "done"]


def test_a_graph_with_the_real_sampler(widgets, model, monkeypatch):
    hidden = types.SimpleNamespace(unique_id="1", prompt={"3": {}}, extra_pnginfo={"workflow": {"nodes": []}})
    monkeypatch.setattr(IVGBatchSave, "hidden", hidden)
    image, action, seed, mask, item, _, boxes, schedule = IVGBatchLoader.execute(**widgets).args
    frames = IVGSampler.execute(
        model, image, action, "", seed, 2, 1, 1.0, 5.0, 8.0, 64, 32, True, True, -1.0, mask=mask, boxes=boxes,
        schedule=schedule
    )[0][0]  # fmt: skip
    shown = IVGBatchSave.execute(item, frames, 8.0, "mp4", mask).ui["images"][0]
    video = results(widgets) / shown["filename"]
    assert read_video(video)[0].shape == (2, 32, 64, 3)
    assert b"workflow" in video.read_bytes() and (results(widgets) / f"{video.stem}_mask.png").is_file()


def test_without_a_mask_the_mask_is_white(widgets):
    mask = IVGBatchLoader.execute(**{**widgets, "mask_folder": ""})[3]
    assert torch.equal(mask, torch.ones(1, 32, 64))


def test_the_example_draws_itself():
    example = {"table": "ivg_example", "batch": "example", "prompts": "", "seeds": "0", "mask_folder": ""}
    first = IVGBatchLoader.execute(**example)
    assert first[0].shape == (1, 128, 192, 3) and first[1] and first.ui["ivg_left"] == [3]
    table = pathlib.Path(folder_paths.get_input_directory()) / "ivg_example" / "prompt.json"
    before = table.stat().st_mtime_ns
    IVGBatchLoader.execute(**example)
    assert table.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("widget", "value", "hint"),
    [
        ("table", "", "There is no table"),
        ("table", "nowhere", "no table or folder"),
        ("table", "../../etc", "which is not in"),
        ("table", "/etc", "which is not in"),
        ("batch", "../../elsewhere", "which is not in"),
        ("mask_folder", "/etc", "which is not in"),
        ("seeds", "many", "list of seeds"),
    ],
)
def test_mistakes_name_the_widget(widgets, widget, value, hint):
    with pytest.raises(IVGError, match=hint):
        IVGBatchLoader.execute(**{**widgets, widget: value})
