"""An update as ComfyUI Manager does it: the pack's folder is replaced, and all that the older version made goes on.

The older version comes from the project's history; without one (an archive, a shallow clone) the tests are skipped.
"""

import io
import pathlib
import shutil
import subprocess
import tarfile

import pytest
from safetensors.torch import load_file
from test_training_comfyui import draw_clips, pictures, sampling, training
from tour import ROOT, needs_download, open_workflow, page_faults, run_workflow, set_widgets

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser, find_chromium

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")

BEFORE = "4830f96a6bf52b1b74bfc692ba4e5d1822343231"  # the last commit of 0.1.0, before rooms and files were moved
NAME = "comfy-ivg"
STEPS = 4


def older_version(folder: pathlib.Path) -> None:
    archive = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True)
    if archive.returncode:
        pytest.skip(f"the history lacks {BEFORE[:7]}: clone the project whole")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tape:
        tape.extractall(folder, filter="data")


def batch() -> dict:
    """One item of a batch of the four example scenes, in one step."""
    widgets = {"table": "ivg_example", "batch": "night", "prompts": "", "seeds": "0", "mask_folder": ""}
    nodes = sampling()
    nodes["loader"] = {"class_type": "IVGBatchLoader", "inputs": widgets}
    nodes["sample"]["inputs"] |= {
        "image": ["loader", 0], "action": ["loader", 1], "seed": ["loader", 2], "mask": ["loader", 3], "steps": 1,
    }  # fmt: skip
    saved = {"item": ["loader", 4], "frames": ["sample", 0], "fps": 8.0, "format": "mp4"}
    nodes["save"] = {"class_type": "IVGBatchSave", "inputs": saved}
    del nodes["scene"]
    return nodes


def finished(base: pathlib.Path) -> dict[str, tuple[int, bytes]]:
    videos = (base / "output" / "ivg" / "night").glob("[!.]*.mp4")
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in videos}


def frames_with_lora(client: ComfyClient) -> list:
    result = client.run(sampling(lora_name="ivg/whole.safetensors"), timeout=120)
    assert result.ok, result.errors
    return pictures(client, result, "save")


def lora(base: pathlib.Path, name: str) -> dict:
    return load_file(base / "models" / "loras" / "ivg" / f"{name}.safetensors")


def start(pack: pathlib.Path, base: pathlib.Path) -> ComfyServer:
    return ComfyServer(FOUND[0], [pack], python=FOUND[1], base_dir=base)


@pytest.fixture(scope="module")
def updated(tmp_path_factory):
    """A server of the new version over all that the older one left; and what that had made."""
    folder = tmp_path_factory.mktemp("update")
    pack, base = folder / NAME, folder / "base"
    older_version(pack)
    made = {"workflows": shutil.copytree(pack / "workflows", folder / "workflows")}
    with start(pack, base) as server:
        client = ComfyClient(server.url)
        draw_clips(base / "input" / "clips")
        for name, steps in (("whole", STEPS), ("half", STEPS // 2)):
            result = client.run(training(save_name=name, steps=steps, hand_loss=0.0), timeout=300)
            assert result.ok, result.errors
        made["with lora"] = frames_with_lora(client)
        made["nodes"] = set(client.pack_nodes(NAME))
        for _ in range(2):
            assert client.run(batch(), timeout=120).ok
        made["batch"] = finished(base)
    assert len(made["batch"]) == 2
    shutil.rmtree(pack)
    aside = {".git", ".venv", "out", "tests", ".hypothesis", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    shutil.copytree(ROOT, pack, ignore=lambda path, names: aside & {*names} if pathlib.Path(path) == ROOT else set())
    with start(pack, base) as server:
        assert not server.import_problems()
        yield server, made


def test_no_node_is_gone(updated):
    server, made = updated
    assert made["nodes"] and made["nodes"] <= set(ComfyClient(server.url).pack_nodes(NAME))


def test_a_lora_of_the_older_version_gives_the_same_frames(updated):
    server, made = updated
    frames = frames_with_lora(ComfyClient(server.url))
    assert len(frames) == 2 and all((a == b).all() for a, b in zip(frames, made["with lora"], strict=True))


def test_a_batch_goes_on_and_makes_nothing_again(updated):
    server, made = updated
    client = ComfyClient(server.url)
    for _ in range(4):  # two are left; the further runs find nothing to do
        result = client.run(batch(), timeout=120)
        assert result.ok, result.errors
    after = finished(server.base_dir)
    assert len(after) == 4 and made["batch"].items() <= after.items()


def test_a_training_goes_on_as_if_nothing_had_happened(updated):
    server, _ = updated
    result = ComfyClient(server.url).run(training(save_name="half", steps=STEPS, hand_loss=0.0), timeout=300)
    assert result.ok, result.errors
    assert [value for value, total in result.progress["train"] if total == STEPS] == [3, 4]
    whole, resumed = lora(server.base_dir, "whole"), lora(server.base_dir, "half")
    assert whole.keys() == resumed.keys() and all((whole[key] == resumed[key]).all() for key in whole)


def test_workflows_of_the_older_version_open_and_run(updated):
    if not find_chromium():
        pytest.skip("no Chromium: apt-get install chromium")
    server, made = updated
    olds = sorted(made["workflows"].glob("*.json"))
    assert olds
    with ComfyBrowser(server.url, expect_extensions=["ivg"]) as page:
        page.foreign_requests.clear()
        for path in olds:
            if not needs_download(path):
                assert open_workflow(page, path, older=True) == [], path.name
        assert open_workflow(page, made["workflows"] / "ivg_two_stage.json", older=True) == []
        set_widgets(page, steps=1)
        assert run_workflow(page) == []
        assert page_faults(page) == []
