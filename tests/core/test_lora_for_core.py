"""LoRA files in the names of ComfyUI's own loader: written so, read with and without its prefix."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_clips import clips, small

from ivg_core.checkpoints.embedded import EMBEDDED_LORAS
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_core.checkpoints.mistaken import what_are_these_tensors
from ivg_core.checkpoints.weights import read_metadata
from ivg_core.errors import IVGError
from ivg_core.models.lora import ROLES, LoRA, lora_sites
from ivg_core.training.trainer import train

PREFIX = "diffusion_model."
OVER_TIME = "mid_block.temp_convs.0.conv1.2"


@pytest.fixture(scope="module")
def unet(golden):
    return load_model(golden / "tiny_ckpt").unet


@pytest.fixture(scope="module")
def lora(unet):
    """A layer of every role and more, at scales of their own, for stage 1."""
    rng, layers = torch.Generator().manual_seed(0), {}
    for role in ROLES:
        for name, layer in list(lora_sites(unet, [role]).items())[:3]:
            rows, columns, *kernel = layer.weight.shape
            layers[name] = (
                torch.randn(rows, 2, *[1] * len(kernel), generator=rng),
                torch.randn(2, columns, *kernel, generator=rng),
            )
    scales = {name: 0.5 + number for number, name in enumerate(layers) if number % 2}
    return LoRA(layers, scales, {"ivg_stage": "1", "ivg_zero_terminal_snr": "true"})


def same(one, other):
    assert one.layers.keys() == other.layers.keys() and one.metadata == other.metadata
    assert one.scales == pytest.approx(other.scales)
    for name, halves in other.layers.items():
        assert all(map(torch.equal, one.layers[name], halves))


def old_form(path, folder):
    """The file as versions before wrote it."""
    tensors = {key.removeprefix(PREFIX): tensor for key, tensor in load_file(path).items()}
    save_file(tensors, folder / "old.safetensors", read_metadata(path))
    return folder / "old.safetensors"


def test_written_with_the_prefix_of_cores_loader_and_read_in_both_forms(tmp_path, unet, lora):
    path = save_lora(lora, tmp_path / "x.safetensors")
    written = load_file(path)
    stems = {key.rsplit(".lora_", 1)[0].removesuffix(".alpha") for key in written}
    assert stems == {f"{PREFIX}{name}" for name in lora.layers}
    assert sum(key.endswith(".alpha") for key in written) == len(lora.scales)
    for file in (path, old_form(path, tmp_path)):
        read = read_lora(file, unet)
        same(read, lora)
        assert read.stage == 1 and read.scheduler_config({})["rescale_betas_zero_snr"]
        assert all(".temp_" in name or "transformer_in" in name for name in read.balanced(0, 1).layers)
        assert "is a LoRA, not a model" in what_are_these_tensors(file)


def test_a_file_written_again_keeps_its_names(tmp_path, unet, lora):
    path = save_lora(lora, tmp_path / "x.safetensors")
    again = save_lora(read_lora(old_form(path, tmp_path), unet), tmp_path / "again.safetensors")
    assert path.read_bytes() == again.read_bytes()


def test_the_embedded_lora_is_one_of_the_old_form():
    path = EMBEDDED_LORAS["embedded-back"]
    assert not any(key.startswith(PREFIX) for key in load_file(path))
    read = read_lora("embedded-back", load_model("embedded").unet)
    assert len(read.layers) == len([key for key in load_file(path) if ".lora_up" in key]) > 100


@pytest.mark.parametrize("before", [PREFIX, f"base_model.model.{PREFIX}", "unet.", ""])
def test_prefixes_of_other_programs(tmp_path, unet, lora, before):
    name, (up, down) = next(iter(lora.layers.items()))
    save_file({f"{before}{name}.lora_B.weight": up, f"{before}{name}.lora_A.weight": down}, tmp_path / "x.safetensors")
    assert list(read_lora(tmp_path / "x.safetensors", unet).layers) == [name]


def test_a_layer_in_both_forms_is_refused(tmp_path, unet, lora):
    path = save_lora(lora, tmp_path / "x.safetensors")
    save_file({**load_file(path), **load_file(old_form(path, tmp_path))}, path)
    with pytest.raises(IVGError, match="twice, as"):
        read_lora(path, unet)


def test_layers_that_fit_nowhere_are_counted_under_their_names_in_the_file(tmp_path, unet, lora, caplog):
    path = save_lora(
        LoRA({**lora.layers, "double_blocks.0.img_attn.qkv": (torch.ones(4, 2), torch.ones(2, 4))}, lora.scales),
        tmp_path / "x.safetensors",
    )
    said = r"1 of the \d+ layers of .* \(first diffusion_model\.double_blocks\.0\.img_attn\.qkv\)"
    with pytest.raises(IVGError, match=said):
        read_lora(path, unet)
    assert read_lora(path, unet, partial=True).layers.keys() == lora.layers.keys()
    assert "1 of the" in caplog.text


@pytest.mark.parametrize(
    "layers",
    [
        ["blocks.0.self_attn.q", "blocks.0.cross_attn.k", "blocks.0.ffn.0"],  # Wan
        ["transformer_blocks.0.attn1.to_q", "transformer_blocks.0.attn1.to_out.0"],  # LTXV
        ["double_blocks.0.img_attn.qkv", "single_blocks.0.linear1"],  # HunyuanVideo
    ],
)
@pytest.mark.parametrize("partial", [False, True])
def test_a_lora_for_one_of_cores_video_models_is_refused(tmp_path, unet, layers, partial):
    theirs = LoRA({name: (torch.ones(32, 2), torch.ones(2, 32)) for name in layers})
    path = save_lora(theirs, tmp_path / "x.safetensors")
    with pytest.raises(IVGError, match="holds no LoRA for this UNet: give one that was trained on an IVG"):
        read_lora(path, unet, partial)


@pytest.mark.parametrize("shape", [(), (1, 1)], ids=["flat", "with a kernel of 1"])
def test_stable_loras_convolution_over_time_is_two_plain_matrices_once_read(tmp_path, unet, shape):
    """Core multiplies the halves and leaves out what has not the size of the weight."""
    weight = unet.get_submodule(OVER_TIME).weight
    rows, columns, k = weight.shape[:3]
    up, down = torch.randn(rows * k, 2, *shape), torch.randn(2, columns * k, *shape)
    stored = {f"{OVER_TIME}.lora_B": up, f"{OVER_TIME}.lora_A": down, f"{OVER_TIME}.alpha": torch.tensor(1.0)}
    save_file(stored, tmp_path / "x.safetensors")
    written = load_file(save_lora(read_lora(tmp_path / "x.safetensors", unet), tmp_path / "ours.safetensors"))
    one, other, alpha = (
        written[f"{PREFIX}{OVER_TIME}.{part}"] for part in ("lora_up.weight", "lora_down.weight", "alpha")
    )
    change = (alpha / other.shape[0] * one.flatten(1) @ other.flatten(1)).reshape(weight.shape)
    whole = (up.flatten(1) @ down.flatten(1)).reshape(*weight.shape[:3], k, 1)
    torch.testing.assert_close(change, 0.5 * whole.mean(-2).reshape(weight.shape))


def test_a_training_writes_such_a_file(tiny_model, tmp_path):
    result = train(small(tmp_path, steps=1), tiny_model, clips())
    assert {key.split(".")[0] for key in load_file(result.path)} == {"diffusion_model"}
    assert result.lora.layers.keys() == read_lora(result.path, tiny_model.unet).layers.keys()
