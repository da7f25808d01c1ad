"""Training in a real ComfyUI with the embedded model: progress, cancel, resume, the LoRA loaded and sampled with."""

import io
import pathlib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from ivg_core.checkpoints.load import load_model
from ivg_core.media.images import save_png
from ivg_core.media.video import write_video
from ivg_core.synthetic.clips import Scene

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")

ROOT = pathlib.Path(__file__).resolve().parents[2]
EMBEDDED = "embedded (tiny, offline)"
MANY = 60  # training steps that take a while


def draw_clips(clips: pathlib.Path) -> None:
    """A folder to train from: one drawn clip with its sentence and masks, and one that is none."""
    scene = Scene(1_000_003)
    drawn = scene.clip(scene.tasks[0], 8)
    write_video(torch.from_numpy(drawn.frames).float() / 255, clips / "scene.mp4", 8)
    (clips / "scene.txt").write_text(drawn.text)
    for k, mask in enumerate(drawn.rom):
        save_png(
            torch.from_numpy(np.asarray(mask, dtype=np.float32)) / mask.max(),
            clips / "masks" / "scene" / f"{k}.png",
        )
    (clips / "broken.mp4").write_bytes(b"no video")
    (clips / "broken.txt").write_text("broken")


@pytest.fixture(scope="module")
def server():
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1]) as server:
        draw_clips(server.base_dir / "input" / "clips")
        yield server


@pytest.fixture(scope="module")
def client(server):
    return ComfyClient(server.url)


def training(**changes) -> dict:
    """The folder of clips through TrainIVGLoRA, both pictures and the report shown."""
    widgets = {
        "model": ["load", 0], "prompt": "", "save_name": "scene", "stage": "2: the video", "steps": 4, "rank": 4,
        "learning_rate": 1e-3, "hand_loss": 1.0, "masks": "folder named masks", "folder": "clips", "frames": 0,
        "width": 0, "height": 0, "training_seed": 0, "resume": True,
    }  # fmt: skip
    nodes = {
        "load": ("LoadIVGModel", {"model_name": EMBEDDED, "rom_model": "same as model", "dtype": "auto"}),
        "train": ("TrainIVGLoRA", {**widgets, **changes}),
        "curve": ("PreviewImage", {"images": ["train", 2]}),
        "validation": ("PreviewImage", {"images": ["train", 3]}),
        "report": ("PreviewAny", {"source": ["train", 4]}),
    }
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def sampling(**lora) -> dict:
    """The example scene through IVGSampler, with a LoRA if one is named."""
    nodes = {
        "load": ("LoadIVGModel", {"model_name": EMBEDDED, "rom_model": "same as model", "dtype": "auto"}),
        "scene": ("IVGExampleScene", {"seed": 0}),
        "sample": (
            "IVGSampler",
            {
                "model": ["load", 0], "image": ["scene", 0], "action": "pick up the cup", "negative": "", "seed": 1,
                "frames": 2, "steps": 2, "guidance": 1.0, "motion_strength": 5.0, "fps": 8.0, "width": 0, "height": 0,
                "keep_first_frame": False, "composite": False, "feather": -1.0,
            },
        ),
        "save": ("PreviewImage", {"images": ["sample", 0]}),
    }  # fmt: skip
    if lora:
        nodes["lora"] = ("IVGLoadLoRA", {"model": ["load", 0], "strength": 1.0, **lora})
        nodes["sample"][1]["model"] = ["lora", 0]
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def pictures(client, result, node) -> list[np.ndarray]:
    return [np.array(Image.open(io.BytesIO(client.view(file)))) for file in result.outputs[node]["images"]]


def lora_of(server, name) -> dict[str, str]:
    with safe_open(server.base_dir / "models" / "loras" / "ivg" / f"{name}.safetensors", "pt") as file:
        return file.metadata()


def test_a_folder_trains_and_what_it_learned_is_shown_and_used(server, client, tmp_path):
    result = client.run(training(), timeout=300)
    assert result.ok, result.errors
    assert result.progress["train"][-1] == (4, 4) and result.previews.get("train", 0) >= 1
    (curve,), frames = pictures(client, result, "curve"), pictures(client, result, "validation")
    assert curve.shape[1] > 500 and len(frames) == 8 and frames[0].shape == (128, 192, 3)
    Image.fromarray(curve).save(tmp_path / "curve.png")
    report = "".join(result.outputs["report"]["text"])
    assert "1 clip; 1 rejected" in report and "broken.mp4: it has no mask" in report
    assert lora_of(server, "scene")["ivg_steps"] == "4"

    base, with_it, at_0 = (
        pictures(client, client.run(sampling(**lora), timeout=120), "save")
        for lora in (
            {},
            {"lora_name": "ivg/scene.safetensors"},
            {"lora_name": "ivg/scene.safetensors", "strength": 0.0},
        )
    )
    again = pictures(client, client.run(sampling(), timeout=120), "save")
    assert all((a == b).all() and (a == c).all() for a, b, c in zip(base, at_0, again, strict=True))
    assert any((a != b).any() for a, b in zip(base, with_it, strict=True))


def test_cancel_keeps_what_was_learned_and_resume_goes_on(server, client):
    def cancel_at_three(result, message):
        if result.progress.get("train", [(0, 0)])[-1] == (3, MANY):
            client.interrupt()

    cancelled = client.run(
        training(save_name="long", steps=MANY, hand_loss=0.0), timeout=300, on_message=cancel_at_three
    )
    assert cancelled.status == "interrupted"
    assert "choose ivg/long.safetensors in IVG Load LoRA" in cancelled.notes["train"]
    done = int(lora_of(server, "long")["ivg_steps"])
    assert 3 <= done < MANY / 2
    resumed = client.run(training(save_name="long", steps=done + 2, hand_loss=0.0), timeout=300)
    assert resumed.ok, resumed.errors
    assert [value for value, total in resumed.progress["train"] if total == done + 2] == [done + 1, done + 2]
    assert lora_of(server, "long")["ivg_steps"] == str(done + 2)
    assert "Going on from step" in server.log_text()


def test_a_mistake_is_one_sentence(client):
    result = client.run(training(folder="nowhere"), timeout=60)
    assert result.status == "error"
    (error,) = result.errors
    assert "there is nothing at" in error and ": IVGError: " in error and "\n" not in error


def test_loras_of_others_are_used_whole_refused_or_used_in_part_when_asked(server, client):
    folder, site = server.base_dir / "models" / "loras", "mid_block.temp_convs.0.conv1.2"
    rows, columns = load_model("embedded").unet.get_submodule(site).weight.shape[:2]
    over_time = {f"{site}.lora_B": torch.randn(rows * 3, 2), f"{site}.lora_A": torch.randn(2, columns * 3)}
    foreign = {"blocks.0.lora_A": torch.ones(2, 4), "blocks.0.lora_B": torch.ones(4, 2)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(over_time, folder / "over_time.safetensors")
    save_file(over_time | foreign, folder / "foreign.safetensors")
    save_file({key: half * torch.nan for key, half in over_time.items()}, folder / "nan.safetensors")
    base, changed, part = (
        pictures(client, client.run(sampling(**lora), timeout=120), "save")
        for lora in ({}, {"lora_name": "over_time.safetensors"}, {"lora_name": "foreign.safetensors", "partial": True})
    )
    assert any((a != b).any() for a, b in zip(base, changed, strict=True))  # ComfyUI's own adapter leaves it out
    assert all((a == b).all() for a, b in zip(changed, part, strict=True))
    for name, said in (("foreign", "1 of the 2 layers"), ("nan", "NaN or infinite values in 2 of 2 tensors")):
        (error,) = client.run(sampling(lora_name=f"{name}.safetensors"), timeout=60).errors
        assert said in error and ": IVGError: " in error and "\n" not in error
    assert client.run(sampling(), timeout=120).ok
