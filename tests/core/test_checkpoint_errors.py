"""Every wrong thing that a path may lead to: one sentence each."""

import shutil

import pytest
import torch
from checkpoint_edits import TEXT, UNET, VAE, edit_json, edit_weights
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save_file as save_tensors

from ivg_core.checkpoints import layout
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.save import save_file
from ivg_core.errors import IVGError


@pytest.fixture
def folder(golden, tmp_path):
    """A copy of the tiny checkpoint to change at will."""
    return shutil.copytree(golden / "tiny_ckpt", tmp_path / "tiny")


def refuse(source, *words, **options):
    with pytest.raises(IVGError) as raised:
        load_model(source, **options)
    message = str(raised.value)
    assert all(str(word) in message for word in words), message
    assert "\n" not in message


def test_nothing_there(tmp_path):
    refuse(tmp_path / "missing", "no checkpoint at", tmp_path / "missing")


def test_embedded_model_not_built(monkeypatch, tmp_path):
    monkeypatch.setattr(layout, "EMBEDDED", tmp_path / "none.safetensors")
    refuse("embedded", "none.safetensors", "make embedded-model")


def test_embedded_model(monkeypatch, tiny_model, tmp_path):
    monkeypatch.setattr(layout, "EMBEDDED", save_file(tiny_model, tmp_path / "tiny.safetensors"))
    assert load_model("embedded").name == "embedded"


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize("share", [0.5, 0.0])
def test_half_downloaded(folder, suffix, share):
    path = (folder / UNET).with_suffix(f".{suffix}")
    if suffix == "bin":
        torch.save(load_file(folder / UNET), path)
        (folder / UNET).unlink()
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refuse(folder, path, "half-downloaded", "download it again")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "scheduler"])
@pytest.mark.parametrize("config", ['"someone/else"', "[1]", "3", "[" * 100_000])
def test_a_config_that_is_no_object_is_refused_and_asks_nobody(folder, monkeypatch, part, config):
    def asked(*args, **kwargs):
        raise AssertionError("a hub was asked")

    monkeypatch.setattr("socket.socket.connect", asked)
    (path,) = (folder / part).glob("*config.json")
    path.write_text(config)
    refuse(folder, path, "download it again")


@pytest.mark.parametrize("key", ["vae_config", "scheduler_config", "defaults", "tokenizer"])
def test_a_config_in_one_file_is_refused_too(tiny_model, tmp_path, key):
    path = save_file(tiny_model, tmp_path / "tiny.safetensors")
    with safe_open(path, "pt") as file:
        metadata = {**file.metadata(), key: '"someone/else"'}
    save_tensors(load_file(path), path, metadata)
    refuse(path, path, "download it again")


def test_half_downloaded_one_file(tiny_model, tmp_path):
    path = save_file(tiny_model, tmp_path / "tiny.safetensors")
    path.write_bytes(path.read_bytes()[:100_000])
    refuse(path, path, "download it again")


def test_half_downloaded_config(folder):
    path = folder / "vae/config.json"
    path.write_text(path.read_text()[:50])
    refuse(folder, path, "download it again")


def test_code_in_a_bin_file_is_not_run(folder):
    class Trap:
        def __reduce__(self):
            return (print, ("executed",))

    path = folder / UNET
    torch.save({"conv_in.weight": Trap()}, path.with_suffix(".bin"))
    path.unlink()
    refuse(folder, "program code", "safetensors version")


@pytest.mark.parametrize("part", ["vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part(folder, part):
    shutil.rmtree(folder / part)
    refuse(folder, "not complete", part)


def test_missing_weights(folder):
    (folder / UNET).unlink()
    refuse(folder, "lacks unet")


def test_differing_keys_are_named(folder):
    def damage(tensors):
        tensors["conv_out.extra"] = tensors.pop("conv_out.bias")
        tensors["conv_in2.weight"] = tensors["conv_in2.weight"][:, :4].contiguous()
        return tensors

    edit_weights(folder / UNET, damage)
    refuse(
        folder, UNET, "1 missing: conv_out.bias", "1 unexpected: conv_out.extra",
        "1 of another shape: conv_in2.weight is (32, 4, 3, 3), should be (32, 5, 3, 3)",
    )  # fmt: skip


def test_many_differing_keys_are_counted(folder):
    edit_json(folder / "unet/config.json", layers_per_block=2)
    refuse(folder, "missing: ", " more")


def test_a_text_encoder_of_another_model(folder):
    edit_json(folder / "unet/config.json", cross_attention_dim=64)

    def widen(tensors):
        reads_text = (".attn2.to_k.weight", ".attn2.to_v.weight")
        cross = [k for k in tensors if ".attentions." in k and k.endswith(reads_text)]
        return {**tensors, **{k: torch.cat([tensors[k], tensors[k]], dim=1) for k in cross}}

    edit_weights(folder / UNET, widen)
    refuse(folder, "text encoder", "32 wide", "64")


def test_a_config_that_describes_nothing(folder):
    edit_json(folder / "unet/config.json", up_block_types=["UpBlock3D"])
    refuse(folder, "unet/config.json", "describes no network")


@pytest.mark.parametrize(
    ("class_name", "words"),
    [
        ("UNet2DConditionModel", "an image model with layers of its own"),
        ("UNetSpatioTemporalConditionModel", "another kind of model"),
    ],
)
def test_another_kind_of_model(folder, class_name, words):
    edit_json(folder / "unet/config.json", _class_name=class_name)
    refuse(folder, words, "IVG or animate-anything")


def test_a_text_to_video_model_loads_as_what_it_is(folder):
    added = ("conv_in2.", "time_embedding.cond_proj.", "motion_embedding.")
    edit_weights(folder / UNET, lambda t: {k: v for k, v in t.items() if not k.startswith(added)})
    assert not load_model(folder).takes_photo


def test_the_wrong_folder(folder, tmp_path):
    refuse(folder.parent, "give", folder)
    refuse(folder / "unet", "only one part", folder)
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "10_unet.pt").write_bytes(b"")
    refuse(tmp_path / "lora", "LoRA")
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "empty", "no unet/ folder")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("conv_in.lora_up.weight", "is a LoRA, not a model"),
        ("model.diffusion_model.input_blocks.0.0.weight", "Stable Diffusion checkpoint"),
        ("conv_in2.weight", "only the UNet"),
        ("blocks.0.weight", "another kind"),
    ],
)
def test_the_wrong_file(tmp_path, key, words):
    save_tensors({key: torch.zeros(2)}, tmp_path / "x.safetensors")
    refuse(tmp_path / "x.safetensors", words)


@pytest.mark.parametrize(
    ("name", "words"), [("x.tar", "unpack"), ("10_unet.pt", "LoRA"), ("x.ckpt", "no IVG checkpoint")]
)
def test_the_wrong_suffix(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"")
    refuse(tmp_path / name, words)


def test_a_checkpoint_without_stage_one_weights_as_rom(folder, golden):
    (folder / UNET).unlink()
    refuse(golden / "tiny_ckpt", "no stage-1 weights", rom=folder)


def spoilt(tensors, value=torch.nan):
    """One number of one tensor is `value`."""
    key = next(key for key, tensor in tensors.items() if tensor.ndim == 2)
    tensors[key] = tensors[key].clone()
    tensors[key][0, 0] = value
    return tensors


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("component", [UNET, VAE, TEXT])
def test_weights_that_are_no_numbers(folder, component, value):
    total = len(load_file(folder / component))
    edit_weights(folder / component, lambda tensors: spoilt(tensors, value))
    refuse(folder, folder / component, f"NaN or infinite values in 1 of {total} tensors (first ", "diverged")


@pytest.mark.parametrize("kind", ["half", "bin", "float8", "rom", "one file"])
def test_weights_that_are_no_numbers_in_any_kind_of_file(folder, golden, tiny_model, tmp_path, kind):
    change = {"half": torch.Tensor.half, "float8": lambda t: t.to(torch.float8_e5m2)}.get(kind, lambda t: t)
    edit_weights(folder / UNET, lambda tensors: {key: change(t) for key, t in spoilt(tensors).items()})
    if kind == "bin":
        torch.save(load_file(folder / UNET), (folder / UNET).with_suffix(".bin"))
        (folder / UNET).unlink()
    if kind == "rom":
        refuse(golden / "tiny_ckpt", folder, "NaN", rom=folder)
    elif kind == "one file":
        path = save_file(tiny_model, tmp_path / "tiny.safetensors")
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        save_tensors(spoilt(load_file(path)), path, metadata)
        refuse(path, path, "NaN")
    else:
        refuse(folder, UNET.removesuffix(".safetensors"), "NaN", dtype=torch.float16)


def test_weights_beyond_half_precision_are_not_called_spoilt(folder):
    edit_weights(folder / UNET, lambda tensors: spoilt({key: t.float() for key, t in tensors.items()}, 1e6))
    refuse(folder, UNET, "too large for torch.float16 in 1 of", "bfloat16 or float32", dtype=torch.float16)
    assert load_model(folder, dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", [torch.int32, torch.complex64, torch.bool])
def test_weights_of_another_kind_of_number(folder, kind):
    edit_weights(folder / UNET, lambda t: {**t, "conv_out.bias": t["conv_out.bias"].to(kind)})
    refuse(folder, UNET, f"1 not floating point: conv_out.bias is {kind}")


def test_endings_in_capitals(tiny_model, tmp_path):
    path = save_file(tiny_model, tmp_path / "tiny.safetensors")
    assert load_model(path.rename(tmp_path / "tiny.SAFETENSORS")).source.endswith("SAFETENSORS")
    refuse(tmp_path / "tiny.SAFETENSORS.ZIP", "no checkpoint")
    (tmp_path / "x.ZIP").write_bytes(b"")
    refuse(tmp_path / "x.ZIP", "unpack")


def test_a_config_of_endless_layers(folder):
    edit_json(folder / "text_encoder/config.json", num_hidden_layers=2**64)
    refuse(folder, "num_hidden_layers 18446744073709551616, and there are")
