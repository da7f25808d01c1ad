"""Weights say what they are made of, and under which licences: trained, merged, combined, converted, begun anew."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from training_clips import clips

import ivg_core
from ivg_core.checkpoints.info import inspect_checkpoint
from ivg_core.checkpoints.init import init_model
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import save_lora
from ivg_core.checkpoints.save import save_file as save_model
from ivg_core.checkpoints.save import save_folder
from ivg_core.checkpoints.weights import read_metadata
from ivg_core.cli import main
from ivg_core.models.fingerprint import base_fingerprint
from ivg_core.models.lora import LoRA, model_with_lora
from ivg_core.models.provenance import LORA_KEY, OF_ITS_PARTS, UNKNOWN, Part, Provenance
from ivg_core.training.config import LoRASettings, TrainConfig
from ivg_core.training.trainer import train

TINY = Path(__file__).parents[1] / "golden" / "tiny_ckpt"
LAYER = "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
NOW = f", Comfy-IVG {ivg_core.__version__}"


def run(*words) -> None:
    assert main([str(word) for word in words]) == 0


def lora(unet, **metadata) -> LoRA:
    out, into = unet.get_submodule(LAYER).weight.shape
    return LoRA({LAYER: (torch.full((out, 1), 0.1), torch.full((1, into), 0.1))}, metadata=metadata)


@pytest.fixture
def model(tiny_model):
    return replace(tiny_model, name="base", licence="CC-BY-4.0")


def trained(model, folder, **values) -> Path:
    data = values.pop("data", {"source": "films/my_clips"})
    values = {"lora": {"spatial": LoRASettings(1)}, **values}
    config = TrainConfig(out=str(folder), steps=1, device="cpu", precision="fp32", data=data, **values)
    return train(config, model, clips(1)).path


def test_a_trained_lora_names_base_and_data(model, tmp_path):
    header = read_metadata(trained(model, tmp_path))
    made_of = Provenance.from_json(header[LORA_KEY])
    mark = base_fingerprint(model.unet)
    assert made_of.parts == (Part("base", "base", "CC-BY-4.0", mark), Part("data", "my_clips"))
    assert made_of.made_by == ("train" + NOW,)
    assert header["licence"] == f"base (base): CC-BY-4.0 | my_clips (data): {UNKNOWN}"


def test_data_are_called_as_the_user_calls_them(model, tmp_path):
    data = {"source": "films/my_clips", "name": "Our kitchen", "licence": "CC-BY-4.0"}
    header = read_metadata(trained(model, tmp_path, data=data))
    assert Provenance.from_json(header[LORA_KEY]).parts[1] == Part("data", "Our kitchen", "CC-BY-4.0")
    assert header["licence"] == "CC-BY-4.0"  # as all parts state it


def test_a_trained_model_carries_it_on_through_every_layout(model, tmp_path):
    folder = trained(replace(model, licence=""), tmp_path, method="full", trainable=["conv_out"], lora={})
    first = load_model(folder)
    assert first.licence == first.provenance.licence == UNKNOWN
    again = load_model(save_model(first, tmp_path / "one.safetensors"))
    assert again.provenance == first.provenance and again.licence == UNKNOWN
    second = load_model(trained(again, tmp_path / "2", method="full", trainable=["conv_out"], data={}))
    assert [(part.kind, part.name) for part in second.provenance.parts] == [
        ("base", "base"),
        ("data", "my_clips"),
        ("data", ""),
    ]
    assert second.provenance.made_by == ("train" + NOW, "train" + NOW)


def test_a_merged_model_names_the_loras_with_their_strengths(model, tmp_path):
    known = trained(model, tmp_path)
    save_lora(lora(model.unet, license="OpenRAIL"), tmp_path / "foreign.safetensors")
    base = save_folder(model, tmp_path / "base")
    run("merge-lora", "--model", base, known, "--strength", "0.8", "--out", tmp_path / "one.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    run("merge-lora", "--model", tmp_path / "one.safetensors", foreign, "--out", tmp_path / "two")
    made_of = load_model(tmp_path / "two").provenance
    assert made_of.parts == (
        Part("base", "base", "CC-BY-4.0", base_fingerprint(model.unet)),
        Part("LoRA", "ivg-lora.safetensors", OF_ITS_PARTS, strength=0.8),
        Part("data", "my_clips"),
        Part("LoRA", "foreign.safetensors", "OpenRAIL", strength=1.0),
    )
    assert made_of.made_by == ("merge-lora" + NOW, "merge-lora" + NOW)
    said = str(inspect_checkpoint(tmp_path / "two"))
    assert f"my_clips (data): {UNKNOWN} | foreign.safetensors (LoRA): OpenRAIL" in said
    assert "made of       base base, " in said and "LoRA ivg-lora.safetensors at 0.8" in said


def test_a_merge_of_nothing_claims_no_lora(model, tmp_path):
    save_lora(lora(model.unet), tmp_path / "x.safetensors")
    run("merge-lora", "--model", TINY, tmp_path / "x.safetensors", "--strength", "0", "--out", tmp_path / "two")
    assert [part.kind for part in load_model(tmp_path / "two").provenance.parts] == ["base"]


def test_a_combination_names_its_loras_and_theirs(model, tmp_path):
    known = trained(model, tmp_path)
    save_lora(lora(model.unet), tmp_path / "foreign.safetensors")
    out = tmp_path / "both.safetensors"
    words = ["combine-loras", known, tmp_path / "foreign.safetensors", "--strengths", "0.8", "0.5"]
    run(*words, "--model", TINY, "--out", out, "--rank", "1")
    made_of = Provenance.from_json(read_metadata(out)[LORA_KEY])
    assert [(part.kind, part.name, part.strength) for part in made_of.parts] == [
        ("LoRA", "ivg-lora.safetensors", 0.8),
        ("base", "base", None),
        ("data", "my_clips", None),
        ("LoRA", "foreign.safetensors", 0.5),
    ]
    assert made_of.made_by == ("combine-loras" + NOW,)
    assert read_metadata(out)["licence"].endswith(f"foreign.safetensors (LoRA): {UNKNOWN}")


def test_converting_keeps_what_is_known(model, tmp_path):
    known = trained(model, tmp_path)
    run("convert-lora", known, "--model", TINY, "--out", tmp_path / "known.safetensors")
    before, after = (Provenance.from_json(read_metadata(p)[LORA_KEY]) for p in (known, tmp_path / "known.safetensors"))
    assert after == before.then("convert-lora")
    save_lora(lora(model.unet, **{"modelspec.license": "MIT"}), tmp_path / "foreign.safetensors")
    run("convert-lora", tmp_path / "foreign.safetensors", "--model", TINY, "--out", tmp_path / "f.safetensors")
    header = read_metadata(tmp_path / "f.safetensors")
    assert Provenance.from_json(header[LORA_KEY]).parts == (Part("LoRA", "foreign.safetensors", "MIT"),)
    assert header["licence"] == "MIT"


def test_info_shows_a_lora_files_too(model, tmp_path):
    said = str(inspect_checkpoint(trained(model, tmp_path)))
    assert "data my_clips: unknown; look where it is from" in said and "licence       base (base): CC-BY-4.0" in said
    save_lora(lora(model.unet), tmp_path / "bare.safetensors")
    bare = inspect_checkpoint(tmp_path / "bare.safetensors")
    assert not bare.made_of and not bare.licence and "licence" not in str(bare)


def test_a_first_ivg_model_names_its_base(tmp_path):
    folder = shutil.copytree(TINY, tmp_path / "zeroscope")
    (folder / "config.yaml").unlink(missing_ok=True)
    weights = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    added = ("conv_in2.", "time_embedding.cond_proj.", "motion_embedding.")
    plain = {name: tensor for name, tensor in weights.items() if not name.startswith(added)}
    save_file(plain, folder / "unet/diffusion_pytorch_model.safetensors", {"format": "pt"})
    config = json.loads((folder / "unet/config.json").read_text()) | {"in_channels": 4}
    (folder / "unet/config.json").write_text(json.dumps(config | {"motion_mask": False, "motion_strength": False}))
    made = init_model(folder)
    mark = base_fingerprint(load_model(folder).unet)
    assert made.provenance == Provenance((Part("base", "zeroscope", "", mark),)).then("init-model")
    assert load_model(save_folder(made, tmp_path / "made")).provenance == made.provenance


def test_stage_1_of_another_checkpoint_is_told(model, tmp_path):
    other = save_folder(replace(model, licence="MIT"), tmp_path / "other")
    whole = load_model(save_folder(model, tmp_path / "base"), rom=other)
    mark = base_fingerprint(model.unet)
    assert whole.provenance.parts == (
        Part("base", "base", "CC-BY-4.0", mark),
        Part("stage 1", "other", "MIT", mark),
    )
    assert load_model(save_folder(whole, tmp_path / "both")).licence == "base (base): CC-BY-4.0 | other (stage 1): MIT"


def test_the_embedded_model_stays_as_its_recipe_says():
    model = load_model("embedded")
    assert model.provenance is None and model.licence.startswith("MIT")
    gated = load_model("embedded", boxes="embedded").provenance
    assert [part.kind for part in gated.parts] == ["base", "gates"] and gated.licence.startswith("MIT")


def test_a_model_with_a_lora_keeps_what_it_was_made_of_and_the_first_stays_as_it_is(model):
    changed = model_with_lora(model, lora(model.unet), 0.5)
    assert model.provenance is None
    assert changed.provenance.parts[1] == Part("LoRA", "", strength=0.5)


@given(st.recursive(st.none() | st.text(max_size=5), lambda x: st.lists(x) | st.dictionaries(st.text(max_size=9), x)))
def test_odd_entries_are_as_none(values):
    for odd in (values, {"parts": values}, {"parts": [values]}, {"parts": [{"kind": values}], "made_by": values}):
        found = Provenance.from_dict(odd)
        assert found is None or found.parts
        assert Provenance.from_json(json.dumps(odd)) == found
    assert Provenance.from_json("{") is Provenance.from_json(None) is None


TEXTS = st.text(max_size=8)


@given(
    st.lists(
        st.builds(Part, st.text(min_size=1, max_size=8), TEXTS, TEXTS, TEXTS, st.none() | st.floats(-9, 9)),
        min_size=1,
        max_size=3,
    )
)
def test_it_comes_back_as_it_was(parts):
    made_of = Provenance(tuple(parts), ("train",))
    assert Provenance.from_json(made_of.to_json()) == made_of == Provenance.from_dict(made_of.to_dict())
    assert made_of.and_(parts).parts == tuple(dict.fromkeys(parts))
