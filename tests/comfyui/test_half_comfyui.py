"""A ComfyUI that keeps pictures between nodes in half precision (--fp16-intermediates): every node takes them."""

import pathlib

import pytest

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui

FOUND = installed_comfyui()
HALF = "--fp16-intermediates"
pytestmark = [
    pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH"),
    pytest.mark.skipif(
        FOUND is not None and HALF not in (pathlib.Path(FOUND[0]) / "comfy" / "cli_args.py").read_text(),
        reason=f"this ComfyUI has no {HALF}",
    ),
]

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    models = tmp_path_factory.mktemp("ivg")
    (models / "tiny").symlink_to(ROOT / "tests" / "golden" / "tiny_ckpt")
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], models={"ivg": models}, extra_args=[HALF]) as server:
        yield ComfyClient(server.url)


def test_a_photo_goes_through_every_step(client):
    """Photo, region, window, video, seam, scores, file."""
    photo, mask, frames = ["photo", 0], ["refine", 0], ["sample", 0]
    nodes = {
        "load": ("LoadIVGModel", {"model_name": "tiny", "rom_model": "tiny", "dtype": "auto"}),
        "photo": ("EmptyImage", {"width": 64, "height": 64, "batch_size": 1, "color": 0x884422}),
        "given": ("SolidMask", {"value": 0.7, "width": 32, "height": 32}),
        "refine": (
            "RefineMask",
            {
                "mask": ["given", 0], "threshold": 0.5, "min_area": 0, "close": 2, "fill_holes": True,
                "shape": "as it is", "grow": 4, "combine": "union", "feather": 2.0, "smooth": 0,
            },
        ),
        "edit": ("IVGEditMask", {"photo": photo, "image": "", "mask": mask, "any_photo": False}),
        "crop": (
            "IVGCropToRoM",
            {
                "image": photo, "mask": ["edit", 0], "region": "zoom", "width": 64, "height": 64, "multiple": 8,
                "context": 0.05,
            },
        ),
        "stitch": (
            "IVGStitchRoM",
            {"frames": ["crop", 0], "window": ["crop", 2], "feather": -1.0, "correct_colour": True},
        ),
        "stitched": ("PreviewImage", {"images": ["stitch", 0]}),
        "predicted": ("MaskPreview", {"mask": ["predict", 0]}),
        "predict": (
            "PredictRoMMask",
            {
                "model": ["load", 0], "image": photo, "action": "cut", "seed": 1, "steps": 2, "guidance": 2.0,
                "threshold": 0.5, "min_area": 0, "close": 2, "frames": 2,
            },
        ),
        "sample": (
            "IVGSampler",
            {
                "model": ["load", 0], "image": photo, "mask": mask, "action": "cut", "negative": "", "seed": 1,
                "frames": 2, "steps": 2, "guidance": 2.0, "motion_strength": 5.0, "fps": 8.0, "width": 0, "height": 0,
                "keep_first_frame": True, "composite": True, "feather": -1.0,
            },
        ),
        "lay": (
            "IVGCompositeRoM",
            {"frames": frames, "image": photo, "mask": mask, "feather": 2.0, "correct_colour": True},
        ),
        "show": (
            "IVGPreviewRoM",
            {"image": photo, "mask": mask, "opacity": 0.5, "contour": 2, "layout": "side by side", "after": ["lay", 0]},
        ),
        "shown": ("PreviewImage", {"images": ["show", 0]}),
        "score": ("IVGHandScore", {"frames": ["lay", 0], "palm_threshold": 0.5, "presence_threshold": 0.5}),
        "said": ("PreviewAny", {"source": ["score", 1]}),
        "keypoints": (
            "HandKeypoints",
            {
                "image": ["lay", 0], "palm_threshold": 0.5, "presence_threshold": 0.5, "max_hands": 10, "video": True,
                "dilate": 0.15,
            },
        ),
        "video": ("CreateVideo", {"images": ["lay", 0], "fps": 8.0}),
        "save": ("IVGSaveVideo", {"video": ["video", 0], "filename_prefix": "half", "format": "webm"}),
    }  # fmt: skip
    result = client.run({name: {"class_type": kind, "inputs": given} for name, (kind, given) in nodes.items()})
    assert result.ok, result.errors
