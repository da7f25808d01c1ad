"""The hand nodes in a real ComfyUI: keypoints into a fallback mask, pseudo masks, and the best of two videos."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from ivg_core.synthetic.clips import Scene

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")

ROOT = pathlib.Path(__file__).resolve().parents[2]
SURE = {"palm_threshold": 0.5, "presence_threshold": 0.5}
KEYPOINTS = {**SURE, "max_hands": 10, "video": True, "dilate": 0.15}
ANNOTATE = {**SURE, "dilate": 0.15, "arms": False, "min_hand_frames": 2, "released": False}


@pytest.fixture(scope="module")
def clip():
    scene = Scene(3, 256, 192)
    return scene.clip(scene.tasks[1], num_frames=4)


@pytest.fixture(scope="module")
def client(clip, tmp_path_factory):
    """Of a server with a photo of a hand in its input folder."""
    base = tmp_path_factory.mktemp("base")
    (base / "input").mkdir()
    Image.fromarray(clip.frames[-1]).save(base / "input" / "hand.png")
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], base_dir=base) as server:
        yield ComfyClient(server.url)


def test_keypoints_masks_and_scores(client, clip):
    nodes = {
        "photo": ("LoadImage", {"image": "hand.png"}),
        "clip": ("RepeatImageBatch", {"image": ["photo", 0], "amount": 2}),
        "empty": ("EmptyImage", {"width": 256, "height": 192, "batch_size": 2, "color": 0x808080}),
        "keypoints": ("HandKeypoints", {"image": ["clip", 0], **KEYPOINTS}),
        "fallback": (
            "IVGFallbackRoM",
            {"image": ["photo", 0], "method": "hands", "margin": 6, "keypoints": ["keypoints", 0]},
        ),
        "picture": ("MaskToImage", {"mask": ["fallback", 0]}),
        "show": ("PreviewImage", {"images": ["picture", 0]}),
        "annotate": ("IVGAnnotateRoM", {"frames": ["clip", 0], **ANNOTATE}),
        "report": ("PreviewAny", {"source": ["annotate", 3]}),
        "score": ("IVGHandScore", {"frames": ["clip", 0], **SURE}),
        "said": ("PreviewAny", {"source": ["score", 1]}),
        "pick": ("IVGPickBest", {"frames": ["empty", 0], "frames_3": ["clip", 0]}),
        "table": ("PreviewAny", {"source": ["pick", 1]}),
        "best": ("PreviewImage", {"images": ["pick", 0]}),
    }
    result = client.run({name: {"class_type": k, "inputs": inputs} for name, (k, inputs) in nodes.items()}, timeout=300)
    assert result.ok, result.errors
    assert len(result.outputs["keypoints"]["images"]) == 2 and len(result.outputs["annotate"]["images"]) == 2
    mask = picture(client, result.outputs["show"]["images"][0])[..., 0] > 127
    hand = clip.hands[-1] > 127
    assert (mask & hand).sum() / mask.sum() > 0.5 and mask.sum() > 0.2 * hand.sum()
    assert "Hands in 2 of 2 frames" in text(result, "report")
    assert "2 of 2" in text(result, "said")
    assert "no hand" in text(result, "table") and text(result, "table").endswith("best: video 2")
    best = picture(client, result.outputs["best"]["images"][0]).astype(int)
    assert len(result.outputs["best"]["images"]) == 2 and abs(best - clip.frames[-1]).max() <= 1


def picture(client, file) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(client.view(file))).convert("RGB"))


def text(result, node: str) -> str:
    return "".join(result.outputs[node]["text"])
