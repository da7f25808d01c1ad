"""The authors' yaml is read as ours, and what is passed over is told."""

import logging
import os
from pathlib import Path

import pytest
import yaml

from ivg_core.errors import IVGError
from ivg_core.training.config import TrainConfig, read_config
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.explain import settings_of
from ivg_core.training.released_yaml import DATA, PASSED, SAME, TURNED, key_table

GUIDE = Path(__file__).parents[2] / "docs" / "paper.md"

THEIRS = {
    "pretrained_model_path": "./downloads/weights/animate_anything_512_v1.02",
    "motion_mask": True,
    "motion_strength": True,
    "output_dir": "./output/latent",
    "dataset_types": ["video_json"],
    "offset_noise_strength": 0.1,
    "use_offset_noise": False,
    "rescale_schedule": False,
    "extend_dataset": False,
    "cache_latents": False,
    "cached_latent_dir": None,
    "train_text_encoder": False,
    "lora_version": "cloneofsimo",
    "use_unet_lora": False,
    "use_text_lora": False,
    "lora_unet_dropout": 0.1,
    "lora_text_dropout": 0.1,
    "save_lora_for_webui": True,
    "only_lora_for_webui": False,
    "save_pretrained_model": True,
    "unet_lora_modules": ["UNet3DConditionModel"],
    "text_encoder_lora_modules": ["CLIPEncoderLayer"],
    "lora_rank": 16,
    "train_data": {"video_dir": "/videos", "video_json": "/list.json", "use_bucketing": False, "return_mask": True},
    "validation_data": {"prompt": "stir", "num_frames": 16, "num_inference_steps": 25, "guidance_scale": 9},
    "learning_rate": 5.0e-5,
    "adam_weight_decay": 0,
    "extra_unet_params": None,
    "extra_text_encoder_params": None,
    "train_batch_size": 12,
    "max_train_steps": 10,
    "checkpointing_steps": 1,
    "validation_steps": 200,
    "trainable_modules": ["attn1", ".attentions", "attn2", "conv_in", "temp_conv", "motion"],
    "trainable_text_modules": None,
    "seed": None,
    "mixed_precision": "bf16",
    "use_8bit_adam": False,
    "gradient_checkpointing": True,
    "text_encoder_gradient_checkpointing": False,
    "enable_xformers_memory_efficient_attention": False,
    "enable_torch_2_attn": True,
}


def read(tmp_path: Path, changes: dict) -> TrainConfig:
    file = tmp_path / "train_mask_motion.yaml"
    file.write_text(yaml.safe_dump({**THEIRS, **changes}))
    return read_config(file)


def test_what_it_says_is_what_is_trained(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        config = read(tmp_path, {})
    assert (config.stage, config.method, config.out) == (2, "full", "./output/latent")
    assert config.model == "./downloads/weights/animate_anything_512_v1.02"
    assert config.losses == {"noise": 1.0, "motion": 0.001} and config.freeze_outside
    assert (config.learning_rate, config.weight_decay, config.batch_size) == (5e-5, 0, 12)
    assert (config.steps, config.save_every, config.validation.every, config.seed) == (10, 1, 200, 0)
    assert (config.precision, config.checkpointing, config.network_dropout) == ("bf16", True, True)
    assert config.trainable == THEIRS["trainable_modules"] and config.validation.sample_steps == 25
    data = DataSettings(**config.data)
    assert (data.source, data.videos, data.width, data.height, data.frames) == ("/list.json", "/videos", 256, 256, 16)
    assert (data.frame_sampling, data.fps, data.min_motion, data.buckets) == ("released", 8, 50, False)
    told = caplog.text
    assert "save_pretrained_model (a full training writes the whole model" in told
    assert "data.masks=FOLDER" in told and "motion score below 50" in told
    for key in ("seed", "learning_rate", "extra_unet_params", "use_text_lora"):  # taken, or asks for nothing
        assert f"{key} (" not in told


def test_a_preset_of_ours_and_it_agree(tmp_path):
    ours, theirs = read_config("full-stage2").to_dict(), read(tmp_path, {}).to_dict()
    theirs["trainable"] = ["released"]
    for key in ("learning_rate", "weight_decay", "clip", "betas", "warmup", "schedule", "precision", "text_dropout",
                "network_dropout", "trainable", "freeze_outside", "checkpointing"):  # fmt: skip
        assert tuple(ours[key]) == tuple(theirs[key]) if key == "betas" else ours[key] == theirs[key], key


def test_a_lora_and_its_options(tmp_path):
    changes = {"use_unet_lora": True, "lora_rank": 8, "use_offset_noise": True, "mixed_precision": "no"}
    config = read(tmp_path, {**changes, "motion_strength": False, "motion_mask": False, "use_8bit_adam": True})
    assert config.method == "lora" and set(config.lora) == {"spatial", "temporal"} and not config.trainable
    assert {(one.rank, one.dropout) for one in config.lora.values()} == {(8, 0.1)}
    assert config.noise_offset == 0.1 and config.precision == "fp32" and config.optimizer == "adamw8bit"
    assert config.losses == {"noise": 1.0, "motion": 0.0} and not config.freeze_outside


@pytest.mark.parametrize(
    ("kind", "data", "source"),
    [
        ("video_blip", {"json_path": "/a.json", "video_dir": "/v"}, "/a.json"),
        ("folder", {"path": "/clips", "video_json": "/not.json"}, "/clips"),
        ("single_video", {"single_video_path": "/a.mp4", "single_video_prompt": "stir"}, "/a.mp4"),
    ],
)
def test_other_kinds_of_data(tmp_path, kind, data, source):
    config = read(tmp_path, {"dataset_types": [kind], "train_data": data})
    assert config.data["source"] == source
    assert config.data.get("caption") == data.get("single_video_prompt")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"learning_rat": 1}, "has no key 'learning_rat'; did you mean 'learning_rate'"),
        ({"extra_train_data": [{"train_data": {}}]}, "several data sets"),
        ({"dataset_types": ["video_json", "folder"]}, "several data sets"),
        ({"dataset_types": ["image"]}, "'image', which cannot be read here"),
        ({"train_data": {"video_jsn": "/a"}}, "no key 'video_jsn'; did you mean 'video_json'"),
        ({"train_data": "/clips"}, "train_data is '/clips', but a section"),
        ({"mixed_precision": "fp8"}, "precision is 'fp8': choose of"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, changes, sentence):
    with pytest.raises(IVGError) as error:
        read(tmp_path, changes)
    assert sentence in str(error.value)


def test_what_it_becomes_exists():
    ours = {one.name for one in settings_of(TrainConfig)} | {"validation.every"}
    assert set(SAME.values()) <= ours
    assert set(DATA.values()) <= {one.name for one in settings_of(DataSettings)}
    assert not set(SAME) & set(TURNED) and not set(SAME) & set(PASSED) and not set(TURNED) & set(PASSED)


def test_the_guide_names_every_key():
    text = GUIDE.read_text(encoding="utf-8")
    whole = text[: text.index("-->\n") + 4] + "\n" + key_table()
    if os.environ.get("UPDATE_DOCS"):
        GUIDE.write_text(whole, encoding="utf-8")
    assert GUIDE.read_text(encoding="utf-8") == whole, "run UPDATE_DOCS=1 pytest tests/core/test_released_yaml.py"
