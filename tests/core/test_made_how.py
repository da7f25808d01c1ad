"""What is made on the command line says in its file how it was made."""

import hashlib
import json
import subprocess

import imageio_ffmpeg
import pytest
import torch
from PIL import Image

import ivg_core
from ivg_core.checkpoints.lora_files import save_lora
from ivg_core.cli import main
from ivg_core.media.images import save_png
from ivg_core.models.lora import LoRA
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.describe import how_made
from ivg_core.sampling.settings import Sampling

LAYER = "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
QUICK = ["--steps", "2", "--frames", "2", "--size", "64x64"]
MADE_WITH = f"Comfy-IVG {ivg_core.__version__}"


def run(*words) -> None:
    assert main([str(word) for word in words]) == 0


def said_by(path) -> dict:
    if path.suffix in (".png", ".gif"):
        return json.loads(Image.open(path).info["comment"])
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", path, "-f", "ffmetadata", "-"]
    lines = subprocess.run(command, capture_output=True, check=True).stdout.decode().splitlines()
    comment = next(line for line in lines if line.startswith("comment=")).removeprefix("comment=")
    return json.loads(comment.replace("\\=", "=").replace("\\;", ";").replace("\\#", "#").replace("\\\\", "\\"))


@pytest.fixture
def photo(tmp_path):
    save_png(torch.rand(64, 64, 3), tmp_path / "kitchen.png")
    save_png(torch.ones(64, 64), tmp_path / "all.png")
    return tmp_path / "kitchen.png"


def test_a_video_says_how_it_was_made(golden, tiny_model, photo, tmp_path):
    out, into = tiny_model.unet.get_submodule(LAYER).weight.shape
    lora = LoRA({LAYER: (torch.full((out, 1), 0.01), torch.full((1, into), 0.01))})
    save_lora(lora, tmp_path / "stir.safetensors")
    words = ["--model", golden / "tiny_ckpt", "--lora", f"{tmp_path / 'stir.safetensors'}:0.5", *QUICK, "--seed", "3"]
    asked = ["--image", photo, "--prompt", "stir", "--mask", tmp_path / "all.png", "--solver", "ddim"]
    run("generate", *words, *asked, "--out", tmp_path / "v.gif", "--sheet", tmp_path / "sheet.png")
    said = said_by(tmp_path / "v.gif")
    assert said == {
        "prompt": "stir",
        "image": "kitchen.png",
        "mask": "all.png",
        "mask_sha256": hashlib.sha256(bytes([255]) * 64 * 64).hexdigest(),
        "motion_strength": 5.0,
        "seed": 3,
        "model": "tiny_ckpt",
        "steps": 2,
        "guidance": tiny_model.defaults.guidance_scale,
        "solver": "ddim",
        "keep_first_frame": True,
        "composite": True,
        "loras": [{"name": "stir.safetensors", "strength": 0.5}],
        "made_with": MADE_WITH,
    }
    assert said_by(tmp_path / "sheet.png") == said


def test_a_batch_says_it_of_every_item(golden, photo, tmp_path):
    (tmp_path / "t.csv").write_text("image,prompt,seed\nkitchen.png,stir,5\n")
    words = ["--model", golden / "tiny_ckpt", "--fallback", "white", *QUICK]
    run("batch", "--table", tmp_path / "t.csv", *words, "--out", tmp_path / "out")
    (video,) = (tmp_path / "out").glob("*.mp4")
    said = said_by(video)
    assert (said["prompt"], said["seed"], said["model"], said["steps"]) == ("stir", 5, "tiny_ckpt", 2)
    assert said["mask"] == "white" and len(said["mask_sha256"]) == 64 and said["solver"] == Sampling().solver


def test_a_mask_says_how_it_was_predicted(golden, photo, tmp_path):
    words = ["--model", golden / "tiny_ckpt", "--rom-model", golden / "tiny_ckpt", "--image", photo, *QUICK]
    run("predict-mask", *words, "--prompt", "stir", "--seed", "4", "--out", tmp_path / "m.png")
    said = said_by(tmp_path / "m.png")
    assert (said["prompt"], said["seed"], said["stage"], said["steps"], said["threshold"]) == ("stir", 4, 1, 2, 0.5)


def test_only_what_was_changed_is_told(tiny_model):
    plain = {"model", "steps", "guidance", "solver", "made_with"}
    assert how_made(tiny_model, Sampling(), prompt="", mask=None).keys() == plain
    how = Sampling(region="zoom", context=ContextWindows(length=4))
    said = how_made(tiny_model, how)
    assert said.keys() == plain | {"region", "context"} and said["context"]["length"] == 4
    one, other = (how_made(tiny_model, how, torch.full((4, 4), level))["mask_sha256"] for level in (0.0, 1.0))
    assert one != other
