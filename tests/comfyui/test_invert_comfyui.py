"""A clip's motion in another video, in a real ComfyUI: IVGInvertVideo into IVGSampler on the embedded model."""

import io
import pathlib

import numpy as np
import pytest
import torch
from PIL import Image

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from ivg_core.media.video import write_video
from ivg_core.synthetic.clips import Scene

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLE = {
    "action": "wipe the counter with the yellow cloth", "negative": "", "frames": 8, "steps": 6, "guidance": 1.0,
    "motion_strength": 5.0, "fps": 8.0, "width": 0, "height": 0, "keep_first_frame": False, "composite": False,
    "feather": -1.0,
}  # fmt: skip


def test_the_video_follows_the_clip(tmp_path):
    scene = Scene(100, 192, 128)
    clip = torch.from_numpy(scene.clip(scene.tasks[0], num_frames=8).frames).float() / 255
    (tmp_path / "input").mkdir()
    write_video(clip, tmp_path / "input" / "clip.mp4", 8)

    def sampler(seed, **prior):
        return "IVGSampler", {"model": ["model", 0], "image": ["first", 0], "seed": seed, **SAMPLE, **prior}

    invert = {"model": ["model", 0], "prompt": "", "steps": 6, "frames": 0, "strength": 1.0, "video": ["load", 0]}
    nodes = {
        "load": ("LoadVideo", {"file": "clip.mp4"}),
        "parts": ("GetVideoComponents", {"video": ["load", 0]}),
        "first": ("ImageFromBatch", {"image": ["parts", 0], "batch_index": 0, "length": 1}),
        "model": (
            "LoadIVGModel",
            {"model_name": "embedded (tiny, offline)", "rom_model": "same as model", "dtype": "fp32"},
        ),
        "invert": ("IVGInvertVideo", invert),
        "follows": sampler(1, noise_prior=["invert", 0]),
        "again": sampler(2, noise_prior=["invert", 0]),
        "alone": sampler(1),
    }
    shown = {f"show_{name}": ("PreviewImage", {"images": [name, 0]}) for name in ("follows", "again", "alone")}
    graph = {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in {**nodes, **shown}.items()}
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], base_dir=tmp_path) as server:
        client = ComfyClient(server.url)
        result = client.run(graph, timeout=600)
        assert result.ok, result.errors
        videos = {name: frames(client, result.outputs[name]["images"]) for name in shown}
    truth = clip.numpy() * 255
    errors = {name: ((video - truth) ** 2).mean() for name, video in videos.items()}
    assert np.abs(videos["show_follows"] - videos["show_again"]).max() == 0  # the seed has no say
    assert errors["show_follows"] < 0.7 * errors["show_alone"], errors


def frames(client, files) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(client.view(file))).convert("RGB")) for file in files]).astype(
        float
    )
