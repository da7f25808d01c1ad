"""A table with LoRAs in a real ComfyUI, from the loader's model to the saved videos."""

import json
import pathlib

import pytest
import torch
from PIL import Image

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from ivg_core.checkpoints.lora_files import save_lora
from ivg_core.media.video import read_video
from ivg_core.models.lora import LoRA

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI")

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROWS = "image,prompt,lora,lora_strength\na.png,stir,ivg/a.safetensors,1\na.png,stir,,\na.png,stir,gone.safetensors,\n"


def graph(with_model: bool) -> dict:
    loader = {"table": "photos/t.csv", "batch": "loras", "prompts": "", "seeds": "3", "mask_folder": ""}
    sampling = {
        "negative": "", "frames": 2, "steps": 1, "guidance": 1.0, "motion_strength": 5.0, "fps": 8.0, "width": 64,
        "height": 32, "keep_first_frame": False, "composite": False, "feather": 2.0,
    }  # fmt: skip
    of_row = {"model": ["load", 5], "image": ["load", 0], "action": ["load", 1], "seed": ["load", 2]}
    load = {**loader, **({"model": ["model", 0]} if with_model else {})}
    boxes = {
        "model": ("LoadIVGModel", {"model_name": "tiny", "rom_model": "same as model", "dtype": "fp32"}),
        "load": ("IVGBatchLoader", load),
        "sample": ("IVGSampler", {**sampling, **of_row}),
        "save": ("IVGBatchSave", {"item": ["load", 4], "frames": ["sample", 0], "fps": 8.0, "format": "gif"}),
    }
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in boxes.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loras")
    (folder / "ivg").mkdir()
    (folder / "ivg" / "tiny").symlink_to(ROOT / "tests" / "golden" / "tiny_ckpt")
    rng = torch.Generator().manual_seed(0)
    layers = {"conv_out": (torch.randn(4, 2, 1, 1, generator=rng), torch.randn(2, 32, 3, 3, generator=rng))}
    (folder / "loras" / "ivg").mkdir(parents=True)
    save_lora(LoRA(layers), folder / "loras" / "ivg" / "a.safetensors")
    models, base = {"ivg": folder / "ivg", "loras": folder / "loras"}, folder / "base"
    (base / "input" / "photos").mkdir(parents=True)
    Image.new("RGB", (64, 32), "orange").save(base / "input" / "photos" / "a.png")
    (base / "input" / "photos" / "t.csv").write_text(ROWS)
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], models=models, base_dir=base) as running:
        yield running


def test_each_row_is_made_with_its_lora_and_the_next_without(server):
    client, folder = ComfyClient(server.url), server.base_dir / "output" / "ivg" / "loras"
    without = client.run(graph(with_model=False), timeout=120)
    assert without.status == "error" and "no model is connected" in without.errors[0]
    results = [client.run(graph(with_model=True), timeout=120) for _ in range(3)]
    assert [result.status for result in results] == ["success", "success", "error"], [r.errors for r in results]
    assert "no LoRA 'gone.safetensors'" in results[2].errors[0]
    events = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    done = {("lora" in event): event["file"] for event in events if event["status"] == "done"}
    changed, plain = (read_video(folder / done[has])[0] for has in (True, False))
    assert changed.shape == plain.shape == (2, 32, 64, 3)
    assert (changed - plain).abs().mean() > 0.01
