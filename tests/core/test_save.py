"""Saving and loading again: our library, and the ones the format comes from."""

import json

import pytest
import torch
from checkpoint_edits import TEXT, UNET, VAE, assert_same_weights
from diffusers import AutoencoderKL, DDIMScheduler
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.save import save_file, save_folder
from ivg_core.errors import IVGError


@pytest.fixture(scope="module")
def two_stages(golden):
    model = load_model(golden / "tiny_ckpt", rom=golden / "tiny_ckpt")
    with torch.no_grad():
        model.rom_unet.conv_out.weight.mul_(2)  # exact in fp16
    return model


def test_folder_round_trip(two_stages, tmp_path):
    folder = save_folder(two_stages, tmp_path / "new/saved")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "model_index.json", "config.yaml",
        "unet/config.json", UNET, "rom_unet/config.json", f"rom_{UNET}", "vae/config.json", VAE,
        "text_encoder/config.json", TEXT, "scheduler/scheduler_config.json",
        "tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/tokenizer_config.json",
        "tokenizer/special_tokens_map.json",
    }  # fmt: skip
    model = load_model(folder)
    assert_same_weights(model, two_stages)
    assert model.scheduler_config == two_stages.scheduler_config
    assert model.defaults == two_stages.defaults
    assert model.tokenizer("The hand, left!").input_ids == two_stages.tokenizer("The hand, left!").input_ids


def test_saved_configs_are_the_published_ones(two_stages, golden, tmp_path):
    folder = save_folder(two_stages, tmp_path / "saved")
    for name in ("model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json"):
        saved, published = (json.loads((root / name).read_text()) for root in (folder, golden / "tiny_ckpt"))
        versions = {"_diffusers_version", "transformers_version", "torch_dtype"}
        assert {k: v for k, v in saved.items() if k not in versions} == {
            k: v for k, v in published.items() if k not in versions
        }
    assert load_file(folder / TEXT).keys() == load_file(golden / "tiny_ckpt" / TEXT).keys()
    assert load_file(folder / VAE).keys() == load_file(golden / "tiny_ckpt" / VAE).keys()


def test_diffusers_and_transformers_read_a_saved_folder(two_stages, tmp_path):
    folder = save_folder(two_stages, tmp_path / "saved")
    networks = (AutoencoderKL.from_pretrained(folder / "vae"), CLIPTextModel.from_pretrained(folder / "text_encoder"))
    for theirs, ours in zip(networks, (two_stages.vae, two_stages.text_encoder), strict=True):
        weights = ours.state_dict()
        assert all(torch.equal(tensor, weights[key]) for key, tensor in theirs.state_dict().items())
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    assert tokenizer("The hand, left!").input_ids == two_stages.tokenizer("The hand, left!").input_ids
    assert DDIMScheduler.from_pretrained(folder / "scheduler").config.timestep_spacing == "leading"


def test_one_file_round_trip(two_stages, tmp_path):
    path = save_file(two_stages, tmp_path / "tiny.safetensors", metadata={"licence": "MIT", "card": "made for a test"})
    model = load_model(path)
    assert_same_weights(model, two_stages)  # every weight is exact in fp16
    assert (model.name, model.licence, model.scheduler_config) == ("tiny", "MIT", two_stages.scheduler_config)
    assert model.tokenizer("The hand, left!").input_ids == two_stages.tokenizer("The hand, left!").input_ids
    assert load_model(save_folder(model, tmp_path / "folder")).licence == "MIT"


def test_saving_over_the_file_a_model_came_from(two_stages, tmp_path):
    path = save_file(two_stages, tmp_path / "tiny.safetensors")
    save_file(load_model(path, dtype=torch.float16), path)
    assert_same_weights(load_model(path), two_stages)
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.safetensors"]


def test_an_unwritable_place_is_said(two_stages, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IVGError, match="could not be written"):
        save_file(two_stages, tmp_path / "file" / "tiny.safetensors")
