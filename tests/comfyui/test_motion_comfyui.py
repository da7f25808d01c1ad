"""A motion in a real ComfyUI: clips chained, learned from, used by the sampler; and a video of a sentence alone."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")

ROOT = pathlib.Path(__file__).resolve().parents[2]
EMBEDDED = "embedded (tiny, offline)"
TEXT_MODEL = "text"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = tmp_path_factory.mktemp("ivg")
    (models / TEXT_MODEL).symlink_to(ROOT / "tests" / "golden" / "motiondirector" / "training" / "model")
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], models={"ivg": models}) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    return ComfyClient(server.url)


def graph(**nodes) -> dict:
    """A prompt; each node as (class, inputs)."""
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def loader(model: str) -> tuple:
    return "LoadIVGModel", {"model_name": model, "rom_model": "same as model", "dtype": "auto"}


def clips() -> dict:
    """Two clips of plain frames, the second one with a mask, and what there is of them."""
    return {
        "frames": ("EmptyImage", {"width": 192, "height": 128, "batch_size": 4, "color": 0x884422}),
        "others": ("EmptyImage", {"width": 128, "height": 96, "batch_size": 3, "color": 0x228844}),
        "mask": ("SolidMask", {"value": 1.0, "width": 128, "height": 96}),
        "first": ("IVGMotionClip", {"prompt": "stir the soup", "images": ["frames", 0]}),
        "second": (
            "IVGMotionClip",
            {"prompt": "stir the rice", "images": ["others", 0], "mask": ["mask", 0], "clips": ["first", 0]},
        ),
        "summary": ("PreviewAny", {"source": ["second", 1]}),
    }


def training(model: str, **changes) -> dict:
    """What IVGTrainMotion learns from those clips."""
    widgets = {
        "model": ["load", 0], "clips": ["second", 0], "save_name": "stir", "learn": "the motion of the clips",
        "steps": 2, "rank": 2, "learning_rate": 1e-3, "debias": 1.0, "masks": "everything", "frames": 3, "width": 0,
        "height": 0, "training_seed": 0, "resume": True,
    }  # fmt: skip
    return {
        "load": loader(model),
        **clips(),
        "train": ("IVGTrainMotion", {**widgets, **changes}),
        "report": ("PreviewAny", {"source": ["train", 4]}),
    }


def pictures(client, result, node="show") -> list[np.ndarray]:
    return [np.array(Image.open(io.BytesIO(client.view(file)))) for file in result.outputs[node]["images"]]


def lora_of(server, name) -> dict[str, str]:
    with safe_open(server.base_dir / "models" / "loras" / "ivg" / f"{name}.safetensors", "pt") as file:
        return file.metadata()


def photo_video(model: list) -> dict:
    """A drawn photo through the sampler, with a model that another node gives."""
    widgets = {
        "model": model, "image": ["scene", 0], "action": ["scene", 1], "negative": "", "seed": 1, "frames": 2,
        "steps": 2, "guidance": 1.0, "motion_strength": 5.0, "fps": 8.0, "width": 0, "height": 0,
        "keep_first_frame": False, "composite": False, "feather": -1.0,
    }  # fmt: skip
    return {
        "scene": ("IVGExampleScene", {"seed": 9}),
        "sample": ("IVGSampler", widgets),
        "show": ("PreviewImage", {"images": ["sample", 0]}),
    }


def text_video(model: list, **changes) -> dict:
    """A sentence through IVGTextToVideo, with a model that another node gives."""
    widgets = {
        "model": model, "prompt": "stir the soup", "negative": "", "seed": 1, "frames": 2, "steps": 2,
        "guidance": 2.0, "fps": 0.0, "width": 80, "height": 64,
    }  # fmt: skip
    return {
        "make": ("IVGTextToVideo", {**widgets, **changes}),
        "show": ("PreviewImage", {"images": ["make", 0]}),
        "save": (
            "SaveVideo",
            {"video": ["make", 1], "filename_prefix": "test/text", "format": "auto", "codec": "auto"},
        ),
    }


def lora(name: str) -> tuple:
    widgets = {"lora_name": name, "strength": 1.0, "partial": False, "spatial": 0.0, "temporal": 1.0}
    return "IVGLoadLoRA", {"model": ["load", 0], **widgets}


def test_a_motion_is_learned_from_two_clips_and_used(server, client):
    result = client.run(graph(**training(EMBEDDED), **photo_video(["train", 0])), timeout=300)
    assert result.ok, result.errors
    assert "".join(result.outputs["summary"]["text"]).splitlines() == [
        "clip 1: 4 frames, 192 x 128: stir the soup",
        "clip 2: 3 frames, 128 x 96, with a mask: stir the rice",
    ]
    assert result.progress["train"][-1] == (2, 2) and result.previews.get("train", 0) >= 1
    assert "2 clips; 0 rejected" in "".join(result.outputs["report"]["text"])
    assert lora_of(server, "stir")["ivg_steps"] == "2"
    learned = pictures(client, result)

    file = lora("ivg/stir.safetensors")
    loaded, base = (
        pictures(client, client.run(graph(load=loader(EMBEDDED), **more, **photo_video([model, 0])), timeout=120))
        for more, model in (({"lora": file}, "lora"), ({}, "load"))
    )
    assert all((a == b).all() for a, b in zip(learned, loaded, strict=True))
    assert any((a != b).any() for a, b in zip(learned, base, strict=True))


def test_a_text_to_video_model_makes_a_video_of_a_sentence_and_learns_motions(server, client):
    base = client.run(graph(load=loader(TEXT_MODEL), **text_video(["load", 0])), timeout=120)
    assert base.ok, base.errors
    assert base.progress["make"][-1] == (2, 2)
    assert "80 x 64, 2 frames" in base.notes["make"]
    assert [frame.shape for frame in pictures(client, base)] == [(64, 80, 3)] * 2
    (video,) = base.outputs["save"]["images"]
    assert video["filename"].endswith(".mp4")

    small = {"save_name": "text_stir", "width": 80, "height": 64}
    learned = client.run(graph(**training(TEXT_MODEL, **small), **text_video(["train", 0])), timeout=300)
    assert learned.ok, learned.errors
    assert any((a != b).any() for a, b in zip(pictures(client, learned), pictures(client, base), strict=True))


def test_models_that_do_not_fit_are_one_sentence(client):
    wrong = (
        (graph(load=loader(EMBEDDED), **text_video(["load", 0])), "makes videos of a photo"),
        (graph(load=loader(TEXT_MODEL), **photo_video(["load", 0])), "cannot take a photo"),
    )
    for prompt, said in wrong:
        result = client.run(prompt, timeout=60)
        assert result.status == "error"
        (error,) = result.errors
        assert said in error and ": IVGError: " in error and "\n" not in error
