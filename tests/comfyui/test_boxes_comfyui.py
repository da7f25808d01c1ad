"""Box tracks in a real ComfyUI: into the samplers, from a table, and to a model in SMCD's released layout."""

import io
import json
import pathlib

import numpy as np
import pytest
import smcd_folder
from box_gates import opened
from PIL import Image

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from ivg_core.checkpoints.gates import save_gates
from ivg_core.checkpoints.load import load_model
from ivg_core.media.tracks import Keyframe, Thing, Track
from ivg_core.media.video import read_video
from ivg_core.models.add_gates import with_gates

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")

ROOT = pathlib.Path(__file__).resolve().parents[2]
EMBEDDED, GATES, SMCD = "embedded (tiny, offline)", "opened.safetensors", "text2video/smcd"
CUP = Track((Thing("cup", (Keyframe(0, (0.125, 0.25, 0.375, 0.5)), Keyframe(1, (0.5, 0.25, 0.75, 0.5)))),))
ROWS = "image,prompt,seed,boxes,phrase\na.png,push the cup,3,bbox.txt,cup\na.png,push the cup,3,,\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    (folder / "ivg").mkdir()
    save_gates(opened(with_gates(load_model("embedded").unet, "boxes")), folder / "ivg" / GATES, {})
    smcd_folder.released(folder / "text2video" / "smcd")
    smcd_folder.base(folder / "text2video" / "base")
    photos = folder / "base" / "input" / "photos"
    photos.mkdir(parents=True)
    Image.new("RGB", (64, 32), "orange").save(photos / "a.png")
    (photos / "bbox.txt").write_text("8,8,24,16\n32,8,48,16\n")
    (photos / "t.csv").write_text(ROWS)
    models = {"ivg": folder / "ivg", "text2video": folder / "text2video"}
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], models=models, base_dir=folder / "base") as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    return ComfyClient(server.url)


def graph(**nodes) -> dict:
    """A prompt; each node as (class, inputs)."""
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def loader(model: str = EMBEDDED, **more) -> tuple:
    return "LoadIVGModel", {"model_name": model, "rom_model": "same as model", "dtype": "fp32", **more}


def sampler(**changes) -> tuple:
    widgets = {
        "model": ["load", 0], "image": ["photo", 0], "action": "push the cup", "negative": "", "seed": 1, "frames": 2,
        "steps": 1, "guidance": 2.0, "motion_strength": 5.0, "fps": 8.0, "width": 64, "height": 64,
        "keep_first_frame": False, "composite": False, "feather": 0.0,
    }  # fmt: skip
    return "IVGSampler", {**widgets, **changes}


PHOTO = ("EmptyImage", {"width": 64, "height": 64, "batch_size": 1, "color": 0x884422})
DRAWN = ("IVGBoxTrack", {"track": CUP.to_json(), "image": ["photo", 0]})


@pytest.fixture
def run(client):
    """The frames that a graph shows, by the name of the sampler."""

    def made(timeout: float = 240, **nodes) -> dict[str, np.ndarray]:
        samplers = [name for name, (kind, _) in nodes.items() if kind == "IVGSampler"]
        shown = {f"show_{name}": ("PreviewImage", {"images": [name, 0]}) for name in samplers}
        result = client.run(graph(photo=PHOTO, track=DRAWN, **nodes, **shown), timeout=timeout)
        assert result.ok, result.errors
        files = {name: result.outputs[f"show_{name}"]["images"] for name in samplers}
        return {name: np.stack([pixels(client.view(file)) for file in several]) for name, several in files.items()}

    return made


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def choices(client, name: str) -> list[str]:
    """What a list of LoadIVGModel offers."""
    inputs = client.node_info()["LoadIVGModel"]["input"]
    kind, *settings = (inputs["required"] | inputs["optional"])[name]
    return settings[0]["options"] if kind == "COMBO" else kind


def test_a_drawn_track_changes_the_video_of_a_model_with_gates(client, run):
    assert GATES in choices(client, "boxes_model") and choices(client, "boxes_model")[0] == "none"
    assert SMCD in choices(client, "model_name") and GATES not in choices(client, "model_name")
    options = {
        "solver": "dpm++2m", "motion_mode": "raw", "guidance_start": 0.0, "guidance_end": 1.0, "binarize_mask": False,
        "decode_chunk": 0, "boxes_scale": 20.0,
    }  # fmt: skip
    videos = run(
        load=loader(boxes_model=GATES),
        strongly=("IVGSamplerOptions", options),
        boxed=sampler(boxes=["track", 0]),
        strong=sampler(boxes=["track", 0], options=["strongly", 0]),
        gated=sampler(),
        bare=loader(),
        plain=sampler(model=["bare", 0]),
    )
    assert all(video.shape == (2, 64, 64, 3) for video in videos.values())
    assert (videos["gated"] == videos["plain"]).all()
    assert np.abs(videos["boxed"] - videos["gated"]).mean() > 0.3
    assert np.abs(videos["strong"] - videos["boxed"]).mean() > 0.05


def test_a_model_without_gates_says_what_to_do(client):
    result = client.run(
        graph(
            photo=PHOTO,
            track=DRAWN,
            load=loader(),
            sample=sampler(boxes=["track", 0]),
            show=("PreviewImage", {"images": ["sample", 0]}),
        ),
        timeout=120,
    )
    (error,) = result.errors
    assert "follows no boxes" in error and "boxes_model" in error and ": IVGError: " in error and "\n" not in error


def test_what_a_track_passes_over_is_the_region_of_any_model(run):
    video = run(load=loader(), sample=sampler(mask=["track", 1], composite=True))["sample"]
    moved = (video != (0x88, 0x44, 0x22)).any(axis=(0, 3))  # (H, W)
    assert moved[16:32, 8:48].mean() > 0.5
    moved[16:32, 8:48] = False
    assert not moved.any()


def test_a_row_of_a_table_has_its_track(server, client):
    load = {"table": "photos/t.csv", "batch": "boxes", "prompts": "", "seeds": "0", "mask_folder": ""}
    of_row = {"image": ["row", 0], "action": ["row", 1], "seed": ["row", 2], "boxes": ["row", 6], "height": 32}
    nodes = graph(
        load=loader(boxes_model=GATES),
        row=("IVGBatchLoader", load),
        sample=sampler(**of_row),
        save=("IVGBatchSave", {"item": ["row", 4], "frames": ["sample", 0], "fps": 8.0, "format": "gif"}),
    )
    results = [client.run(nodes, timeout=120) for _ in range(2)]
    assert all(result.ok for result in results), [result.errors for result in results]
    folder = server.base_dir / "output" / "ivg" / "boxes"
    events = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    boxed, plain = (read_video(folder / event["file"])[0] for event in events if event["status"] == "done")
    assert boxed.shape == plain.shape == (2, 32, 64, 3)
    assert (boxed - plain).abs().mean() > 0.001


def test_smcds_released_files_beside_modelscopes_are_a_model(run):
    """Its gates are not made for this test: they are open, as its code's tensors have them."""
    videos = run(load=loader(SMCD), boxed=sampler(boxes=["track", 0]), plain=sampler(), timeout=400)
    assert videos["boxed"].shape == (2, 64, 64, 3)
    assert (videos["boxed"] != videos["plain"]).any()
