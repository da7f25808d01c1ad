"""What `info` says of checkpoints, good and bad."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save_file as save_tensors
from training_clips import clips, small

from ivg_core.checkpoints.info import inspect_checkpoint
from ivg_core.checkpoints.save import save_file
from ivg_core.errors import IVGError
from ivg_core.training.trainer import train

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(golden, tmp_path):
    return shutil.copytree(golden / "tiny_ckpt", tmp_path / "tiny")


def test_a_published_folder(folder):
    report = inspect_checkpoint(folder)
    assert report.usable and report.missing == []
    assert "stage 2" in report.kind
    unet, vae, text = report.components
    assert (unet.parameters, unet.tensors, unet.dtype) == (2_025_412, 959, "float16")
    assert (vae.name, text.name) == ("vae", "text_encoder")
    assert "non-commercial" in report.licence and "CC-BY-NC-4.0" in report.licence
    assert report.memory["float32"].peak == 2 * report.memory["float16"].peak > 4 * unet.parameters
    text = str(report)
    assert "2,025,412 parameters" in text and "128x128, 4 frames" in text and "no stage-1 weights" in text


def test_one_file_with_its_card(tiny_model, tmp_path):
    path = save_file(tiny_model, tmp_path / "x.safetensors", metadata={"licence": "MIT", "card": "# Card"})
    report = inspect_checkpoint(path)
    assert (report.usable, report.licence, report.card) == (True, "MIT", "# Card")
    assert "one file" in report.kind


def test_missing_parts_and_switches(folder):
    shutil.rmtree(folder / "vae")
    config = folder / "unet/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "motion_mask": False}))
    scheduler = folder / "scheduler/scheduler_config.json"
    settings = json.loads(scheduler.read_text())
    del settings["timestep_spacing"]
    scheduler.write_text(json.dumps(settings))
    report = inspect_checkpoint(folder)
    assert not report.usable and report.missing == ["vae"] and report.memory == {}
    assert "missing       vae" in str(report)
    assert "masks have no effect" in str(report)
    assert "timestep_spacing" in str(report)


def test_five_input_channels(folder):
    tensors = load_file(folder / UNET)
    tensors["conv_in.weight"] = torch.cat([tensors["conv_in.weight"], tensors["conv_in.weight"][:, :1]], dim=1)
    save_tensors(tensors, folder / UNET)
    assert "all-white" in str(inspect_checkpoint(folder))


def test_weights_that_do_not_fit(folder):
    tensors = load_file(folder / UNET)
    del tensors["conv_out.bias"]
    save_tensors(tensors, folder / UNET)
    report = inspect_checkpoint(folder)
    assert not report.usable
    assert "1 missing: conv_out.bias" in str(report)


def test_a_damaged_part_does_not_hide_the_others(folder):
    path = folder / UNET
    path.write_bytes(path.read_bytes()[:1000])
    report = inspect_checkpoint(folder)
    assert not report.usable
    assert "half-downloaded" in str(report)
    assert report.components[1].parameters == 81_215


def test_a_text_to_video_base(folder):
    added = ("conv_in2.", "time_embedding.cond_proj.", "motion_embedding.")
    kept = {key: tensor for key, tensor in load_file(folder / UNET).items() if not key.startswith(added)}
    save_tensors(kept, folder / UNET)
    report = inspect_checkpoint(folder)
    assert report.usable and "text-to-video" in report.kind


def test_other_things(golden, folder, tmp_path):
    lora = inspect_checkpoint(golden / "lora_cloneofsimo_r2.pt")
    assert not lora.usable and "LoRA" in str(lora)
    assert "only one part" in str(inspect_checkpoint(folder / "unet"))
    with pytest.raises(IVGError, match="no checkpoint at"):
        inspect_checkpoint(tmp_path / "none")


def test_a_lora_says_what_it_was_trained_on(tiny_model, tmp_path):
    done = train(small(tmp_path, steps=2), tiny_model, clips())
    said = str(inspect_checkpoint(done.path))
    assert "for stage 2 of" in said and "trained for 2 steps with seed" in said and "rank: " in said
    assert "3 clips of" in said or "clips of" in said
    assert "loss of the last 50 steps" in said and "is a LoRA, not a model" not in said
