"""The pack in a real ComfyUI: it loads, runs, can be cancelled, and says what is wrong.

COMFYUI_PATH names the ComfyUI (~/ComfyUI if unset), COMFYUI_PYTHON its interpreter (its .venv if unset).
"""

import pathlib

import pytest
import torch
from PIL import Image

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from ivg_core.media.video import read_video
from ivg_core.synthetic import example

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
NODES = {path.name for path in (ROOT / "web" / "docs").iterdir()}
LONG = 40  # denoising steps that take a while


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A ComfyUI with this pack, a tiny checkpoint of random weights, and one that was only half downloaded."""
    models = tmp_path_factory.mktemp("ivg")
    (models / "tiny").symlink_to(ROOT / "tests" / "golden" / "tiny_ckpt")
    (models / "half" / "unet").mkdir(parents=True)
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], models={"ivg": models}) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    return ComfyClient(server.url)


def prompt(**changes) -> dict:
    """A photo of one colour through the tiny checkpoint; `changes` as `node__input=value`."""
    nodes = {
        "load": ("LoadIVGModel", {"model_name": "tiny", "rom_model": "tiny", "dtype": "auto"}),
        "photo": ("EmptyImage", {"width": 64, "height": 48, "batch_size": 1, "color": 0x884422}),
        "mask": ("SolidMask", {"value": 1.0, "width": 64, "height": 48}),
        "predict": (
            "PredictRoMMask",
            {
                "model": ["load", 0], "image": ["photo", 0], "action": "cut the carrot", "seed": 1, "steps": 2,
                "guidance": 2.0, "threshold": 0.5, "min_area": 0, "close": 2, "frames": 2,
            },
        ),
        "sample": (
            "IVGSampler",
            {
                "model": ["load", 0], "image": ["photo", 0], "mask": ["mask", 0], "action": "cut the carrot",
                "negative": "", "seed": 1, "frames": 2, "steps": 2, "guidance": 2.0, "motion_strength": 5.0, "fps": 8.0,
                "width": 0, "height": 0, "keep_first_frame": True, "composite": True, "feather": -1.0,
            },
        ),
        "save": (
            "SaveVideo",
            {"video": ["sample", 1], "filename_prefix": "test/ivg", "format": "auto", "codec": "auto"},
        ),
    }  # fmt: skip
    for change, value in changes.items():
        node, widget = change.split("__")
        nodes[node][1][widget] = value
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def saved_video(server, outputs: dict):
    """(frames, fps) of the one video that a run saved."""
    files = [file for output in outputs.values() for file in output.get("images", [])]
    (video,) = [file for file in files if file["filename"].endswith(".mp4")]
    return read_video(server.base_dir / video["type"] / video["subfolder"] / video["filename"])


def test_it_loads(server, client):
    assert not server.import_problems()
    assert set(client.pack_nodes(ROOT.name)) == NODES
    assert sorted(client.get("/workflow_templates")[ROOT.name]) == [path.stem for path in WORKFLOWS]
    for path in WORKFLOWS:
        picture = client.get_bytes(f"/api/workflow_templates/{ROOT.name}/{path.stem}.jpg")
        assert picture.startswith(b"\xff\xd8")
    for node in NODES:
        assert client.get_bytes(f"/extensions/{ROOT.name}/docs/{node}/en.md").startswith(b"# ")


def test_both_stages_run_with_progress_and_previews(server, client):
    result = client.run(prompt(), timeout=120)
    assert result.ok, result.errors
    assert result.progress["predict"][-1] == (2, 2) and result.progress["sample"][-1] == (2, 2)
    assert result.previews.get("sample", 0) >= 1 and "predict" not in result.previews
    frames, fps = saved_video(server, result.outputs)
    assert len(frames) == 2 and fps == 8


def test_a_batch_of_photos_gives_one_file_each(client):
    result = client.run(prompt(photo__batch_size=2, photo__color=0x113355), timeout=120)
    assert result.ok, result.errors
    assert len(result.outputs["save"]["images"]) == 2


def test_cancel_stops_within_a_step_and_the_next_run_is_clean(server, client):
    def cancel_after_two_steps(result, message):
        if len(result.progress.get("sample", [])) == 2:
            client.interrupt()

    cancelled = client.run(prompt(sample__steps=LONG, sample__seed=5), timeout=120, on_message=cancel_after_two_steps)
    assert cancelled.status == "interrupted"
    assert max(value for value, _ in cancelled.progress["sample"]) < LONG / 2
    after = client.run(prompt(sample__seed=5), timeout=120)
    assert after.ok, after.errors
    again = client.run(prompt(sample__seed=5, save__filename_prefix="test/again"), timeout=120)
    assert (saved_video(server, after.outputs)[0] == saved_video(server, again.outputs)[0]).all()


def test_memory_does_not_grow_from_run_to_run(server, client):
    def held_after(seeds) -> int:
        for seed in seeds:
            assert client.run(prompt(predict__seed=seed, sample__seed=seed), timeout=120).ok
        lines = pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024  # MiB

    warm = held_after(range(20, 25))
    assert held_after(range(30, 35)) - warm < 20


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sample__width": 60, "sample__height": 48}, "The nearest is 64 x 48"),
        ({"mask__value": 0.0}, "mask is empty"),
        ({"load__rom_model": "same as model"}, "IVG Fallback RoM"),
        ({"load__model_name": "half"}, "unet"),
    ],
)
def test_bad_input_is_one_sentence(client, changes, sentence):
    result = client.run(prompt(**changes), timeout=60)
    assert result.status == "error"
    (error,) = result.errors
    assert sentence in error and ": IVGError: " in error and "\n" not in error


def test_a_model_that_is_gone_is_named(client):
    result = client.run(prompt(load__model_name="gone"), timeout=60)
    assert not result.ok and "gone" in " ".join(result.errors)  # newer versions refuse it before they run anything


@pytest.mark.parametrize(
    ("scene", "widgets", "status"),
    [
        (1, {"any_photo": False}, "success"),
        (2, {"any_photo": False}, "error"),
        (2, {"any_photo": True}, "success"),
        (2, {}, "success"),  # a prompt from before there was `any_photo`
    ],
)
def test_a_painted_mask_knows_its_photo(server, client, scene, widgets, status):
    photo, _ = example(1)
    alpha = torch.ones(photo.shape[:2])
    alpha[:, :60] = 0
    stroke = (torch.cat([photo, alpha[..., None]], -1) * 255).round().byte().numpy()
    Image.fromarray(stroke).save(server.base_dir / "input" / "stroke.png")
    nodes = {
        "scene": ("IVGExampleScene", {"seed": scene}),
        "edit": ("IVGEditMask", {"photo": ["scene", 0], "image": "stroke.png [input]", **widgets}),
    }
    result = client.run({name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()})
    assert result.status == status
    if status == "error":
        assert "another photo" in result.errors[0] and "another photo" in result.notes["edit"]
