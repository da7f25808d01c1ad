"""Every layout that a checkpoint may have."""

import json
import logging
import shutil

import pytest
import torch
from checkpoint_edits import TEXT, UNET, VAE, assert_same_weights, edit_json, edit_weights
from safetensors.torch import load_file

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.save import save_folder
from ivg_core.errors import IVGError
from ivg_core.models.bundle import ModelDefaults

OLD_VAE_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.fixture
def folder(golden, tmp_path):
    """A copy of the tiny checkpoint to change at will."""
    return shutil.copytree(golden / "tiny_ckpt", tmp_path / "tiny")


def test_a_published_folder(golden, tiny_model):
    assert (tiny_model.name, tiny_model.device.type, tiny_model.dtype) == ("tiny_ckpt", "cpu", torch.float32)
    assert tiny_model.vae_scale_factor == 8
    assert not tiny_model.unet.training
    config = json.loads((golden / "tiny_ckpt/scheduler/scheduler_config.json").read_text())
    assert tiny_model.scheduler_config == config
    assert tiny_model.defaults == ModelDefaults(128, 128, 4, 5, 9.0, 8)


def test_text_and_vae_equal_the_original(golden, tiny_model):
    stored = load_file(golden / "sampler_eval.safetensors")
    with torch.no_grad():
        states = tiny_model.text_encoder(stored["prompt_ids"])[0]
        latents = stored["latents"][0].transpose(0, 1)  # (F, 4, h, w)
        decoded = tiny_model.vae.decode(latents / tiny_model.vae.config.scaling_factor).sample
    torch.testing.assert_close(states, stored["prompt_embeds"], atol=1e-5, rtol=0)
    torch.testing.assert_close(decoded, stored["decoded"][0].transpose(0, 1), atol=5e-5, rtol=0)


def test_loading_draws_no_random_numbers(folder):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    load_model(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_half_precision(folder, tiny_model):
    model = load_model(folder, dtype=torch.float16)
    assert model.dtype == model.vae.dtype == model.text_encoder.dtype == torch.float16
    assert_same_weights(model, tiny_model, torch.float16)


@pytest.mark.parametrize("zipped", [True, False])
def test_bin_files(folder, tiny_model, zipped):
    network = "diffusion_pytorch_model.bin"
    for file, name in ((UNET, network), (VAE, network), (TEXT, "pytorch_model.bin")):
        path = folder / file
        torch.save(load_file(path), path.with_name(name), _use_new_zipfile_serialization=zipped)
        path.unlink()
    assert_same_weights(load_model(folder), tiny_model)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_fp16_variant_files(folder, tiny_model, suffix):
    path = folder / UNET
    variant = path.with_name(f"diffusion_pytorch_model.fp16.{suffix}")
    if suffix == "bin":
        torch.save(load_file(path), variant)
        path.unlink()
    else:
        path.rename(variant)
    assert_same_weights(load_model(folder), tiny_model)


def test_full_precision_is_preferred_to_the_variant(folder, tiny_model):
    path = folder / UNET
    shutil.copy(path, path.with_name("diffusion_pytorch_model.fp16.safetensors"))
    edit_weights(path.with_name("diffusion_pytorch_model.fp16.safetensors"), lambda t: {k: v * 0 for k, v in t.items()})
    assert_same_weights(load_model(folder), tiny_model)


def widen_conv_in(tensors):
    old = tensors["conv_in.weight"]
    return {**tensors, "conv_in.weight": torch.cat([torch.zeros_like(old[:, :1]), old], dim=1)}


@pytest.mark.parametrize("stated", [4, 5])
def test_five_input_channels_whatever_the_config_says(folder, caplog, stated):
    edit_weights(folder / UNET, widen_conv_in)
    edit_json(folder / "unet/config.json", in_channels=stated)
    with caplog.at_level(logging.WARNING, "ivg"):
        model = load_model(folder)
    assert model.unet.config["in_channels"] == 5
    assert ("in_channels 4 but its weights have 5" in caplog.text) == (stated == 4)


@pytest.mark.parametrize("convolutions", [False, True])
def test_old_vae_names(folder, tiny_model, convolutions):
    def age(tensors):
        aged = {}
        for key, tensor in tensors.items():
            for new, old in OLD_VAE_NAMES.items():
                if f".attentions.0.{new}." in key:
                    key = key.replace(f".{new}.", f".{old}.")
                    tensor = tensor[:, :, None, None] if convolutions and tensor.ndim == 2 else tensor
            aged[key] = tensor
        assert sum("query" in key for key in aged) == 4
        return aged

    edit_weights(folder / VAE, age)
    assert_same_weights(load_model(folder), tiny_model)


@pytest.mark.parametrize("prefix", ["text_model.", ""])
@pytest.mark.parametrize("position_ids", [True, False])
def test_text_encoders_of_any_transformers_version(folder, tiny_model, prefix, position_ids):
    def rename(tensors):
        renamed = {prefix + key.removeprefix("text_model."): tensor for key, tensor in tensors.items()}
        return renamed | ({f"{prefix}embeddings.position_ids": torch.arange(77)[None]} if position_ids else {})

    edit_weights(folder / TEXT, rename)
    assert_same_weights(load_model(folder), tiny_model)


def test_motion_embedding_may_be_missing(folder, tiny_model):
    edit_weights(folder / UNET, lambda t: {k: v for k, v in t.items() if not k.startswith("motion_embedding.")})
    unet = load_model(folder).unet
    assert not unet.motion_embedding[0].weight.any()
    assert torch.equal(unet.conv_in2.weight, tiny_model.unet.conv_in2.weight)


def test_a_scheduler_config_is_kept_as_it_is(folder, golden):
    minimal = json.loads((golden / "meta.json").read_text())["sampler_eval_linspace"]["scheduler_json"]
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(minimal))
    assert load_model(folder).scheduler_config == minimal
    assert "timestep_spacing" not in minimal


def test_the_pad_token_of_the_special_tokens_map_decides_in_old_tokenizers(folder):
    config = folder / "tokenizer/tokenizer_config.json"
    old = {key: value for key, value in json.loads(config.read_text()).items() if key != "added_tokens_decoder"}
    config.write_text(json.dumps({**old, "pad_token": "<|endoftext|>"}))
    assert load_model(folder).tokenizer.pad_token == "!"


def test_model_index_is_never_read(folder):
    (folder / "model_index.json").write_text("{ not json")
    load_model(folder)


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("pretrained_model_path: /nowhere\nkwargs: {validation_data: {width: 384, height: 256}}\n", 384),
        ("", 512),
        ("validation_data: [unclosed", 512),
    ],
)
def test_config_yaml_gives_the_defaults_only(folder, text, width):
    (folder / "config.yaml").write_text(text)
    assert load_model(folder).defaults.width == width


def test_without_config_yaml_the_published_defaults_hold(folder):
    (folder / "config.yaml").unlink()
    assert load_model(folder).defaults == ModelDefaults(512, 512, 16, 25, 9.0, 8)


def test_stage_one_from_a_second_checkpoint(folder, golden, tmp_path):
    edit_weights(folder / UNET, lambda t: {k: v * 2 for k, v in t.items()})
    model = load_model(golden / "tiny_ckpt", rom=folder)
    assert torch.equal(model.for_stage(1).conv_out.weight, 2 * model.for_stage(2).conv_out.weight)
    both = save_folder(model, tmp_path / "both")
    assert torch.equal(load_model(folder, rom=both).rom_unet.conv_out.weight, model.rom_unet.conv_out.weight)


def test_a_missing_stage_names_the_fallbacks(tiny_model):
    with pytest.raises(IVGError, match='"white", "prior" or "hands"'):
        tiny_model.for_stage(1)
