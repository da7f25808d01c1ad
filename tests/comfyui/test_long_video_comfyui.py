"""Windows and prompt schedules in a real ComfyUI: a long video of two sentences, with a region each."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")

ROOT = pathlib.Path(__file__).resolve().parents[2]
FRAMES = 12
TWO = "0: pick up the cup\n6: pick up the carrot"


@pytest.fixture(scope="module")
def client():
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1]) as server:
        yield ComfyClient(server.url)


def half(x: int) -> dict:
    """Nodes of a mask that is white in 16 columns from x on."""
    return {
        f"black{x}": ("SolidMask", {"value": 0.0, "width": 64, "height": 64}),
        f"white{x}": ("SolidMask", {"value": 1.0, "width": 16, "height": 64}),
        f"half{x}": (
            "MaskComposite",
            {"destination": [f"black{x}", 0], "source": [f"white{x}", 0], "x": x, "y": 0, "operation": "add"},
        ),
    }


def sampler(**changes) -> tuple:
    widgets = {
        "model": ["load", 0], "image": ["photo", 0], "action": "", "negative": "", "seed": 1, "frames": FRAMES,
        "steps": 2, "guidance": 1.0, "motion_strength": 5.0, "fps": 8.0, "width": 64, "height": 64,
        "keep_first_frame": False, "composite": True, "feather": 0.0,
    }  # fmt: skip
    return "IVGSampler", {**widgets, **changes}


WINDOWS = {
    "length": 4, "stride": 2, "schedule": "static", "weights": "pyramid", "noise": "freenoise", "batch": 2,
    "smooth": False,
}  # fmt: skip


def ran(client, **nodes):
    """The result of a graph in which the sampler's frames are shown."""
    model = {"model_name": "embedded (tiny, offline)", "rom_model": "same as model", "dtype": "fp32"}
    given = {
        "photo": ("EmptyImage", {"width": 64, "height": 64, "batch_size": 1, "color": 0x884422}),
        "load": ("LoadIVGModel", model),
        "windows": ("IVGWindows", WINDOWS),
        "show": ("PreviewImage", {"images": ["sample", 0]}),
        **nodes,
    }  # fmt: skip
    return client.run(
        {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in given.items()}, timeout=240
    )


def frames_of(client, result) -> np.ndarray:
    assert result.ok, result.errors
    files = result.outputs["show"]["images"]
    return np.stack(
        [np.asarray(Image.open(io.BytesIO(client.view(file))).convert("RGB")).astype(int) for file in files]
    )


def moved(frames: np.ndarray) -> np.ndarray:
    """(F, W): the columns in which a frame is not the photo."""
    return (np.abs(frames - (0x88, 0x44, 0x22)) > 2).any(axis=(1, 3))


def test_each_sentence_moves_in_its_own_region(client):
    frames = frames_of(
        client,
        ran(
            client,
            **half(0),
            **half(40),
            first=("IVGPromptSchedule", {"sentences": "0: pick up the cup", "mode": "centre", "mask": ["half0", 0]}),
            both=(
                "IVGPromptSchedule",
                {"sentences": "6: pick up the carrot", "mode": "centre", "mask": ["half40", 0], "also": ["first", 0]},
            ),
            sample=sampler(schedule=["both", 0], options=["windows", 0]),
        ),
    )
    columns = moved(frames)
    assert len(frames) == FRAMES
    assert columns[:, :16].any() and columns[:, 40:56].any()
    assert not columns[:, 17:39].any() and not columns[:, 57:].any()


def test_a_region_is_predicted_for_each_sentence(client):
    predict = {
        "model": ["load", 0], "image": ["photo", 0], "action": "", "seed": 1, "steps": 2, "guidance": 1.0,
        "threshold": 0.0, "min_area": 1, "close": 0, "frames": 2, "schedule": ["two", 0],
    }  # fmt: skip
    result = ran(
        client,
        two=("IVGPromptSchedule", {"sentences": ["text", 0], "mode": "blend"}),
        text=("PrimitiveStringMultiline", {"value": TWO}),
        predict=("PredictRoMMask", predict),
        sample=sampler(schedule=["two", 0], mask=["predict", 0]),
    )
    assert len(frames_of(client, result)) == FRAMES
    assert len(result.outputs["predict"]["images"]) == 2


def test_a_wrong_schedule_is_one_sentence_in_the_graph(client):
    result = ran(
        client,
        two=("IVGPromptSchedule", {"sentences": "0: chop\n90: stir", "mode": "centre"}),
        sample=sampler(schedule=["two", 0], options=["windows", 0]),
    )
    (error,) = result.errors
    assert '"stir" begins at frame 90, and the video has 12 frames' in error and "\n" not in error
